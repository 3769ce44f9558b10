//! Operands in memory: where an address leads, and whether an access of that kind is in the list.

use crate::module::{Module, Piece, Role, hidden_results, pops};
use crate::report::Form;
use crate::state::{NOT_NULL, State, number};
use crate::value::{Base, Sum, V, WIDE, constant_index, has_element};
use iced_x86::{Instruction, Mnemonic, Register};
use lucet_artifact::abi::{
    TrapCode, host_call_stack_bytes, link_slot, memory_desc, table_desc, table_entry,
};
use lucet_artifact::layout;

/// What no size of a memory reaches.
const BEYOND: i64 = 1 << 48;

/// Bytes at address 0 that no process maps.
const NOWHERE: i64 = 4096;

/// Bytes that a 32-bit index reaches.
const REACH: i64 = 1 << 32;

/// Base, index times its scale, and displacement of an operand in memory.
pub fn terms(s: &State, i: &Instruction) -> (V, V, V) {
    let of = |r: Register| match r {
        Register::None => V::constant(0),
        r if r.is_gpr64() => number(r).map_or(V::Top, |n| s.regs[n]),
        _ => V::Top,
    };
    let base = of(i.memory_base());
    let shift = i.memory_index_scale().trailing_zeros() as u8;
    let index = of(i.memory_index());
    let displacement = V::constant(i.memory_displacement64() as i64);
    (base, index.times(shift), displacement)
}

/// The most that an index of a jump table is: the bound, or what it is if that is known.
fn last_of(index: V) -> Option<u32> {
    match index {
        V::Bounded { last, .. } => Some(last),
        index => u16::try_from(index.as_constant()?).ok().map(u32::from),
    }
}

/// The register that is the index, before it is scaled.
fn index_of(s: &State, i: &Instruction) -> Option<V> {
    number(i.memory_index()).map(|n| s.regs[n])
}

/// The address of an instruction's operand in memory.
pub fn address(s: &State, i: &Instruction) -> V {
    if i.is_ip_rel_memory_operand() {
        return V::Ptr(Base::Text, Sum::of(i.ip_rel_memory_address() as i64));
    }
    let (base, index, displacement) = terms(s, i);
    // A pointer may stand on either side; a scaled index must not be a pointer.
    if i.memory_index_scale() == 4
        && let V::Ptr(Base::Text, t) = base
        && let Some(last) = index_of(s, i).and_then(last_of)
        && displacement == V::constant(0)
    {
        return V::JumpEntry { at: t.k as u32, last };
    }
    base.plus(index).plus(displacement)
}

/// An access: whether it writes, and how many bytes.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    pub writes: bool,
    pub size: i64,
}

