//! What the tests of this directory share: settings to run under, outcomes, random numbers.

use crate::common::{compile, host, load};
use lucet::{Control, Vmctx};
use lucet::{Imports, Instance, Module, ModuleConfig, Outcome, Region, RegionConfig, Trap, Val};
use lucet_artifact::types::MemoryShape;
use std::ffi::c_void;
use std::sync::Arc;

/// A memory shape and a region that modules of that shape run in.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub shape: MemoryShape,
    pub config: RegionConfig,
}

/// Guarded code in a guarded region, compact code in both kinds of region.
pub fn settings(slots: u32) -> [Setting; 3] {
    let config = RegionConfig { slots, max_memory: 32 << 20, ..RegionConfig::default() };
    let compact = RegionConfig { compact: true, stacks: slots, ..config };
    [
        Setting { shape: MemoryShape::Guarded, config },
        Setting { shape: MemoryShape::Compact, config },
        Setting { shape: MemoryShape::Compact, config: compact },
    ]
}

impl Setting {
    pub fn region(&self) -> Arc<Region> {
        Region::new(self.config).unwrap()
    }

    pub fn module(&self, wat: &str, imports: Imports) -> Arc<Module> {
        load(&compile(wat, self.shape), imports).unwrap()
    }

    pub fn linkable(&self, wat: &str, imports: Imports) -> Arc<Module> {
        let config =
            ModuleConfig { imports, allow_unsigned: true, linkable: true, ..Default::default() };
        Module::load_bytes(&compile(wat, self.shape), &config).unwrap()
    }

    pub fn instance(&self, wat: &str, imports: Imports) -> Instance {
        Instance::new(&self.region(), &self.module(wat, imports)).unwrap()
    }
}

pub fn returned(o: Outcome) -> Vec<Val> {
    match o {
        Outcome::Returned(v) => v,
        other => panic!("{other:?}"),
    }
}

pub fn trapped(o: Outcome) -> Trap {
    match o {
        Outcome::Trapped(t) => t,
        other => panic!("{other:?}"),
    }
}

/// The calling instance.
pub fn vmctx(ctx: *const Control) -> Vmctx {
    // SAFETY: host functions of these tests pass on what the thunk gave them.
    unsafe { Vmctx::from_raw(ctx) }.unwrap()
}

/// Imports of `(name, signature, function, user data)`.
pub fn imports(list: &[(&str, &str, *const c_void, usize)]) -> Imports {
    let mut imports = Imports::new();
    for (name, signature, f, user) in list {
        host(&mut imports, name, signature, *f, *user);
    }
    imports
}

/// xorshift64*: random enough, and the same everywhere.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }
}
