//! Exceptions: what guests may throw and catch, and what is left of it.

mod common;

#[path = "exceptions/alive.rs"]
mod alive;
#[path = "exceptions/catching.rs"]
mod catching;
#[path = "exceptions/groups.rs"]
mod groups;
#[path = "exceptions/hosts.rs"]
mod hosts;

use common::returned;
use lucet::{Exception, Outcome};

fn thrown(o: Outcome) -> Exception {
    match o {
        Outcome::Exception(e) => e,
        other => panic!("{other:?}"),
    }
}