/// The form of an access and whether it conforms; and what is read.
pub fn classify(
    m: &Module<'_>,
    p: &Piece,
    s: &State,
    i: &Instruction,
    at: V,
    a: Access,
) -> (Form, bool, V) {
    let inside = |k: i64, low: i64, high: i64| k >= low && k + a.size <= high;
    // The first entry of a table that has one.
    let at = match at {
        V::Ptr(Base::Table(table), Sum { name: None, k, .. })
            if s.facts.contains(&(has_element(table), NOT_NULL)) =>
        {
            V::Entry { table, name: constant_index(0), k }
        }
        at => at,
    };
    let listed = || m.traps.get(&(i.ip() as u32)) == Some(&(TrapCode::MemoryOutOfBounds as u8));
    let read = |form, good, v| (form, good && !a.writes, v);
    match at {
        V::Ptr(Base::Vmctx, Sum { name: None, k, .. }) if k < 0 => instance_data(m, k, a),
        V::Ptr(Base::Vmctx, Sum { name, shift: 0, k }) if name.is_none_or(|n| n & WIDE == 0) => {
            let Some(guard) = m.guard else { return (Form::UnknownAccess, false, V::Top) };
            let (form, high) = match name {
                Some(_) => (Form::GuardedAccess, guard),
                None => (Form::ConstantAccess, REACH + guard),
            };
            (form, inside(k, 0, high) && listed(), V::Top)
        }
        V::Checked { k, reach, behind, null, .. } => {
            let form = if behind { Form::DescriptorAccess } else { Form::CheckedAccess };
            // An end that no memory reaches: always null.
            let never = reach >= BEYOND;
            // What is null must still be where nothing is.
            let nowhere = null >= 0 && null + a.size <= NOWHERE;
            (form, (never || inside(k, 0, reach)) && nowhere && listed(), V::Top)
        }
        V::Ptr(Base::Cell(_), Sum { name: None, k, .. }) => {
            (Form::ImportedGlobal, inside(k, 0, 16), V::Top)
        }
        V::Ptr(Base::MemoryDescriptor(n), Sum { name: None, k, .. }) => {
            let v = match k as u32 {
                memory_desc::BASE => V::Ptr(Base::Memory(n), Sum::of(0)),
                _ => V::Bytes(Some(n)),
            };
            read(Form::Descriptor, inside(k, 0, 16) && k % 8 == 0 && a.size == 8, v)
        }
        V::Ptr(Base::TableDescriptor(n), Sum { name: None, k, .. }) => {
            let v = match k as u32 {
                table_desc::BASE => V::Ptr(Base::Table(n), Sum::of(0)),
                _ => V::Len(n),
            };
            read(Form::Descriptor, inside(k, 0, 16) && k % 8 == 0 && a.size == 8, v)
        }
        V::Entry { table, name, k } => {
            let v = match (k as u32, a.size) {
                (table_entry::SIG, 4) => V::Signature(name),
                (table_entry::CODE, 8) => V::EntryCode(name),
                (table_entry::VMCTX, 8) => V::EntryVmctx { table, name },
                _ => V::Top,
            };
            read(Form::TableEntry, inside(k, 0, i64::from(table_entry::SIZE)), v)
        }
        V::Ptr(Base::Stack, Sum { name: None, k, .. }) => {
            let stored = if a.size == 8 { s.stack.get(&k).copied() } else { None };
            let narrow = || s.stack.get(&k).copied().filter(|v| v.is_u32());
            let v = stored.or_else(|| if a.size == 4 { narrow() } else { None });
            (Form::Stack, stack(m, p, s, k, a), v.unwrap_or(V::Top))
        }
        V::Probe => (Form::Stack, i.mnemonic() == Mnemonic::Mov && a.size == 4, V::Top),
        V::Ptr(Base::Slots, Sum { name: None, k, .. }) => {
            let Role::Entry(ty) = p.role else { return (Form::Slots, false, V::Top) };
            let ty = m.ty(ty);
            let n = ty.params.len().max(ty.results.len()) as i64;
            (Form::Slots, inside(k, 0, 16 * n), V::Top)
        }
        V::Ptr(Base::Results, Sum { name: None, k, .. }) => {
            let Role::Function(ty) = p.role else { return (Form::Slots, false, V::Top) };
            (Form::Slots, a.writes && inside(k, 0, 16 * m.ty(ty).results.len() as i64), V::Top)
        }
        V::Ptr(Base::Text, Sum { name: None, k, .. }) => {
            let here = k >= i64::from(p.start) && k + a.size <= i64::from(p.end);
            read(Form::Constant, here, V::Top)
        }
        V::Ptr(Base::Text, Sum { name: Some(n), shift, k }) => {
            let most = s.most(n).map(|m| k + (m << shift) + a.size);
            let here = k >= i64::from(p.start) && most.is_some_and(|m| m <= i64::from(p.end));
            read(Form::Constant, here, V::Top)
        }
        V::JumpEntry { at, last } => {
            let end = i64::from(at) + 4 * (i64::from(last) + 1);
            let here = at >= p.start && end <= i64::from(p.end) && a.size == 4;
            read(Form::JumpTable, here, V::JumpEntry { at, last })
        }
        // A function descriptor, by a reference.
        V::Num(Sum { name: Some(name), shift: 0, k }) if s.facts.contains(&(name, NOT_NULL)) => {
            let (good, v) = reference(name, k, a);
            read(Form::Reference, good, v)
        }
        V::Ptr(Base::Functions, Sum { name: None, k, .. }) => {
            let entry = i64::from(table_entry::SIZE);
            let name = 3 << 62 | (k / entry) as u64;
            let (good, v) = reference(name, k % entry, a);
            read(Form::Reference, good && k >= 0, v)
        }
        // An adapter gets the addresses of vectors and results from the import's caller.
        V::Top | V::Initial(_) | V::Num(Sum { name: Some(_), shift: 0, .. })
            if matches!(p.role, Role::Adapter(_)) =>
        {
            (Form::Slots, i.memory_base() != Register::None && a.size <= 16, V::Top)
        }
        V::Num(Sum { name: None, .. }) => (Form::UnknownAccess, false, V::Top),
        _ if matches!(p.role, Role::Adapter(_)) => link(m, at, a),
        _ => (Form::UnknownAccess, false, V::Top),
    }
}

/// A word of the descriptor that a reference names.
fn reference(name: u64, k: i64, a: Access) -> (bool, V) {
    let v = match k as u32 {
        table_entry::CODE => V::EntryCode(name),
        table_entry::VMCTX => V::EntryVmctx { table: NO_TABLE, name },
        _ => V::Top,
    };
    (v != V::Top && a.size == 8, v)
}

/// The table of a reference that was not taken out of one.
pub const NO_TABLE: u32 = u32::MAX;

/// Numbers of own memories that do not lie at vmctx begin here.
const FURTHER: u32 = 1 << 16;

fn link(m: &Module<'_>, at: V, a: Access) -> (Form, bool, V) {
    let V::Ptr(Base::Vmctx, Sum { name: Some(_), shift: 4, k }) = at else {
        return (Form::UnknownAccess, false, V::Top);
    };
    let first = i64::from(m.layout.link_slot(0))
        - i64::from(lucet_artifact::abi::FIRST_IMPORT * link_slot::SIZE);
    let v = match (k - first) as u32 {
        link_slot::CODE => V::LinkCode,
        link_slot::VMCTX => V::LinkVmctx,
        _ => V::Top,
    };
    (Form::Slots, v != V::Top && !a.writes && a.size == 8, v)
}

