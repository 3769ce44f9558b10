//! What an instruction does to what is known, apart from calls and jumps.

use crate::access::{address, terms};
use crate::state::{AT_MOST, RBP, RSP, State, number};
use crate::value::{Base, ENTRY, Name, Sum, V, WIDE, constant_index};
use iced_x86::{
    ConditionCode, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};

/// The value of an operand; `loaded` is what an operand in memory holds.
pub fn operand(s: &State, i: &Instruction, n: u32, loaded: V) -> V {
    match i.op_kind(n) {
        OpKind::Register => {
            let r = i.op_register(n);
            match number(r) {
                Some(k) if r.is_gpr64() => s.regs[k],
                Some(k) if r.is_gpr32() && s.regs[k].is_u32() => s.regs[k],
                _ => V::Top,
            }
        }
        OpKind::Memory => loaded,
        OpKind::Immediate8to64 | OpKind::Immediate32to64 | OpKind::Immediate64 => {
            V::constant(i.immediate(n) as i64)
        }
        OpKind::Immediate32 => V::constant(i64::from(i.immediate32())),
        OpKind::Immediate8 => V::constant(i64::from(i.immediate8())),
        OpKind::Immediate8to32 => V::constant(i64::from(i.immediate8to32() as u32)),
        _ => V::Top,
    }
}

/// Writes a register that is `r` of an instruction at `at`: 32 bits are zero-extended.
fn write(s: &mut State, r: Register, v: V, at: u32) {
    let Some(n) = number(r) else { return };
    let own = u64::from(at) << 4 | n as u64;
    if v.name() == Some(own) {
        s.forget(own, at);
    }
    let fresh = |s: &mut State| {
        let name = u64::from(at) << 4 | n as u64;
        s.forget(name, at);
        V::named(name)
    };
    let v = if r.is_gpr64() && v == V::Top {
        s.forget(own | WIDE, at);
        V::named(own | WIDE)
    } else if r.is_gpr64() {
        v
    } else if r.is_gpr32() {
        if v.is_u32() { v } else { fresh(s) }
    } else if s.regs[n].is_u32() {
        // The upper part stays as it is.
        fresh(s)
    } else {
        s.forget(own | WIDE, at);
        V::named(own | WIDE)
    };
    s.write(n, v);
}

/// A number without anything known but that its upper half is 0.
fn half(s: &mut State, r: Register, at: u32) {
    if let Some(n) = number(r) {
        let name = u64::from(at) << 4 | n as u64;
        s.forget(name, at);
        s.write(n, V::named(name));
    }
}

/// The sum of two that a register is given at `at`, if both have names.
fn sum(s: &mut State, a: V, b: V, r: Register, at: u32) -> V {
    let own = u64::from(at) << 4 | number(r).unwrap_or(0) as u64 | WIDE;
    s.sum(a, b, own, at)
}

/// What is copied has a name from here on, so that the copy is known to be one.
fn name_source(s: &mut State, i: &Instruction, at: u32) {
    if i.op_kind(1) != OpKind::Register {
        return;
    }
    if let Some(n) = number(i.op_register(1)).filter(|n| s.regs[*n] == V::Top) {
        let name = u64::from(at) << 4 | n as u64 | WIDE;
        s.forget(name, at);
        s.regs[n] = V::named(name);
    }
}

