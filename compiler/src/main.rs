//! The command `lucetc`.
fn main() {}
