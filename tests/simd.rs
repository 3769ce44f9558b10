//! Vectors where the official suite is silent: across the border in both directions, in everything
//! that keeps or moves values, at the last byte of memory, on CPUs with and without newer
//! instructions.

mod common;

#[path = "simd/border.rs"]
mod border;
#[path = "simd/cpus.rs"]
mod cpus;
#[path = "simd/edges.rs"]
mod edges;
#[path = "simd/ops.rs"]
mod ops;