/// Executes an instruction that falls through; `loaded` is what its operand in memory holds, if
/// that is read, `stored` where on the stack it writes.
pub fn step(
    s: &mut State,
    i: &Instruction,
    loaded: V,
    stored: Option<(i64, i64)>,
    info: &mut InstructionInfoFactory,
) {
    let at = i.ip() as u32;
    let to = (i.op_count() > 0 && i.op_kind(0) == OpKind::Register).then(|| i.op_register(0));
    let wide = |r: Register| r.is_gpr64();
    if let Some((k, size)) = stored {
        let v = if i.mnemonic() == Mnemonic::Mov { operand(s, i, 1, V::Top) } else { V::Top };
        s.store(k, size, v);
    }
    match i.mnemonic() {
        Mnemonic::Cmp => {
            s.flags = Some((operand(s, i, 0, loaded), operand(s, i, 1, loaded)));
            return;
        }
        Mnemonic::Test => {
            let (a, b) = (operand(s, i, 0, loaded), operand(s, i, 1, loaded));
            s.flags = (a == b && a != V::Top).then_some((a, V::constant(0)));
            return;
        }
        Mnemonic::Push => {
            let v = operand(s, i, 0, loaded);
            s.regs[RSP] = s.regs[RSP].plus(V::constant(-8));
            if let Some(k) = s.depth() {
                s.store(k, 8, v);
            }
            return;
        }
        Mnemonic::Pop => {
            let v = s.depth().and_then(|k| s.stack.get(&k).copied()).unwrap_or(V::Top);
            s.regs[RSP] = s.regs[RSP].plus(V::constant(8));
            write(s, i.op_register(0), v, at);
            return;
        }
        Mnemonic::Mov | Mnemonic::Movzx => {
            if let Some(r) = to {
                if i.mnemonic() == Mnemonic::Mov && wide(r) {
                    name_source(s, i, at);
                }
                let v = operand(s, i, 1, loaded);
                write(s, r, if i.mnemonic() == Mnemonic::Movzx { V::Top } else { v }, at);
                if i.mnemonic() == Mnemonic::Movzx && wide(r) {
                    half(s, r, at);
                }
                if i.mnemonic() == Mnemonic::Mov && wide(r) && i.op_kind(1) == OpKind::Register {
                    let pair = number(r).zip(number(i.op_register(1)));
                    if let Some((to, from)) =
                        pair.filter(|(a, b)| a != b && ![*a, *b].contains(&RSP))
                    {
                        s.copied(from, to);
                    }
                }
            }
            return;
        }
        Mnemonic::Lea => {
            if let Some(r) = to {
                let mut v = address(s, i);
                if wide(r) && v == V::Top {
                    let (base, index, k) = terms(s, i);
                    v = sum(s, base.plus(k), index, r, at);
                }
                write(s, r, if wide(r) { v } else { V::Top }, at);
            }
            return;
        }
        Mnemonic::Movsxd if to.is_some_and(wide) => {
            let v = if matches!(loaded, V::JumpEntry { .. }) { loaded } else { V::Top };
            write(s, to.unwrap_or_default(), v, at);
            return;
        }
        m if i.condition_code() != ConditionCode::None && format!("{m:?}").starts_with("Cmov") => {
            if let Some(r) = to {
                let v = conditional(s, i, loaded);
                write(s, r, v, at);
            }
            return;
        }
        _ => {}
    }
    if let Some(r) = to.filter(|r| r.is_gpr()) {
        let mut v = arithmetic(s, i, r, loaded);
        if v == V::Top && i.mnemonic() == Mnemonic::Add && wide(r) {
            let (a, b) = (operand(s, i, 0, V::Top), operand(s, i, 1, loaded));
            v = sum(s, a, b, r, at);
        }
        let bits = operand(s, i, 1, loaded).as_constant().filter(|_| v == V::Top && wide(r));
        if let Some(bits) = bits {
            let a = operand(s, i, 0, V::Top);
            let own = u64::from(at) << 4 | number(r).unwrap_or(0) as u64 | WIDE;
            v = match i.mnemonic() {
                // What is left of few bits is bounded, which is worth more: below.
                Mnemonic::And if u16::try_from(bits).is_err() => s.mask(a, false, bits, own, at),
                Mnemonic::Or => s.mask(a, true, bits, own, at),
                _ => V::Top,
            };
        }
        if v != V::Top {
            write(s, r, v, at);
            s.flags = None;
            return;
        }
        if i.mnemonic() == Mnemonic::And
            && r.size() >= 4
            && let Some(most) = operand(s, i, 1, loaded).as_constant()
            && let Ok(most) = u16::try_from(most)
            && let Some(n) = number(r)
        {
            half(s, r, at);
            s.facts.push((u64::from(at) << 4 | n as u64, AT_MOST | u32::from(most)));
            s.flags = None;
            return;
        }
    }
    // Whatever else it writes is not known.
    let narrow = i.op_count() > 0
        && match i.op_kind(0) {
            OpKind::Register => i.op_register(0).is_gpr32(),
            OpKind::Memory => i.memory_size().size() == 4,
            _ => false,
        };
    let implied = matches!(i.mnemonic(), Mnemonic::Cdq | Mnemonic::Cwde);
    let used: Vec<_> =
        info.info(i).used_registers().iter().map(|u| (u.register(), u.access())).collect();
    for (r, access) in used {
        let writes = matches!(
            access,
            OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite | OpAccess::ReadCondWrite
        );
        if !writes || !r.is_gpr() {
            continue;
        }
        let explicit = to.is_some_and(|t| number(t) == number(r));
        let vector_to_half = explicit && to.is_some_and(|t| t.is_gpr32());
        if vector_to_half || (narrow && !explicit) || implied {
            half(s, r, at);
        } else {
            let to = if explicit { to.unwrap_or(r) } else { r };
            write(s, to, V::Top, at);
        }
    }
    if i.rflags_modified() != 0 {
        s.flags = None;
    }
}

