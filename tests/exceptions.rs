//! Exceptions: what guests may throw and catch, and what is left of it.

mod common;

#[path = "exceptions/catching.rs"]
mod catching;
