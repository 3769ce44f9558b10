//! Snapshots: an instance becomes a module, in memory and on disk, and nothing is lost or added.

mod common;

mod snapshot {
    pub mod equal;
    pub mod files;
    pub mod fresh;
    pub mod guests;
    pub mod refusals;
    pub mod reseed;
}