/// The result of an operation on its first register, if something is known of it.
fn arithmetic(s: &State, i: &Instruction, r: Register, loaded: V) -> V {
    let n = number(r).unwrap_or(0);
    let (a, b) = (s.regs[n], operand(s, i, 1, loaded));
    // The same register, or a copy.
    let other = (i.op_count() > 1 && i.op_kind(1) == OpKind::Register).then(|| i.op_register(1));
    let copy = |o: Register| {
        let held = number(o).map(|o| s.regs[o]);
        let copied = number(o).is_some_and(|o| s.are_copies(n, o));
        let equal = a.is_exact() && held == Some(a) || copied;
        o.size() == r.size() && equal
    };
    let same = other.is_some_and(|o| o == r || copy(o));
    match i.mnemonic() {
        Mnemonic::Xor | Mnemonic::Sub if same && r.size() >= 4 => V::constant(0),
        _ if !r.is_gpr64() => V::Top,
        Mnemonic::Add => a.plus(b),
        Mnemonic::Sub => b.as_constant().map_or(V::Top, |k| a.plus(V::constant(k.wrapping_neg()))),
        Mnemonic::Shl => match (a, b.as_constant()) {
            (V::LinkIndex, Some(4)) => V::Num(Sum { name: Some(u64::MAX), shift: 4, k: 0 }),
            (a, Some(k)) => a.times(k as u8),
            _ => V::Top,
        },
        Mnemonic::And if b.as_constant().is_none() && (a.is_u32() || b.is_u32()) => {
            V::named(u64::from(i.ip() as u32) << 4 | n as u64)
        }
        Mnemonic::Shr if a.is_u32() || b.as_constant().is_some_and(|k| k >= 32) => {
            V::named(u64::from(i.ip() as u32) << 4 | n as u64)
        }
        _ => V::Top,
    }
}

