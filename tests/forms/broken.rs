//! Each form broken on purpose, by a few bytes of the code: the count must notice, in that form.

use crate::flow;
use crate::module::Module;
use crate::report::Form;
use crate::state::State;
use crate::value::V;
use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};
use lucet_artifact::code::Handler;
use lucet_artifact::types::MemoryShape;
use lucetc::Options;
use lucetc::model::Compiled;

const PROGRAM: &str = r#"(module
  (import "env" "f" (func $imported (param i32) (result i32)))
  (type $unary (func (param i32) (result i32)))
  (memory 1 3)
  (table $t 4 funcref)
  (global $g (mut i32) (i32.const 1))
  (elem (i32.const 0) $near)
  (func $near (param i32) (result i32) (i32.load offset=0x1000 (local.get 0)))
  (func $far (param i32) (result i32) (i32.load offset=0x7fffffff (local.get 0)))
  (func $set (param i32) (global.set $g (local.get 0)))
  (func $get (result i32) (global.get $g))
  (func $direct (result i32) (call $near (i32.const 3)))
  (func $out (param i32) (result i32) (call $imported (local.get 0)))
  (func $grow (param i32) (result i32) (memory.grow (local.get 0)))
  (func $indirect (param i32) (result i32)
    (call_indirect $t (type $unary) (local.get 0) (local.get 0)))
  (func $switch (param i32) (result i32)
    (block (block (block (br_table 0 1 2 0 1 (local.get 0))) (return (i32.const 4)))
      (return (i32.const 5)))
    (i32.const 6))
  (func $loop (param i32)
    (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func $half (param f64) (result f64) (f64.add (local.get 0) (f64.const 1.5)))
  (func $many (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (local.get 7))
  (func $pass (param i32) (result i32) (call $many (local.get 0) (local.get 0) (local.get 0)
    (local.get 0) (local.get 0) (local.get 0) (local.get 0) (local.get 0)))
  (func $trap unreachable))"#;

const THROWER: &str = r#"(module
  (import "env" "f" (func $imported))
  (memory 1)
  (tag $e (param i32))
  (func $throw (param i32) (throw $e (local.get 0)))
  (func $catch (param i32) (result i32)
    (block $caught (result i32)
      (try_table (catch $e $caught) (call $throw (local.get 0)))
      (i32.const 1))
    (i32.load offset=0x1000)))"#;

const IMPORTER: &str = r#"(module
  (import "env" "m" (memory 1))
  (import "env" "g" (global $g (mut i64)))
  (import "env" "t" (table $t 1 funcref))
  (func $near (param i32) (result i32) (i32.load offset=16 (local.get 0)))
  (func $set (param i64) (global.set $g (local.get 0)))
  (func $get (param i32) (result funcref) (table.get $t (local.get 0))))"#;

/// Damage: to which instruction, what is done to its bytes, and the form that is broken.
struct Damage {
    what: &'static str,
    text: &'static str,
    function: &'static str,
    find: fn(&Instruction) -> bool,
    change: fn(&mut [u8]),
    form: Form,
}

fn nops(bytes: &mut [u8]) {
    bytes.fill(0x90);
}

/// Adds to the last four bytes, a displacement or an immediate.
fn far(bytes: &mut [u8]) {
    let at = bytes.len() - 2;
    bytes[at] ^= 0x40;
}

fn is(i: &Instruction, m: Mnemonic) -> bool {
    i.mnemonic() == m
}

fn memory(i: &Instruction) -> bool {
    (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory) && !is(i, Mnemonic::Lea)
}

