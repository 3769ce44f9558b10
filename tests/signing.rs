//! Who is trusted: artifacts that are signed, pinned, neither, or only look like it.

mod common;

mod signing {
    pub mod flips;
    pub mod hostile;
    pub mod kit;
    pub mod points;
    pub mod snapshots;
    pub mod trusted;
}
