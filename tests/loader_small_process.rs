//! A process that may not have 32 GiB of address space still loads modules. Alone in its process,
//! because the arena is reserved once.

#[path = "common/sample.rs"]
mod sample;

use lucet::Status;
use lucet::loader::{LoadOptions, Source, load};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

#[test]
fn the_arena_is_as_large_as_it_may_be() {
    let good = sample::sample().build();
    let try_load = || {
        load(Source::Bytes(&good), &LoadOptions { allow_unsigned: true, ..LoadOptions::default() })
    };
    let (_, hard) = getrlimit(Resource::RLIMIT_AS).unwrap();
    // Too little for the smallest arena: a status, which is not remembered.
    setrlimit(Resource::RLIMIT_AS, 1 << 30, hard).unwrap();
    let e = try_load().unwrap_err();
    assert_eq!(e.status(), Status::OutOfMemory, "{e}");
    assert!(e.message().starts_with("no address space for executable code"), "{e}");
    // Enough for one of 2 GiB.
    setrlimit(Resource::RLIMIT_AS, 4 << 30, hard).unwrap();
    let loaded = try_load().unwrap();
    lucet::sys::arena::set_owner(loaded.text.range(), 1);
    let base = loaded.text.base();
    assert_eq!(lucet::sys::arena::owner_of(base), Some(1));
    assert!(lucet::sys::arena::contains(base + (1 << 30)));
    assert!(!lucet::sys::arena::contains(base + (4 << 30)));
}