fn damages() -> Vec<Damage> {
    let damage = |what, function, find, change, form| Damage {
        what,
        text: PROGRAM,
        function,
        find,
        change,
        form,
    };
    let thrower = |what, function, find, change, form| Damage {
        what,
        text: THROWER,
        function,
        find,
        change,
        form,
    };
    let importer = |what, function, find, change, form| Damage {
        what,
        text: IMPORTER,
        function,
        find,
        change,
        form,
    };
    vec![
        damage(
            "an index that is not zero-extended",
            "near",
            |i| i.code() == Code::Mov_r32_rm32 && i.op0_register() == i.op1_register(),
            nops,
            Form::UnknownAccess,
        ),
        damage(
            "a displacement beyond the guard",
            "near",
            |i| i.memory_index() != Register::None && memory(i),
            |b| b[b.len() - 1] = 0x7f,
            Form::GuardedAccess,
        ),
        damage(
            "a scaled index",
            "near",
            |i| i.memory_index() != Register::None && memory(i),
            |b| b[b.len() - 5] |= 0xc0,
            Form::UnknownAccess,
        ),
        damage("no comparison", "far", |i| is(i, Mnemonic::Cmp), nops, Form::UnknownAccess),
        damage(
            "another comparison",
            "far",
            |i| is(i, Mnemonic::Cmova),
            |b| b[2] = 0x42,
            Form::UnknownAccess,
        ),
        damage(
            "a comparison with another word",
            "far",
            |i| is(i, Mnemonic::Cmp) && memory(i),
            |b| b[b.len() - 1] = 0xf0,
            Form::UnknownAccess,
        ),
        damage(
            "a read below the instance data",
            "get",
            |i| i.memory_base() == Register::RDI && memory(i),
            // As a displacement of 8 bits there is no room for that: upwards instead.
            |b| b[b.len() - 1] = 0x7f,
            Form::ConstantAccess,
        ),
        damage(
            "a write of a code address",
            "set",
            |i| i.memory_base() == Register::RDI && memory(i),
            |b| b[b.len() - 1] = 0xe0,
            Form::InstanceDataWrite,
        ),
        damage(
            "an unchecked table index",
            "indirect",
            |i| is(i, Mnemonic::Cmovae),
            nops,
            Form::UnknownAccess,
        ),
        damage(
            "a signature that is not compared",
            "indirect",
            |i| is(i, Mnemonic::Jne) || i.condition_code() == iced_x86::ConditionCode::ne,
            nops,
            Form::IndirectCall,
        ),
        damage(
            "another import's index",
            "out",
            |i| i.code() == Code::Mov_r32_imm32 && i.op0_register() == Register::ESI,
            |b| b[1] = 0x41,
            Form::HostCall,
        ),
        damage(
            "a builtin that there is not",
            "grow",
            |i| i.flow_control() == FlowControl::IndirectCall,
            |b| b[b.len() - 1] ^= 1,
            Form::IndirectCall,
        ),
        damage(
            "a call into a function",
            "direct",
            |i| i.flow_control() == FlowControl::Call,
            |b| b[1] ^= 4,
            Form::DirectCall,
        ),
        damage(
            "a frame pointer that is lost",
            "near",
            |i| is(i, Mnemonic::Pop),
            nops,
            Form::Return,
        ),
        damage(
            "arguments that stay",
            "many",
            |i| is(i, Mnemonic::Ret),
            |b| b[1] ^= 0x10,
            Form::Return,
        ),
        damage(
            "a stack slot outside the frame",
            "pass",
            |i| i.memory_base() == Register::RSP && memory(i) && i.memory_displacement64() == 8,
            |b| b[b.len() - 1] = 0x7f,
            Form::Stack,
        ),
        damage(
            "a system call",
            "near",
            |i| is(i, Mnemonic::Mov) && i.len() == 2,
            |b| b.copy_from_slice(&[0x0f, 0x05]),
            Form::Listed,
        ),
        damage(
            "a segment",
            "loop",
            |i| is(i, Mnemonic::Mov) && i.len() == 3,
            |b| b.copy_from_slice(&[0x64, 0x8b, 0x07]),
            Form::Listed,
        ),
        damage(
            "a jump elsewhere",
            "loop",
            |i| i.flow_control() == FlowControl::ConditionalBranch,
            far,
            Form::Jump,
        ),
        damage(
            "a switch with the larger of index and bound",
            "switch",
            |i| is(i, Mnemonic::Cmovb),
            // cmovb becomes cmovae.
            |b| b.iter_mut().filter(|b| **b == 0x42).for_each(|b| *b = 0x43),
            Form::JumpTable,
        ),
        damage(
            "a constant of somebody else",
            "half",
            |i| i.is_ip_rel_memory_operand(),
            far,
            Form::Constant,
        ),
        damage("a trap that goes on", "trap", |i| is(i, Mnemonic::Ud2), nops, Form::Trap),
        thrower(
            "a number that throws nothing",
            "throw",
            |i| i.code() == Code::Mov_r32_imm32 && i.op0_register() == Register::ESI,
            |b| b[1] = 0,
            Form::Throw,
        ),
        thrower(
            "throwing that goes on",
            "lucet_throw",
            |i| is(i, Mnemonic::Ud2),
            nops,
            Form::Throw,
        ),
        thrower(
            "a landing pad that expects a register",
            "catch",
            |i| memory(i) && i.op0_register() == Register::RDI,
            nops,
            Form::UnknownAccess,
        ),
        importer(
            "a memory that is not compared",
            "near",
            |i| is(i, Mnemonic::Cmova),
            nops,
            Form::UnknownAccess,
        ),
        importer(
            "another word of the descriptor",
            "near",
            |i| i.memory_displacement64() == 8 && memory(i),
            |b| b[b.len() - 1] = 0x10,
            Form::Descriptor,
        ),
        importer(
            "a store to an argument",
            "set",
            |i| memory(i) && i.op0_kind() == OpKind::Memory,
            |b| {
                let n = b.len();
                b[n - 1] = 0x36;
            },
            Form::UnknownAccess,
        ),
        importer(
            "behind a table entry",
            "get",
            |i| i.memory_displacement64() == 24 && memory(i),
            |b| b[b.len() - 1] = 0x20,
            Form::TableEntry,
        ),
    ]
}

