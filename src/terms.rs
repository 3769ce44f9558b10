//! The embedder's terms: what the contract of a module must and must not say for the module to be
//! loaded.
//!
//! ```text
//!  lucet_module_config ─► Terms ─┐
//!                                ├─ check ─► every point at which they differ, in one message
//!  artifact ─ loader ─► Contract ┘
//! ```
//!
//! What the runtime can hold an instance to is *cut*: a module that declares a larger maximum than
//! the terms allow, or none, is loaded, and `memory.grow` and `table.grow` fail at the terms' limit
//! as they may (core spec, 4.4.7). What it cannot is *refused*: a module that begins with more, a
//! label that is missing, a feature that is denied, a compiler that is too old.
//!
//! A contract is what its artifact says about itself. Labels, features and the compiler's version
//! are worth as much as the trust in whoever made the artifact; the limits are enforced whatever
//! it says.

use crate::error::{Error, Result, Status, brief};
use crate::loader::Loaded;
use lucet_artifact::contract::{Contract, MemoryDecl, feature};
use lucet_artifact::limits::WASM_PAGE;
use lucet_artifact::types::{HeapType, RefType, ValType};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What an embedder demands of a module's contract. The default demands nothing.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Most bytes of linear memory that an instance may have or grow to, in all its own memories
    /// together.
    pub max_memory: Option<u64>,
    /// Most elements that each of its own tables may have or grow to.
    pub max_table_elements: Option<u32>,
    min_compiler: Option<Version>,
    labels: BTreeMap<String, Option<String>>,
    denied: u64,
}

/// What instances of one module may have at most, by the terms it was loaded under.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caps {
    /// Bytes of all own memories together.
    pub memory: u64,
    /// Elements of each own table.
    pub table: u32,
}

/// All features by name.
fn features(bits: u64) -> String {
    let named = feature::NAMES.iter().filter(|(bit, _)| bits & bit != 0);
    named.map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}

fn bits_of(name: &str) -> Result<u64> {
    if name == "all" {
        return Ok(u64::MAX);
    }
    let found = feature::NAMES.iter().find(|(_, n)| *n == name);
    found.map(|(bit, _)| *bit).ok_or_else(|| {
        let (name, known) = (brief(name), features(u64::MAX));
        let message = format!("\"{name}\" is no feature of the language: they are {known}, or all");
        Error::new(Status::InvalidArgument, message)
    })
}

impl Terms {
    /// Denies a feature of the language, by the name it has in `lucetc`'s messages, or `all` beyond
    /// WebAssembly 1.0.
    ///
    /// # Errors
    /// `InvalidArgument` with the names there are.
    pub fn deny_feature(&mut self, name: &str) -> Result<()> {
        self.denied |= bits_of(name)?;
        Ok(())
    }

    /// Allows a feature again, or `all`.
    ///
    /// # Errors
    /// As [`Terms::deny_feature`].
    pub fn allow_feature(&mut self, name: &str) -> Result<()> {
        self.denied &= !bits_of(name)?;
        Ok(())
    }

    /// Demands a label, with this value or any. The last demand for a name counts.
    ///
    /// # Errors
    /// `InvalidArgument` if no label can have an empty name.
    pub fn require_label(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        if name.is_empty() {
            return Err(Error::new(Status::InvalidArgument, "a label has a name"));
        }
        self.labels.insert(name.to_owned(), value.map(str::to_owned));
        Ok(())
    }

    /// Demands that the artifact was compiled by this version of lucetc or a later one.
    ///
    /// # Errors
    /// `InvalidArgument` if it is not a semantic version.
    pub fn set_min_compiler(&mut self, version: &str) -> Result<()> {
        self.min_compiler = Some(Version::parse(version).ok_or_else(|| {
            let version = brief(version);
            let message = format!("\"{version}\" is not a version; write it like \"1.2.3\"");
            Error::new(Status::InvalidArgument, message)
        })?);
        Ok(())
    }

    pub(crate) fn caps(&self) -> Caps {
        Caps {
            memory: self.max_memory.unwrap_or(u64::MAX),
            table: self.max_table_elements.unwrap_or(u32::MAX),
        }
    }

    /// Compares the terms with the contract of a module.
    ///
    /// # Errors
    /// `ContractRefused` with every point at which they differ.
    pub(crate) fn check(&self, loaded: &Loaded) -> Result<()> {
        let contract = &loaded.contract;
        let mut all = self.caps().violations(contract, loaded.init.tables.len());
        all.extend(self.compiler_violation(contract));
        all.extend(
            self.labels
                .iter()
                .filter_map(|(name, want)| label_violation(contract, name, want.as_deref())),
        );
        let denied = used_features(loaded) & self.denied;
        if denied != 0 {
            all.push(format!(
                "it uses {}, denied by lucet_module_config_deny_feature",
                features(denied)
            ));
        }
        refuse(all)
    }

