//! A module against a policy: every violation, not only the first, so that one compilation shows
//! the whole distance between them.
//!
//! What a module declares is known before any code is generated; what its code uses and how large
//! it becomes, afterwards. If the policy asks about code, both are reported together.

use super::pattern::Kind;
use super::schema::Max;
use super::{ImportEntry, Policy, glob, quoted};
use crate::error::{Class, Diagnostic};
use crate::model::{Compiled, Place};
use lucet_artifact::contract::{Contract, Export, Extern, Import, feature};
use lucet_artifact::limits;
use lucet_artifact::types::FuncType;

/// Most violations that are reported one by one.
const MAX_VIOLATIONS: usize = 1_000;

/// What a module declares, with distinct types.
#[derive(Debug, Clone, Copy)]
pub struct Declared<'a> {
    /// The contract, as far as it is known without code.
    pub contract: &'a Contract,
    /// Function types.
    pub types: &'a [FuncType],
    /// Type of each function, as an index into `types`.
    pub func_types: &'a [u32],
    /// Imports, in the order of the wasm file.
    pub imports: &'a [Import],
    /// Where each import stands in the wasm file.
    pub import_offsets: &'a [u64],
    /// Exports.
    pub exports: &'a [Export],
}

impl<'a> Declared<'a> {
    fn type_at(&self, index: u32) -> Option<&'a FuncType> {
        self.types.get(index as usize)
    }

    fn export_type(&self, export: &Export) -> Option<Extern<'a>> {
        let function = |f: u32| self.type_at(*self.func_types.get(f as usize)?);
        export.whole(self.contract, function, |t| self.type_at(t))
    }
}

fn violation(message: String, help: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Class::Policy, message).help(help)
}

/// What the module declares against the policy.
#[must_use]
pub fn declared(policy: &Policy, module: &Declared<'_>) -> Vec<Diagnostic> {
    let mut bad = Violations::default();
    imports(policy, module, &mut bad);
    counts(policy, module.contract, &mut bad);
    sizes(policy, module.contract, &mut bad);
    labels(policy, module.contract, &mut bad);
    exports(policy, module, &mut bad);
    bad.finish()
}

/// Whether the policy asks about what is known only once code was generated.
#[must_use]
pub fn asks_about_code(policy: &Policy) -> bool {
    policy.features & feature::KNOWN != feature::KNOWN
        || policy.limits(Max::FrameBytes)
        || policy.limits(Max::CodeBytes)
}

/// What came out of the module against the policy.
#[must_use]
pub fn code(policy: &Policy, compiled: &Compiled) -> Vec<Diagnostic> {
    let mut bad = Violations::default();
    for (bit, name) in feature::NAMES {
        if compiled.contract.features & bit != 0 && policy.features & bit == 0 {
            let place = compiled.uses.first(bit);
            bad.push(denied_feature(name, place, compiled));
        }
    }
    let most = policy.max(Max::FrameBytes);
    for (i, f) in
        compiled.funcs.iter().enumerate().filter(|(_, f)| u64::from(f.record.frame) > most)
    {
        let message = format!(
            "a call takes {} bytes of stack, the policy allows {most} (max_frame_bytes)",
            f.record.frame
        );
        let help = "raise max_frame_bytes in the policy file, or give the function fewer and \
                    smaller local values";
        bad.push(violation(message, help).in_function(i as u32, &f.name));
    }
    let (bytes, most) = (compiled.text.len() as u64, policy.max(Max::CodeBytes));
    if bytes > most {
        let message = format!(
            "the module has {bytes} bytes of code, the policy allows {most} (max_code_bytes)"
        );
        bad.push(violation(
            message,
            "raise max_code_bytes in the policy file, or compile with -O s",
        ));
    }
    bad.finish()
}

/// The violations found so far: the first ones, and the number of the others, because a module can
/// have a million.
#[derive(Default)]
struct Violations {
    first: Vec<Diagnostic>,
    more: usize,
}

impl Violations {
    fn push(&mut self, d: Diagnostic) {
        if self.first.len() < MAX_VIOLATIONS {
            self.first.push(d);
        } else {
            self.more += 1;
        }
    }

    fn finish(mut self) -> Vec<Diagnostic> {
        if self.more > 0 {
            let message = format!("the module violates the policy in {} more ways", self.more);
            self.first.push(violation(message, "mend those above first"));
        }
        self.first
    }
}

fn denied_feature(name: &str, place: Option<Place>, compiled: &Compiled) -> Diagnostic {
    let by = match place {
        Some(Place::Part(part, index)) => format!(" ({part} {index})"),
        _ => String::new(),
    };
    let message = format!("the module uses {name}{by}, which the policy does not allow");
    let help = format!(
        "change [features] of the policy file, or build the module without {name} (a target \
         feature of clang, rustc and others)"
    );
    let d = violation(message, help);
    match place {
        Some(Place::Code { function, offset }) => {
            let function_name = compiled.funcs.get(function as usize).map_or("", |f| &f.name);
            d.at(offset.into()).in_function(function, function_name)
        }
        _ => d,
    }
}