fn compile(text: &str) -> Compiled {
    let options = Options { memory: MemoryShape::Guarded, threads: 1, ..Options::default() };
    lucetc::compile_to_model(text.as_bytes(), &options).unwrap_or_else(|e| panic!("{e}"))
}

/// The first instruction of a function that is meant: offset and length.
fn find(c: &Compiled, d: &Damage) -> Option<(usize, usize)> {
    let named = c.funcs.iter().find(|f| f.name == d.function);
    let glue = c.glue.iter().find(|g| g.name == d.function);
    let function = named.map(|f| (f.record.offset, f.record.size));
    let (offset, size) = function.or(glue.map(|g| (g.offset, g.size)))?;
    let code = c.text.get(offset as usize..(offset + size) as usize)?;
    let decoder = Decoder::with_ip(64, code, offset.into(), DecoderOptions::NONE);
    let mut all = decoder.into_iter();
    all.find(|i| (d.find)(i)).map(|i| (i.ip() as usize, i.len()))
}

/// Whether numbers that differ have different names where ways meet: a register that had a number
/// in the round before, and the one that has it now.
fn rounds_are_kept_apart() -> bool {
    let with = |a: V, b: V| {
        let mut s = State::new();
        (s.regs[0], s.regs[3]) = (a, b);
        s
    };
    let (i, j) = (V::named(1), V::named(2));
    let mut head = with(i, i);
    head.meet(&with(j, j), 0x100);
    let same = head.regs[0] == head.regs[3];
    let before = head.regs[0];
    head.meet(&with(V::named(3), before), 0x100);
    let differ = head.regs[0] != head.regs[3];
    // What was overwritten by the same instruction twice is two numbers.
    let mut body = with(i, j);
    body.forget(1, 0x200);
    body.regs[3] = body.regs[0];
    body.regs[0] = i;
    body.forget(1, 0x200);
    same && differ && body.regs[0] != body.regs[3]
}

/// Whether all damage is noticed.
pub fn every_form_can_be_broken() -> bool {
    let mut good = rounds_are_kept_apart();
    for text in [PROGRAM, IMPORTER, THROWER] {
        let c = compile(text);
        let report = flow::check(&Module::new(&c));
        if report.violations() != 0 {
            report.print();
            good = false;
        }
    }
    for d in damages() {
        let mut c = compile(d.text);
        let Some((at, n)) = find(&c, &d) else {
            println!("{}: there is no such instruction in {}", d.what, d.function);
            good = false;
            continue;
        };
        (d.change)(&mut c.text[at..at + n]);
        let report = flow::check(&Module::new(&c));
        if report.of(d.form).1 == 0 {
            println!("{}: not noticed as {:?}: {:?}", d.what, d.form, report.examples);
            good = false;
        }
    }
    let mut c = compile(PROGRAM);
    if let Some(at) = c.text.iter().rposition(|b| *b == 0xcc) {
        c.text[at] = 0x90;
    }
    good &= flow::check(&Module::new(&c)).of(Form::Piece).1 > 0;
    let handlers: [fn(&mut Handler); 3] =
        [|h| h.frame += 8, |h| h.call += 1, |h| h.target = 1 << 20];
    for (n, change) in handlers.iter().enumerate() {
        let mut c = compile(THROWER);
        c.handlers.handlers.iter_mut().for_each(change);
        if flow::check(&Module::new(&c)).of(Form::Landing).1 == 0 {
            println!("damage {n} of handlers: not noticed");
            good = false;
        }
    }
    println!("{} forms broken, noticed: {good}", damages().len() + handlers.len() + 1);
    good
}
