//! The listed forms and how many instructions conform to each or violate it.

use std::collections::BTreeMap;

/// A form, as `docs/design/code-forms.md` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    GuardedAccess,
    ConstantAccess,
    CheckedAccess,
    DescriptorAccess,
    InstanceData,
    InstanceDataWrite,
    ImportedGlobal,
    Descriptor,
    TableEntry,
    Reference,
    Stack,
    Slots,
    Constant,
    JumpTable,
    DirectCall,
    HostCall,
    Trap,
    IndirectCall,
    GlueCall,
    Throw,
    Landing,
    TailCall,
    Return,
    Jump,
    Listed,
    Piece,
    /// Memory is accessed in no form of the list.
    UnknownAccess,
}

impl Form {
    /// Every form, with its words.
    pub const ALL: [(Self, &'static str); 27] = [
        (Self::GuardedAccess, "memory 0, guarded: [vmctx + index + offset]"),
        (Self::ConstantAccess, "memory 0, constant address"),
        (Self::CheckedAccess, "memory 0, checked, null if outside"),
        (Self::DescriptorAccess, "memory behind a descriptor, checked"),
        (Self::InstanceData, "instance data, read"),
        (Self::InstanceDataWrite, "instance data, written: own globals, fuel"),
        (Self::ImportedGlobal, "imported global"),
        (Self::Descriptor, "memory or table descriptor, read"),
        (Self::TableEntry, "table entry, index checked, read"),
        (Self::Reference, "descriptor of a reference that is not null, read"),
        (Self::Stack, "own frame and arguments"),
        (Self::Slots, "value slots of trampolines and results"),
        (Self::Constant, "constants of the function, read"),
        (Self::JumpTable, "jump table, index bounded, targets inside"),
        (Self::DirectCall, "direct call of a function's start"),
        (Self::HostCall, "call of an import or builtin through its slot"),
        (Self::Trap, "call of the trap stub, ud2 behind it"),
        (Self::IndirectCall, "indirect call, signature compared"),
        (Self::GlueCall, "call of a trampoline's or adapter's target"),
        (Self::Throw, "call of the glue that throws, and its call"),
        (Self::Landing, "landing pad of a call, frame as the handler says"),
        (Self::TailCall, "tail call"),
        (Self::Return, "return, frame and registers as they were"),
        (Self::Jump, "jump inside the function"),
        (Self::Listed, "instruction of the list"),
        (Self::Piece, "piece: 32-byte aligned, int3 between"),
        (Self::UnknownAccess, "access of another form"),
    ];
}

/// Violations of a form that are kept in words.
const EXAMPLES: usize = 12;

/// What was counted.
#[derive(Debug, Clone, Default)]
pub struct Report {
    counts: BTreeMap<Form, (u64, u64)>,
    /// The first violations of each form, in words.
    pub examples: BTreeMap<Form, Vec<String>>,
}

impl Report {
    /// Counts an instruction.
    pub fn note(&mut self, form: Form, conforms: bool, what: impl FnOnce() -> String) {
        let c = self.counts.entry(form).or_default();
        if conforms {
            c.0 += 1;
        } else {
            c.1 += 1;
            let examples = self.examples.entry(form).or_default();
            if examples.len() < EXAMPLES {
                examples.push(what());
            }
        }
    }

    /// All violations.
    pub fn violations(&self) -> u64 {
        self.counts.values().map(|c| c.1).sum()
    }

    /// Conforming and violating instructions of a form.
    pub fn of(&self, form: Form) -> (u64, u64) {
        self.counts.get(&form).copied().unwrap_or_default()
    }

    /// Adds another report.
    pub fn add(&mut self, other: Self) {
        for (f, (a, b)) in other.counts {
            let c = self.counts.entry(f).or_default();
            c.0 += a;
            c.1 += b;
        }
        for (f, list) in other.examples {
            let examples = self.examples.entry(f).or_default();
            examples.extend(list);
            examples.truncate(EXAMPLES);
        }
    }

    /// The table.
    pub fn print(&self) {
        println!("{:<52}{:>14}{:>12}", "form", "conforming", "violating");
        for (form, words) in Form::ALL {
            let (a, b) = self.of(form);
            println!("{words:<52}{a:>14}{b:>12}");
        }
        for (form, list) in &self.examples {
            list.iter().for_each(|e| println!("{form:?}: {e}"));
        }
    }
}
