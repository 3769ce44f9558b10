//! The runtime against guests and embedders that mean no good: dirty slots, deep stacks, odd calls,
//! every trap, accesses at every edge, linked instances, handles used wrongly, racing threads.

mod common;

mod hostile {
    pub mod bounds;
    pub mod calls;
    pub mod groups;
    pub mod kit;
    pub mod leftovers;
    pub mod misuse;
    pub mod nested;
    pub mod references;
    pub mod resume;
    pub mod reuse;
    pub mod stack;
    pub mod tables;
    pub mod tails;
    pub mod threads;
    pub mod traps;
}
