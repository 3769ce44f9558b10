//! What the tests of this directory share: settings to run under, host functions.

use crate::common::{compile, host, load};
#[allow(unused_imports)] // Not every test that has this file needs all of them.
pub use crate::common::{random::Rng, returned, trapped, vmctx};
use lucet::{Imports, Instance, Module, ModuleConfig, Region, RegionConfig};
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

/// Imports of `(name, signature, function, user data)`.
pub fn imports(list: &[(&str, &str, *const c_void, usize)]) -> Imports {
    let mut imports = Imports::new();
    for (name, signature, f, user) in list {
        host(&mut imports, name, signature, *f, *user);
    }
    imports
}