    fn compiler_violation(&self, contract: &Contract) -> Option<String> {
        let want = self.min_compiler.as_ref()?;
        let have = brief(&contract.compiler);
        match Version::parse(&contract.compiler) {
            Some(v) if v >= *want => None,
            Some(_) => Some(format!(
                "it was compiled by lucetc {have}, lucet_module_config_set_min_compiler asks for \
                 {want}: compile it again"
            )),
            None => Some(format!(
                "it says that \"{have}\" compiled it, which is not a version; \
                 lucet_module_config_set_min_compiler asks for {want}"
            )),
        }
    }
}

fn refuse(all: Vec<String>) -> Result<()> {
    let errors = all.into_iter().map(|m| Error::new(Status::ContractRefused, m)).collect();
    Error::several(errors, 0)
        .map_or(Ok(()), |e| Err(e.context("the module is not what the configuration allows")))
}

impl Caps {
    /// Whether instances of a module with this contract begin within the caps.
    ///
    /// # Errors
    /// `ContractRefused` with every number that is too large, and what it may be.
    pub(crate) fn check(self, contract: &Contract, own_tables: usize) -> Result<()> {
        refuse(self.violations(contract, own_tables))
    }

    fn violations(self, contract: &Contract, own_tables: usize) -> Vec<String> {
        let mut all = Vec::new();
        let own = contract.memories.iter().filter(|m| !m.is_imported());
        let initial = |m: &MemoryDecl| m.ty.min.saturating_mul(WASM_PAGE);
        let begins = own.fold(0u64, |sum, m| sum.saturating_add(initial(m)));
        if begins > self.memory {
            let most = self.memory;
            all.push(format!(
                "its memory begins with {begins} bytes, lucet_module_config_set_max_memory allows \
                 {most}: raise that, or link the module with a smaller initial memory"
            ));
        }
        let imported = contract.tables.len().saturating_sub(own_tables);
        let own = contract.tables.iter().enumerate().skip(imported);
        for (i, t) in own.filter(|(_, t)| t.min > self.table.into()) {
            let (begins, most) = (t.min, self.table);
            all.push(format!(
                "its table {i} begins with {begins} elements, \
                 lucet_module_config_set_max_table_elements allows {most}"
            ));
        }
        all
    }
}

fn label_violation(contract: &Contract, name: &str, want: Option<&str>) -> Option<String> {
    let have = contract.labels.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let name = brief(name);
    match (have, want) {
        (Some(have), Some(want)) if have != want => {
            let (have, want) = (brief(have), brief(want));
            Some(format!("its label \"{name}\" is \"{have}\", \"{want}\" is required"))
        }
        (Some(_), _) => None,
        (None, want) => {
            let value = want.map(|w| format!(" = \"{}\"", brief(w))).unwrap_or_default();
            Some(format!("it has no label \"{name}\"{value}: write it in the policy file"))
        }
    }
}

/// The features that a contract names, and those that the module shows whatever it names.
fn used_features(loaded: &Loaded) -> u64 {
    let c = &loaded.contract;
    let mut bits = c.features;
    let mut saw = |yes: bool, bit: u64| bits |= if yes { bit } else { 0 };
    saw(c.memories.len() > 1, feature::MULTI_MEMORY);
    saw(c.memories.iter().any(|m| m.ty.is64), feature::MEMORY64);
    saw(c.tables.iter().any(|t| t.is64), feature::MEMORY64);
    saw(c.tables.len() > 1, feature::REFERENCE_TYPES);
    saw(!c.tags.is_empty() || !loaded.handlers.handlers.is_empty(), feature::EXCEPTIONS);
    saw(loaded.types.types.iter().any(|t| t.ty.results.len() > 1), feature::MULTI_VALUE);
    let values = loaded.types.types.iter().flat_map(|t| t.ty.values());
    let tables = c.tables.iter().map(|t| ValType::from(t.elem));
    for ty in values.chain(c.globals.iter().map(|g| g.ty)).chain(tables.clone()) {
        saw(ty == ValType::V128, feature::SIMD);
        let Some(RefType { nullable, heap }) = ty.reference() else { continue };
        saw(heap.top() == HeapType::Exn, feature::EXCEPTIONS);
        saw(heap.top() == HeapType::Extern, feature::REFERENCE_TYPES);
        let concrete = matches!(heap, HeapType::Concrete(_));
        saw(concrete || !nullable, feature::FUNCTION_REFERENCES);
    }
    bits
}

/// A semantic version (semver 2.0): three numbers, and what comes before the release. What stands
/// behind `+` does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    numbers: [u64; 3],
    /// Empty for a release.
    before: Vec<Part>,
}

/// A part of what stands behind `-`. Numbers come before words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

/// A decimal number without signs and leading zeros.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let plain = digits && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

