//! Traps in every context, backtraces, and what they cost.

mod common;
#[path = "hostile/kit.rs"]
mod kit;

#[path = "traps/backtraces.rs"]
mod backtraces;
#[path = "traps/cost.rs"]
mod cost;
#[path = "traps/steps.rs"]
mod steps;

#[global_allocator]
static ALLOCATOR: cost::Counting = cost::Counting;