/// What a conditional move leaves: this is where checks end.
fn conditional(s: &State, i: &Instruction, loaded: V) -> V {
    let (to, from) = (operand(s, i, 0, V::Top), operand(s, i, 1, loaded));
    if to == from {
        return to;
    }
    let (to, from) = (to.number(), from.number());
    let (a, b) = s.flags.map_or((V::Top, V::Top), |(a, b)| (a.number(), b.number()));
    let own = u64::from(i.ip() as u32) << 4 | number(i.op_register(0)).unwrap_or(0) as u64;
    // `greater` when the first operand is what is above the second, unsigned.
    let null = V::constant(0);
    let code = i.condition_code();
    // Which value there is if the first operand is above the second, and if it is not.
    let sides = match code {
        ConditionCode::a => Some((a, b, from, to)),
        ConditionCode::be => Some((a, b, to, from)),
        // The same with the operands exchanged.
        ConditionCode::b => Some((b, a, from, to)),
        ConditionCode::ae => Some((b, a, to, from)),
        _ => None,
    };
    if let Some((end, bytes, above, not_above)) = sides {
        if let (V::Num(e), V::Bytes(memory)) = (end, bytes)
            && above == null
            && let Some(v) = checked(e, memory, not_above, own)
        {
            return v;
        }
        // A wide index, cut to the size of the memory.
        if let (V::Num(sum), V::Bytes(memory)) = (end, bytes)
            && above == bytes
            && not_above == end
        {
            return V::Min { sum, memory, k: 0 };
        }
        if let (V::Bytes(memory), V::Num(sum)) = (end, bytes)
            && above == bytes
            && not_above == end
        {
            return V::Min { sum, memory, k: 0 };
        }
        if let (V::Min { sum, memory, k: reach }, V::Bytes(of), V::Ptr(base, at)) =
            (end, bytes, not_above)
            && memory == of
            && above == null
            && base == memory.map_or(Base::Vmctx, Base::Memory)
            && (at.name, at.shift) == (sum.name, sum.shift)
        {
            let behind = memory.is_some();
            return V::Checked { k: at.k.wrapping_sub(sum.k), reach, behind, null: 0, name: own };
        }
        // The index of a table: kept if the length is above it.
        if let (V::Len(table), V::Num(Sum { name: Some(name), shift: 0, k: 0 })) = (end, bytes)
            && bytes == above
            && not_above == null
        {
            return V::Index { table, name: name | ENTRY };
        }
        if let (V::Len(table), V::Num(Sum { name: None, k, .. })) = (end, bytes)
            && bytes == above
            && not_above == null
        {
            return V::Index { table, name: constant_index(k) };
        }
        // The index of a jump table: the larger of both is not taken.
        if let (Some(last), true) = (end.as_constant(), bytes == above && not_above == end)
            && let Ok(last) = u32::try_from(last)
        {
            return V::Bounded { last, name: own };
        }
        if let (Some(last), true) = (bytes.as_constant(), end == not_above && above == bytes)
            && let Ok(last) = u32::try_from(last)
        {
            return V::Bounded { last, name: own };
        }
    }
    // The first byte of a memory, unless it has none.
    if let (V::Bytes(memory), true) = (a, b == null) {
        let (if_empty, else_) = match code {
            ConditionCode::e => (from, to),
            ConditionCode::ne => (to, from),
            _ => (V::Top, V::Top),
        };
        if if_empty == null
            && let Some(v) = checked(Sum::of(1), memory, else_, own)
        {
            return v;
        }
    }
    let vmctx = V::Ptr(Base::Vmctx, Sum::of(0));
    if let (V::EntryVmctx { name, .. }, true) = (a, b == null) {
        let (if_null, else_) = match code {
            ConditionCode::e => (from, to),
            ConditionCode::ne => (to, from),
            _ => (V::Top, V::Top),
        };
        if if_null == vmctx && else_ == a {
            return V::EntryContext(name);
        }
    }
    if to.is_u32() && from.is_u32() {
        return V::named(own);
    }
    V::Top
}

/// An address that is only used if `end` is not above the size of a memory.
fn checked(end: Sum, memory: Option<u32>, at: V, name: Name) -> Option<V> {
    let base = match memory {
        None => Base::Vmctx,
        Some(n) => Base::Memory(n),
    };
    match at {
        V::Ptr(b, sum) if b == base && sum.name == end.name && sum.shift == 0 && end.shift == 0 => {
            Some(V::Checked { k: sum.k, reach: end.k, behind: memory.is_some(), null: 0, name })
        }
        _ => None,
    }
}

/// Forgets what a call may change: everything but what the callee keeps.
pub fn after_call(s: &mut State, i: &Instruction, kept: &[usize]) {
    let at = i.ip() as u32;
    for r in 0..16 {
        if r != RSP && r != RBP && !kept.contains(&r) {
            let name = WIDE | u64::from(at) << 4 | r as u64;
            s.forget(name, at);
            s.write(r, V::named(name));
        }
    }
    // A call may write tables and move them; memories only grow.
    let of_table = |v: &V| {
        matches!(
            v,
            V::Ptr(Base::Table(_), _)
                | V::Len(_)
                | V::Index { .. }
                | V::Scaled { .. }
                | V::Entry { .. }
                | V::Signature(_)
                | V::EntryCode(_)
                | V::EntryVmctx { .. }
                | V::EntryContext(_)
        )
    };
    s.rename_all(at, of_table);
    s.stack.retain(|_, v| !of_table(v));
    // What lies below the stack pointer, and the arguments that were there, belonged to the callee.
    if let Some(low) = s.depth() {
        s.stack.retain(|k, _| *k >= low);
    }
    s.facts.retain(|(_, ty)| *ty & AT_MOST != 0);
    s.flags = None;
}
