//! No load or store reaches outside its memory: each operator, with each way in which its address
//! can come about, at each extreme value and offset, in each kind of memory, against an oracle that
//! computes where it has to be and what it has to see. Whatever lies beside keeps its contents.
//!
//! Kinds of memory and operators are counted, so that none is left out. Atomic operators have the
//! essential sources only; `FULL=1` runs the whole product of operators, sources, offsets, kinds of
//! memory, optimisation levels and CPUs.

#[path = "escape/last_bytes.rs"]
mod last_bytes;
#[path = "escape/matrix.rs"]
mod matrix;
#[path = "escape/operands.rs"]
mod operands;
#[path = "escape/ops.rs"]
mod ops;
#[path = "escape/sources.rs"]
mod sources;
#[path = "escape/victim.rs"]
mod victim;
