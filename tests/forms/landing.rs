//! Exceptions: the glue that throws, who calls it, and where calls that are left by one go on.

use crate::flow::{SYSTEM_V, TAIL, Walk};
use crate::report::{Form, Report};
use crate::state::{RBP, RSP, State};
use crate::step::after_call;
use crate::value::{Base, Sum, V};
use iced_x86::{Instruction, Mnemonic};
use lucet_artifact::abi::Builtin;
use lucet_artifact::layout;

/// The builtins that the glue may be asked for.
const THROWERS: [Builtin; 3] = [Builtin::Throw, Builtin::ThrowRef, Builtin::Rethrow];

/// Offset of a pointer into the own stack.
fn stack_offset(v: V) -> Option<i64> {
    match v {
        V::Ptr(Base::Stack, Sum { name: None, k, .. }) => Some(k),
        _ => None,
    }
}

impl Walk<'_> {
    /// The glue's call: the number is the one that it was given.
    pub fn thrower_calls(&self, s: &mut State, i: &Instruction, slot: i64, report: &mut Report) {
        let own = s.regs[7] == V::Ptr(Base::Vmctx, Sum::of(0));
        let thunk = slot == i64::from(layout::HOST_THUNK) && s.regs[6] == V::Thrower;
        let behind = self.decode(i.next_ip() as u32).mnemonic() == Mnemonic::Ud2;
        report.note(Form::Throw, own && thunk && behind, || self.words(i));
        after_call(s, i, &SYSTEM_V);
    }

    /// A call of the glue: the number is that of a builtin that throws.
    pub fn call_throw(&mut self, s: &mut State, i: &Instruction, report: &mut Report) {
        let own = s.regs[7] == V::Ptr(Base::Vmctx, Sum::of(0));
        let which = s.regs[6].as_constant();
        let good = which.is_some_and(|n| THROWERS.iter().any(|b| *b as i64 == n));
        report.note(Form::Throw, own && good, || self.words(i));
        let before = s.clone();
        after_call(s, i, &TAIL);
        self.lands(&before, s, i, report);
    }

    /// A call in the guest's convention may be left to a landing pad: there the two pointers of the
    /// frame are as they were at the call, and of the other registers nothing is known.
    pub fn lands(&mut self, before: &State, s: &State, i: &Instruction, report: &mut Report) {
        let call = i.next_ip() as u32;
        let Some((target, frame)) = self.m.handlers.get(&call).copied() else { return };
        self.landed.insert(call);
        let frame_pointer = stack_offset(before.regs[RBP]);
        let is_frame = frame_pointer.map(|k| k - i64::from(frame)) == before.depth();
        let good = is_frame && before.depth().is_some() && self.inside(target);
        report.note(Form::Landing, good, || {
            format!("{} to {target:x}, frame of {frame}", self.words(i))
        });
        if !self.inside(target) {
            return;
        }
        let mut pad = s.clone();
        after_call(&mut pad, i, &[]);
        pad.regs[RSP] = before.regs[RSP];
        self.landings.push((target, pad));
    }

    /// Whether each handler of this piece is that of a call.
    pub fn all_landed(&self, report: &mut Report) {
        for (call, _) in self.m.handlers.range(self.p.start..=self.p.end) {
            if !self.landed.contains(call) {
                report.note(Form::Landing, false, || {
                    format!("{call:x} in {:x?}: no call in the guest's convention", self.p)
                });
            }
        }
    }
}