fn imports(policy: &Policy, module: &Declared<'_>, bad: &mut Violations) {
    let Some(rules) = &policy.imports else { return };
    for (i, import) in module.imports.iter().enumerate() {
        let named: Vec<_> = rules
            .iter()
            .filter(|r| glob::matches(&r.module, &import.module))
            .flat_map(|r| &r.entries)
            .filter(|e| glob::matches(&e.name, &import.name))
            .collect();
        let Some(ty) = import.kind.whole(|t| module.type_at(t)) else { continue };
        let shown = ty.to_string();
        if named.iter().any(|e| e.allows(ty.word(), &shown)) {
            continue;
        }
        let (word, from, name) = (import.kind.word(), &import.module, &import.name);
        let d = if named.is_empty() {
            violation(
                format!("import of {word} {from}.{name} is not allowed; its type is {shown}"),
                format!(
                    "allow it in [imports] of the policy file: {} = [{{ name = {}, type = {} }}], \
                     or remove it from the module",
                    quoted(from),
                    quoted(name),
                    quoted(&shown)
                ),
            )
        } else {
            let allowed: Vec<_> = named.iter().map(|e| e.wanted()).collect();
            violation(
                format!(
                    "import of {word} {from}.{name} has the type {shown}, the policy allows {}",
                    allowed.join(", or ")
                ),
                "build the module against the host's current interface, or change the type in \
                 [imports] of the policy file",
            )
        };
        bad.push(match module.import_offsets.get(i) {
            Some(offset) => d.at(*offset),
            None => d,
        });
    }
}

impl ImportEntry {
    /// Whether something of this kind, whose type displays itself like this, may be imported.
    fn allows(&self, word: &str, ty: &str) -> bool {
        self.kind.is_none_or(|k| k.word() == word)
            && self.ty.as_ref().is_none_or(|pattern| pattern.matches(ty))
    }

    /// What is wanted, for messages.
    fn wanted(&self) -> String {
        match (&self.ty, self.kind) {
            (Some(ty), _) => ty.to_string(),
            (None, kind) => format!("a {} of any type", kind.map_or("thing", Kind::word)),
        }
    }
}

fn counts(policy: &Policy, c: &Contract, bad: &mut Violations) {
    let found = [
        (Max::Memories, c.memories.len() as u64, "memories"),
        (Max::Tables, c.tables.len() as u64, "tables"),
        (Max::Globals, c.globals.len() as u64, "globals"),
        (Max::Functions, c.functions.into(), "functions"),
        (Max::InstanceDataBytes, c.instance_data.into(), "bytes of instance data"),
    ];
    for (max, n, what) in found.into_iter().filter(|(max, n, _)| *n > policy.max(*max)) {
        let (most, key) = (policy.max(max), max.row().key);
        let help = format!("raise {key} in the policy file, or build a smaller module");
        let message = format!("the module has {n} {what}, the policy allows {most} ({key})");
        bad.push(violation(message, help));
    }
}

/// What memories and tables start with. What they may grow to was cut to the policy before; only
/// the sum cannot be.
fn sizes(policy: &Policy, c: &Contract, bad: &mut Violations) {
    let tables = c.tables.iter().map(|t| t.min);
    let mut check = |max: Max, what: &str, unit: &str, sizes: &mut dyn Iterator<Item = u64>| {
        let (most, key) = (policy.max(max), max.row().key);
        for (i, min) in sizes.enumerate().filter(|(_, min)| policy.limits(max) && *min > most) {
            let message =
                format!("{what} {i} starts with {min} {unit}, the policy allows {most} ({key})");
            let help = format!("raise {key} in the policy file, or build with a smaller {what}");
            bad.push(violation(message, help));
        }
    };
    check(Max::MemoryPages, "memory", "pages", &mut c.memories.iter().map(|m| m.ty.min));
    check(Max::TableElements, "table", "elements", &mut { tables });
    if !policy.limits(Max::TotalMemoryPages) {
        return;
    }
    let most = policy.max(Max::TotalMemoryPages);
    let pages = |bytes: u64| bytes.div_ceil(limits::WASM_PAGE);
    let own = c.memories.iter().filter(|m| !m.is_imported());
    let sizes: Vec<_> = own.map(|m| m.ty.min.max(pages(m.most_bytes()))).collect();
    let total = sizes.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
    if total > most {
        let each = sizes.iter().map(u64::to_string).collect::<Vec<_>>().join(" + ");
        let message = format!(
            "the memories of the module may grow to {total} pages together ({each}), the policy \
             allows {most} (max_total_memory_pages)"
        );
        let help = "raise max_total_memory_pages in the policy file, lower max_memory_pages, or \
                    declare smaller maximum sizes in the module";
        bad.push(violation(message, help));
    }
}

fn labels(policy: &Policy, c: &Contract, bad: &mut Violations) {
    let has = |name: &str| c.labels.iter().any(|(n, v)| n == name && !v.is_empty());
    for name in policy.required_labels.iter().filter(|name| !has(name)) {
        bad.push(violation(
            format!("the label {name} is missing"),
            format!(
                "give it: lucetc --label {name}=VALUE, or {name} = \"VALUE\" in [labels] of the \
                 policy file"
            ),
        ));
    }
}

fn exports(policy: &Policy, module: &Declared<'_>, bad: &mut Violations) {
    for (name, wanted) in &policy.required_exports {
        let found = module.exports.iter().find(|e| e.name == *name);
        let ty = found.and_then(|e| module.export_type(e)).map(|ty| ty.to_string());
        match ty {
            Some(ty) if wanted.matches(&ty) => {}
            Some(ty) => bad.push(violation(
                format!("export {name} has the type {ty}, the policy requires {wanted}"),
                "build the module against the host's current interface, or change the type in \
                 [require.exports] of the policy file",
            )),
            None => bad.push(violation(
                format!("there is no export {name}, the policy requires one of type {wanted}"),
                format!("export {name} from the module, or remove it from [require.exports]"),
            )),
        }
    }
}
