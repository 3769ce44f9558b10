//! HTTP plugins: each function of `http_handler` as its specification has it, guests that mean
//! harm, phases, suspension, and what is allocated on the way of a request.

#[path = "http/conformance.rs"]
mod conformance;
#[path = "http/examples.rs"]
mod examples;
#[path = "http/guest.rs"]
mod guest;
#[path = "http/hostile.rs"]
mod hostile;
#[path = "http/life.rs"]
mod life;
#[path = "http/mock.rs"]
mod mock;
