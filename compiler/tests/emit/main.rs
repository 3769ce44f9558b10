//! What the emitter promises about an artifact's bytes, checked from outside: with object's reader,
//! with the decoders that the loader uses, and with binutils and gdb.
//!
//! The modules are put together by hand, without the translator, so that what is tested here is the
//! emitter alone. A missing tool fails a test: an artifact nobody looked at is not tested.

mod decode;
mod module;
mod structure;
mod tools;
