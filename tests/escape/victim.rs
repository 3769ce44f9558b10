//! The instance that is tried, the memory it accesses, and what lies around it.
//!
//! ```text
//!  slot      slot      slot          slot
//!  left  │  owner  │  victim, or  │  right       left, right: canaries, full of a pattern
//!        │         │  only one    │              victim: own memory or another's
//! ```

use crate::sources::Width;
use lucet::{
    Func, Group, Instance, InstanceRef, Module, ModuleConfig, Outcome, Region, RegionConfig, Val,
};
use lucet_artifact::types::MemoryShape;
use lucetc::{OptLevel, Options};
use std::sync::Arc;

/// Bytes of a wasm page.
pub const PAGE: u64 = 65536;

/// Whose memory is accessed, and what kind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub name: &'static str,
    pub shape: MemoryShape,
    /// In a region of packed slots.
    pub packed: bool,
    /// Imported from another instance.
    pub imported: bool,
    /// Behind a first memory, which is full of a pattern.
    pub second: bool,
    pub width: Width,
    /// Largest size in pages, to which it is grown.
    pub pages: u64,
}

/// All kinds.
pub fn kinds() -> Vec<Kind> {
    use MemoryShape::{Compact, Guarded};
    use Width::{W32, W64};
    let kind = |name, shape, packed, imported, second, width, pages| Kind {
        name,
        shape,
        packed,
        imported,
        second,
        width,
        pages,
    };
    vec![
        kind("guarded", Guarded, false, false, false, W32, 2),
        kind("guarded, 4 GiB", Guarded, false, false, false, W32, 65536),
        kind("compact code, guarded slots", Compact, false, false, false, W32, 2),
        kind("compact", Compact, true, false, false, W32, 2),
        kind("imported, guarded", Guarded, false, true, false, W32, 2),
        kind("imported, compact", Compact, true, true, false, W32, 2),
        kind("second, guarded", Guarded, false, false, true, W32, 2),
        kind("second, compact", Compact, true, false, true, W32, 2),
        kind("second, imported", Guarded, false, true, true, W32, 2),
        kind("64 bits, guarded", Guarded, false, false, false, W64, 2),
        kind("64 bits, compact", Compact, true, false, false, W64, 2),
        kind("64 bits, imported", Guarded, false, true, false, W64, 2),
        kind("64 bits, second", Guarded, false, false, true, W64, 2),
    ]
}

/// How code is compiled.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    pub opt: OptLevel,
    pub cpu: u64,
}

impl Code {
    fn load(self, wat: &str, shape: MemoryShape) -> Arc<Module> {
        let options =
            Options { opt_level: self.opt, cpu: self.cpu, memory: shape, ..Options::default() };
        let artifact = lucetc::compile(wat.as_bytes(), &options);
        let artifact = artifact.unwrap_or_else(|e| panic!("{e}\n{wat}"));
        let config =
            ModuleConfig { allow_unsigned: true, linkable: true, ..ModuleConfig::default() };
        Module::load_bytes(&artifact, &config).unwrap()
    }
}

/// The default code: optimised, for the CPU that everybody has.
pub fn default_code() -> Code {
    let o = Options::default();
    Code { opt: o.opt_level, cpu: o.cpu }
}

impl Kind {
    /// A region for one such instance and what is around it.
    pub fn region(&self) -> Arc<Region> {
        Region::new(RegionConfig {
            slots: 8,
            // All own memories together.
            max_memory: (self.pages + u64::from(self.second)) * PAGE,
            compact: self.packed,
            stacks: 8,
            ..RegionConfig::default()
        })
        .unwrap()
    }

    /// Index of the memory that is accessed.
    pub fn memory(&self) -> u32 {
        u32::from(self.second)
    }

    fn limits(&self) -> String {
        let index = if self.width == Width::W64 { "i64" } else { "" };
        format!("{index} 1 {}", self.pages)
    }