impl Version {
    /// `None`: it is none. Any text will do.
    fn parse(text: &str) -> Option<Self> {
        let (rest, build) = text.split_once('+').map_or((text, None), |(r, b)| (r, Some(b)));
        if build.is_some_and(|b| !b.split('.').all(is_word)) {
            return None;
        }
        let (core, before) = rest.split_once('-').map_or((rest, None), |(c, b)| (c, Some(b)));
        let mut numbers = core.split('.').map(number);
        let three = [numbers.next()??, numbers.next()??, numbers.next()??];
        if numbers.next().is_some() {
            return None;
        }
        let part = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
            true => number(text).map(Part::Number),
            false => is_word(text).then(|| Part::Word(text.to_owned())),
        };
        let before = before.map_or(Some(Vec::new()), |b| b.split('.').map(part).collect())?;
        Some(Self { numbers: three, before })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let release = |v: &Self| v.before.is_empty();
        self.numbers
            .cmp(&other.numbers)
            .then(release(self).cmp(&release(other)))
            .then_with(|| self.before.cmp(&other.before))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        for (i, part) in self.before.iter().enumerate() {
            f.write_str(if i == 0 { "-" } else { "." })?;
            match part {
                Part::Number(n) => write!(f, "{n}")?,
                Part::Word(w) => f.write_str(w)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In ascending order; the example of the specification of semantic versions is among them.
    const ASCENDING: [&str; 16] = [
        "0.0.0-0",
        "0.0.0",
        "0.1.0",
        "0.9.9",
        "0.10.0",
        "1.0.0-0",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "1.0.1",
        "18446744073709551615.0.0",
    ];

    #[test]
    fn versions_are_ordered() {
        for (i, a) in ASCENDING.iter().enumerate() {
            let x = Version::parse(a).unwrap();
            assert_eq!(x.to_string(), *a);
            assert_eq!(Version::parse(&format!("{a}+build.007")), Some(x.clone()));
            for (k, b) in ASCENDING.iter().enumerate() {
                assert_eq!(x.cmp(&Version::parse(b).unwrap()), i.cmp(&k), "{a} {b}");
            }
        }
    }

    #[test]
    fn other_texts_are_no_versions() {
        let long = "9".repeat(64);
        let many = "1.".repeat(32);
        for text in [
            "",
            " ",
            "1",
            "1.2",
            "1.2.3.4",
            "1.2.3 ",
            " 1.2.3",
            "v1.2.3",
            "01.2.3",
            "1.02.3",
            "1.2.03",
            "-1.2.3",
            "+1.2.3",
            "1.-2.3",
            "1.2.+3",
            "1..3",
            ".1.2",
            "1.2.",
            "1.2.3-",
            "1.2.3-a..b",
            "1.2.3-01",
            "1.2.3-é",
            "1.2.3+",
            "1.2.3+a+b",
            "1.2.3+a..b",
            "1.2.3+ä",
            "1.2.x",
            "1,2,3",
            "0x1.2.3",
            "１.2.3",
            "1.2.3\0",
            "1.2.3\n",
            "\u{202e}3.2.1",
            "18446744073709551616.0.0",
            "1.0.0-18446744073709551616",
            "999999999999999999999.0.0",
            "9.9.9-\u{7f}",
            "%s.%s.%s",
            &long,
            &many,
        ] {
            assert_eq!(Version::parse(text), None, "{text:?}");
            assert!(Terms::default().set_min_compiler(text).is_err());
        }
    }

    /// Who makes a snapshot in a child process says what it begins with.
    #[test]
    fn states_from_outside_are_under_the_terms_too() {
        use crate::loader::State;
        use crate::module::{Module, ModuleConfig};
        let wat = "(module (memory 1) (table 1 funcref))";
        let bytes = lucetc::compile(wat.as_bytes(), &lucetc::Options::default()).unwrap();
        let mut config = ModuleConfig { allow_unsigned: true, ..ModuleConfig::default() };
        config.terms.max_memory = Some(2 * WASM_PAGE);
        config.terms.max_table_elements = Some(3);
        let m = Module::load_bytes(&bytes, &config).unwrap();
        for (pages, elements, fits) in [(2, 3, true), (3, 3, false), (2, 4, false)] {
            let (mut contract, init) = (m.loaded.contract.clone(), m.loaded.init.clone());
            (contract.memories[0].ty.min, contract.tables[0].min) = (pages, elements);
            let state = State { contract, init, info: Default::default(), pages: None };
            match Module::from_state(m.core(), state) {
                Ok(_) => assert!(fits),
                Err(e) => assert!(!fits && e.status() == Status::ContractRefused, "{e}"),
            }
        }
    }

    #[test]
    fn features_have_names() {
        let mut t = Terms::default();
        t.deny_feature("simd").unwrap();
        assert_eq!(t.denied, feature::SIMD);
        t.deny_feature("all").unwrap();
        t.allow_feature("memory64").unwrap();
        assert_eq!(t.denied, !feature::MEMORY64);
        t.allow_feature("all").unwrap();
        assert_eq!(t.denied, 0);
        for name in ["", "SIMD", "simd ", "simd,exceptions", "\n"] {
            let e = t.deny_feature(name).unwrap_err();
            assert_eq!(e.status(), Status::InvalidArgument);
            assert!(e.message().contains("relaxed-simd"), "{e}");
            assert!(!e.message().contains(char::is_control), "{e}");
        }
    }
}
