//! Traps in every context, backtraces, and what they cost.

mod common;
#[path = "hostile/kit.rs"]
mod kit;

#[path = "traps/backtraces.rs"]
mod backtraces;
#[path = "traps/contexts.rs"]
mod contexts;
#[path = "traps/cost.rs"]
mod cost;
#[path = "traps/dispositions.rs"]
mod dispositions;
#[path = "traps/soak.rs"]
mod soak;
#[path = "traps/steps.rs"]
mod steps;