    /// The declarations of memories in the victim.
    pub fn memories(&self) -> String {
        let limits = self.limits();
        match (self.imported, self.second) {
            (false, false) => format!("(memory $m (export \"m\") {limits})"),
            (true, false) => format!("(import \"owner\" \"m\" (memory $m {limits}))"),
            (false, true) => {
                format!("(memory (export \"first\") 1 1) (memory $m (export \"m\") {limits})")
            }
            (true, true) => format!(
                "(import \"owner\" \"first\" (memory 1 1))
                 (import \"owner\" \"m\" (memory $m {limits}))"
            ),
        }
    }

    fn owner(&self) -> String {
        let limits = self.limits();
        let first = if self.second { "(memory (export \"first\") 1 1)" } else { "" };
        format!("(module {first} (memory (export \"m\") {limits}))")
    }
}

/// What is in a global beside the memory, and in each byte of a canary.
const PATTERN: u64 = 0x5ca1_ab1e_0ddb_a115;

const CANARY: &str = "(module (memory (export \"m\") 1 1)
  (global (export \"g\") (mut i64) (i64.const 0x5ca1ab1e0ddba115))
  (table (export \"t\") 3 externref) (func (export \"f\")))";

/// The victim and its surroundings.
pub struct Victim {
    pub kind: Kind,
    group: Group,
    canaries: Vec<Instance>,
    pub module: Arc<Module>,
    pub bytes: u64,
}

impl Victim {
    /// Makes an instance of `functions`, with everything that sources use.
    pub fn new(kind: Kind, code: Code, region: &Arc<Region>, functions: &str) -> Self {
        let w = kind.width.ty();
        let index = kind.memory();
        let text = format!(
            "(module {}
               (global $g (mut {w}) ({w}.const 0)) (global $one (mut i32) (i32.const 1))
               (global $pattern (export \"pattern\") (mut i64) (i64.const 0x5ca1ab1e0ddba115))
               (func $id (param {w}) (result {w}) (local.get 0))
               (func $other (global.set $one (i32.const 1)))
               (func (export \"grow\") (param {w}) (result {w}) (memory.grow {index} (local.get 0)))
               {functions})",
            kind.memories()
        );
        let canary = code.load(CANARY, kind.shape);
        let mut canaries = vec![Instance::new(region, &canary).unwrap()];
        let mut group = Group::new(region);
        if kind.imported {
            let owner = code.load(&kind.owner(), kind.shape);
            group.instantiate(Some("owner"), &owner).unwrap();
        }
        let module = code.load(&text, kind.shape);
        group.instantiate(Some("victim"), &module).unwrap();
        if kind.second {
            // The host sees the first memory of an instance: another imports the second as that.
            let owner = if kind.imported { "owner" } else { "victim" };
            let reader = format!("(module (import \"{owner}\" \"m\" (memory {})))", kind.limits());
            group.instantiate(Some("reader"), &code.load(&reader, kind.shape)).unwrap();
        }
        canaries.push(Instance::new(region, &canary).unwrap());
        for c in &canaries {
            c.memory_write(0, &PATTERN.to_le_bytes().repeat(PAGE as usize / 8)).unwrap();
        }
        let victim = Self { kind, group, canaries, module, bytes: kind.pages * PAGE };
        if kind.second {
            let first = victim.instance();
            first.memory_write(0, &PATTERN.to_le_bytes().repeat(PAGE as usize / 8)).unwrap();
        }
        let more = victim.address(kind.pages - 1);
        let grown = victim.instance().run("grow", &[more]).unwrap();
        assert_eq!(grown, Outcome::Returned(vec![victim.address(1)]), "{kind:?}");
        victim
    }

    /// A number as an address.
    pub fn address(&self, v: u64) -> Val {
        match self.kind.width {
            Width::W32 => Val::I32(v as u32 as i32),
            Width::W64 => Val::I64(v as i64),
        }
    }

    /// The instance that runs.
    pub fn instance(&self) -> &InstanceRef {
        self.group.get("victim").unwrap()
    }

    /// The instance whose first memory is the one that is accessed.
    fn reader(&self) -> &InstanceRef {
        self.group.get(if self.kind.second { "reader" } else { "victim" }).unwrap()
    }

    /// Runs a function; a trap leaves the instance usable.
    pub fn run(&self, f: Func, args: &[Val]) -> Outcome {
        let outcome = self.instance().run_func(f, args).unwrap();
        if matches!(outcome, Outcome::Trapped(_)) {
            self.instance().recover().unwrap();
        }
        outcome
    }

    /// Writes bytes of the accessed memory.
    pub fn write(&self, at: u64, bytes: &[u8]) {
        self.reader().memory_write(at, bytes).unwrap();
    }

    /// Reads some.
    pub fn read(&self, at: u64, to: &mut [u8]) {
        self.reader().memory_read(at, to).unwrap();
    }

    /// Looks at everything that is not the accessed memory.
    pub fn check_surroundings(&self, what: &str) {
        let mut bytes = vec![0; PAGE as usize];
        let pattern = PATTERN.to_le_bytes().repeat(PAGE as usize / 8);
        for c in &self.canaries {
            c.memory_read(0, &mut bytes).unwrap();
            assert!(bytes == pattern, "{what}: the memory of a neighbour changed");
            assert_eq!(c.global_get("g"), Ok(Val::I64(PATTERN as i64)), "{what}: a global did");
            assert_eq!(c.table_elements("t"), Ok(vec![0; 3]), "{what}: a table did");
            assert_eq!(c.run("f", &[]), Ok(Outcome::Returned(vec![])), "{what}: a neighbour did");
        }
        let own = self.instance().global_get("pattern");
        assert_eq!(own, Ok(Val::I64(PATTERN as i64)), "{what}: the victim's data changed");
        if self.kind.second {
            self.instance().memory_read(0, &mut bytes).unwrap();
            assert!(bytes == pattern, "{what}: another memory of the victim changed");
        }
    }
}
