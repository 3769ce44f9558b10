//! Hand-made compiled modules.

use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{AbiParam, Function, InstBuilder, Signature, UserFuncName, types};
use cranelift_codegen::isa::unwind::UnwindInfo;
use cranelift_codegen::isa::{CallConv, OwnedTargetIsa, lookup};
use cranelift_codegen::settings::{self, Configurable};
use lucet_artifact::abi::TrapCode;
use lucet_artifact::code::{FuncRecord, HandlerTable, Hints, NO_REF, PcRow, TrapTable};
use lucet_artifact::container::TEXT_FILLER;
use lucet_artifact::contract::{
    Contract, Export, ExportKind, Exports, Import, ImportKind, Imports, cpu,
};
use lucet_artifact::init::Init;
use lucet_artifact::types::{FuncType, NO_CODE, TypeRecord, TypeTable, ValType};
use lucetc::model::{Compiled, CompiledFunc, Glue, Uses};

fn isa() -> OwnedTargetIsa {
    let mut flags = settings::builder();
    for (name, value) in [("is_pic", "true"), ("preserve_frame_pointers", "true")] {
        flags.set(name, value).unwrap();
    }
    let triple = target_lexicon::triple!("x86_64-unknown-linux-gnu");
    lookup(triple).unwrap().finish(settings::Flags::new(flags)).unwrap()
}

/// `fn(i64) -> i64` that adds `n`.
fn adder(isa: &OwnedTargetIsa, n: i64) -> (Vec<u8>, UnwindInfo) {
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.push(AbiParam::new(types::I64));
    signature.returns.push(AbiParam::new(types::I64));
    let mut func = Function::with_name_signature(UserFuncName::user(0, 0), signature);
    let block = func.dfg.make_block();
    let x = func.dfg.append_block_param(block, types::I64);
    let mut c = FuncCursor::new(&mut func);
    c.insert_block(block);
    let n = c.ins().iconst(types::I64, n);
    let sum = c.ins().iadd(x, n);
    c.ins().return_(&[sum]);
    let mut context = Context::for_function(func);
    let code = context.compile(&**isa, &mut ControlPlane::default()).unwrap();
    let unwind = code.create_unwind_info(&**isa).unwrap().unwrap();
    (code.code_buffer().to_vec(), unwind)
}

fn contract(functions: u32) -> Contract {
    Contract {
        abi_version: lucet_artifact::ABI_VERSION,
        compiler: "0.0.0-test".into(),
        codegen: "by hand".into(),
        source_hash: [7; 32],
        policy_hash: [6; 32],
        cpu: cpu::X86_64_V2,
        features: 0,
        instance_data: 64,
        min_stack: 0,
        fuel: false,
        memories: vec![],
        tables: vec![],
        globals: vec![],
        tags: vec![],
        functions,
        start: None,
        labels: vec![],
    }
}

/// A module without anything.
pub fn empty() -> Compiled {
    Compiled {
        uses: Uses::default(),
        contract: contract(0),
        types: TypeTable::default(),
        imports: Imports::default(),
        exports: Exports::default(),
        init: Init::default(),
        data: vec![],
        image: vec![],
        text: vec![],
        funcs: vec![],
        glue: vec![],
        traps: TrapTable::default(),
        handlers: HandlerTable::default(),
        hints: Hints::default(),
        unwind: vec![],
        cie: isa().create_systemv_cie().unwrap(),
    }
}

/// Names of the functions of [`adders`]; the first is an import without code.
pub const NAMES: [&str; 5] = ["env.log", "add one", "größe", "", "add one"];

/// A module with an import, four functions with awkward names, glue, a trap, data and an image.
pub fn adders() -> Compiled {
    let isa = isa();
    let mut c = empty();
    c.contract.functions = NAMES.len() as u32;
    let ty = FuncType { params: vec![ValType::I64], results: vec![ValType::I64] };
    for (i, name) in NAMES.iter().enumerate() {
        let mut record = FuncRecord {
            offset: NO_CODE,
            size: 0,
            ty: 0,
            name: 0,
            reference: NO_REF,
            frame: 0,
            pops: 0,
            pcmap: 0,
        };
        let mut rows = vec![];
        if i > 0 {
            let at;
            (at, record.size) = append(&mut c, adder(&isa, i as i64));
            record.offset = at;
            rows = vec![PcRow { pc: 0, wasm: 40 * i as u32 }, PcRow { pc: 4, wasm: 30 }];
        }
        c.funcs.push(CompiledFunc { record, name: (*name).into(), rows });
    }
    let (offset, size) = append(&mut c, adder(&isa, 99));
    c.glue.push(Glue { name: "lucet_entry[0]".into(), offset, size });
    c.types.types.push(TypeRecord { ty, entry: offset, adapter: NO_CODE });
    c.imports.imports.push(Import {
        module: "env".into(),
        name: "log".into(),
        kind: ImportKind::Func(0),
    });
    c.exports.exports.push(Export { name: "größe".into(), kind: ExportKind::Func, index: 2 });
    c.traps.sites.push((1, TrapCode::Unreachable));
    c.hints.data.push((2, 1));
    c.data = b"some data".to_vec();
    c
}

/// [`adders`] with a memory image of `pages` native pages.
pub fn with_image(pages: usize) -> Compiled {
    let mut c = adders();
    c.image = (0..pages * 4096).map(|i| i as u8).collect();
    c
}

/// A small module that went through all stages.
pub fn translated() -> Compiled {
    let text = r#"(module
      (import "env" "log" (func $log (param i32)))
      (memory (export "memory") 2)
      (data (i32.const 70000) "in the image")
      (data "passive")
      (table 3 funcref)
      (elem (i32.const 0) $fac $log)
      (global $calls (mut i32) (i32.const 0))
      (func $fac (export "fac") (param i64) (result i64)
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (if (result i64) (i64.eqz (local.get 0))
          (then (i64.const 1))
          (else (i64.mul (local.get 0) (call $fac (i64.sub (local.get 0) (i64.const 1)))))))
      (func (export "div") (param i32 i32) (result i32)
        (i32.div_s (local.get 0) (local.get 1))))"#;
    lucetc::compile_to_model(text.as_bytes(), &lucetc::Options::default()).unwrap()
}

/// Appends code at the next function boundary; returns offset and size.
fn append(c: &mut Compiled, (code, unwind): (Vec<u8>, UnwindInfo)) -> (u32, u32) {
    let at = c.text.len().next_multiple_of(32);
    c.text.resize(at, TEXT_FILLER);
    c.text.extend_from_slice(&code);
    let UnwindInfo::SystemV(unwind) = unwind else { panic!("System V unwind information") };
    c.unwind.push((at as u32, unwind));
    (at as u32, code.len() as u32)
}
