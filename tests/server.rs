//! The nginx module in a real nginx: plugins compiled from C answer requests, fail in every way
//! there is, and are replaced, while the worker goes on serving the others.

mod common;

#[path = "server/faults.rs"]
mod faults;
#[path = "server/life.rs"]
mod life;
#[path = "server/nginx.rs"]
mod nginx;
#[path = "server/requests.rs"]
mod requests;
#[path = "server/responses.rs"]
mod responses;