/// Own frame, outgoing arguments and incoming ones.
fn stack(m: &Module<'_>, p: &Piece, s: &State, k: i64, a: Access) -> bool {
    let incoming = match p.role {
        Role::Function(ty) => pops(m.ty(ty)),
        Role::Adapter(ty) => i64::from(host_call_stack_bytes(m.ty(ty))),
        Role::Entry(_) | Role::Fuel | Role::Throw => 0,
    };
    // Tail calls move the return address: where it is in the end is looked at when it is used.
    s.depth().is_some_and(|low| k >= low) && k + a.size <= 8 + incoming
}

/// A word of instance data.
fn instance_data(m: &Module<'_>, k: i64, a: Access) -> (Form, bool, V) {
    let (l, counts) = (&m.layout, m.layout.counts());
    let end = k + a.size;
    let inside = k >= -i64::from(l.size()) && end <= 0;
    let at = |of: i32| i64::from(of) == k && a.size == 8;
    if a.writes {
        let global = (0..counts.own_globals).any(|g| {
            let g = i64::from(l.global(g));
            k >= g && end <= g + 16
        });
        let fuel = at(layout::FUEL) && m.compiled.contract.fuel;
        return (Form::InstanceDataWrite, inside && (global || fuel), V::Top);
    }
    let found = |n: u32, of: &dyn Fn(u32) -> i32| (0..n).find(|i| at(of(*i)));
    let v = if at(layout::MEMORY0_BYTES) {
        V::Bytes(None)
    } else if at(layout::HOST_THUNK) || at(layout::TRAP_STUB) {
        V::Slot(k)
    } else if at(layout::FUNC_DESCS) {
        V::Ptr(Base::Functions, Sum::of(0))
    } else if let Some(n) = found(counts.memories, &|i| l.memory(i)) {
        V::Ptr(Base::MemoryDescriptor(n), Sum::of(0))
    } else if let Some(n) = found(counts.further_memories, &|i| l.further_memory(i)) {
        V::Ptr(Base::Memory(FURTHER + n), Sum::of(0))
    } else if let Some(n) = found(counts.further_memories, &|i| l.further_memory(i) + 8) {
        V::Bytes(Some(FURTHER + n))
    } else if let Some(n) = found(counts.imported_functions, &|i| l.link_slot(i)) {
        V::Linked { import: n, vmctx: false }
    } else if let Some(n) = found(counts.imported_functions, &|i| l.link_slot(i) + 8) {
        V::Linked { import: n, vmctx: true }
    } else if let Some(n) = found(counts.imported_globals, &|i| l.imported_global(i)) {
        V::Ptr(Base::Cell(n), Sum::of(0))
    } else if found(counts.imported_functions, &|i| l.import_slot(i)).is_some() {
        V::Slot(k)
    } else if let Some(n) = found(counts.tables, &|i| l.table(i) + table_desc::BASE as i32) {
        let base = if n < m.imported_tables { Base::TableDescriptor(n) } else { Base::Table(n) };
        V::Ptr(base, Sum::of(0))
    } else if let Some(n) = found(counts.tables, &|i| l.table(i) + table_desc::LEN as i32) {
        V::Len(n)
    } else if a.size == 4
        && let Some(n) = (0..counts.types).find(|t| i64::from(l.sig_id(*t)) == k)
    {
        V::TypeId(n)
    } else {
        V::Top
    };
    (Form::InstanceData, inside, v)
}

/// What the registers hold at the entry of a piece.
pub fn entry(m: &Module<'_>, p: &Piece) -> State {
    const ARGS: [usize; 3] = [7, 6, 2];
    let mut s = State::new();
    for r in [0, 1, 2, 6, 7, 8, 9, 10, 11] {
        s.regs[r] = V::named(WIDE | 1 << 59 | r as u64);
    }
    let mut args = ARGS.into_iter();
    let mut next = || args.next().unwrap_or(ARGS[0]);
    if let Role::Function(ty) = p.role
        && hidden_results(m.ty(ty))
    {
        s.regs[next()] = V::Ptr(Base::Results, Sum::of(0));
    }
    s.regs[next()] = V::Ptr(Base::Vmctx, Sum::of(0));
    match p.role {
        Role::Entry(_) => {
            s.regs[next()] = V::EntryTarget;
            s.regs[next()] = V::Ptr(Base::Slots, Sum::of(0));
        }
        Role::Adapter(_) => s.regs[next()] = V::LinkIndex,
        Role::Throw => s.regs[next()] = V::Thrower,
        Role::Fuel => {
            for (r, v) in s.regs.iter_mut().enumerate().filter(|(r, _)| ![4, 7].contains(r)) {
                *v = V::Initial(r as u8);
            }
        }
        Role::Function(_) => {}
    }
    s
}
