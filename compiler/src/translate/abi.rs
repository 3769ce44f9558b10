//! Signatures, memory flags and alias regions: what every piece of generated code shares.
//!
//! Alias regions tell Cranelift which accesses cannot touch the same bytes. There is one per *kind*
//! of memory and never one per element: a function may hold 65,535 distinct flags at most, and
//! Cranelift panics beyond that.

use cranelift_codegen::ir::{
    AbiParam, AliasRegion, AliasRegionData, ArgumentPurpose, Endianness, Function, MemFlagsData,
    Signature, Type, types,
};
use cranelift_codegen::isa::CallConv;
use lucet_artifact::abi::{Builtin, results_by_pointer};
use lucet_artifact::types::{FuncType, ValType};

/// Cranelift's type for a value. References are opaque 64 bits.
#[must_use]
pub fn clif_type(t: ValType) -> Type {
    match t {
        ValType::I32 => types::I32,
        ValType::I64 | ValType::Ref(_) => types::I64,
        ValType::F32 => types::F32,
        ValType::F64 => types::F64,
        ValType::V128 => types::I8X16,
    }
}

fn with_vmctx(convention: CallConv) -> Signature {
    let mut s = Signature::new(convention);
    s.params.push(AbiParam::special(types::I64, ArgumentPurpose::VMContext));
    s
}

/// A guest function: `Tail`, vmctx first.
#[must_use]
pub fn guest(ty: &FuncType) -> Signature {
    let mut s = with_vmctx(CallConv::Tail);
    s.params.extend(ty.params.iter().map(|t| AbiParam::new(clif_type(*t))));
    s.returns.extend(ty.results.iter().map(|t| AbiParam::new(clif_type(*t))));
    s
}

/// A host thunk or link adapter: System V, `(vmctx, index, arguments…, results?)`; a vector is
/// passed by its address.
#[must_use]
pub fn host(ty: &FuncType) -> Signature {
    let mut s = with_vmctx(CallConv::SystemV);
    s.params.push(AbiParam::new(types::I32));
    s.params.extend(ty.params.iter().map(|t| {
        AbiParam::new(match t {
            ValType::V128 => types::I64,
            t => clif_type(*t),
        })
    }));
    if results_by_pointer(&ty.results) {
        s.params.push(AbiParam::new(types::I64));
    } else {
        s.returns.extend(ty.results.iter().map(|t| AbiParam::new(clif_type(*t))));
    }
    s
}

/// A builtin, called through the host thunk.
#[must_use]
pub fn builtin(b: Builtin) -> Signature {
    let (params, results) = b.signature();
    let mut s = with_vmctx(CallConv::SystemV);
    s.params.push(AbiParam::new(types::I32));
    s.params.extend(params.iter().map(|t| AbiParam::new(clif_type(*t))));
    s.returns.extend(results.iter().map(|t| AbiParam::new(clif_type(*t))));
    s
}

/// The trap stub: System V, `(vmctx, code)`, does not return.
#[must_use]
pub fn trap_stub() -> Signature {
    let mut s = with_vmctx(CallConv::SystemV);
    s.params.push(AbiParam::new(types::I32));
    s
}

/// The routine that is called when fuel is used up: `(vmctx)`. It changes no register, so that what
/// calls it, in a cold block of a loop, does not make the loop keep its values elsewhere.
#[must_use]
pub fn out_of_fuel() -> Signature {
    with_vmctx(CallConv::PreserveAll)
}

/// The glue that throws: `(vmctx, number of a builtin, its arguments)`, in the guest's convention,
/// so that what it throws can land at its call.
#[must_use]
pub fn throw() -> Signature {
    let mut s = with_vmctx(CallConv::Tail);
    s.params.extend([types::I32, types::I64, types::I64].map(AbiParam::new));
    s
}

/// An entry trampoline: System V, `(vmctx, code, slots)`.
#[must_use]
pub fn entry() -> Signature {
    let mut s = with_vmctx(CallConv::SystemV);
    s.params.push(AbiParam::new(types::I64));
    s.params.push(AbiParam::new(types::I64));
    s
}

/// The alias regions of a function.
#[derive(Debug, Clone, Copy)]
pub struct Regions {
    memory: AliasRegion,
    data: AliasRegion,
    tables: AliasRegion,
    globals: AliasRegion,
    fuel: AliasRegion,
}

impl Regions {
    /// Declares the regions in a function.
    pub fn new(func: &mut Function) -> Self {
        let mut region = |user_id, description: &'static str| {
            let description = description.into();
            func.dfg.alias_regions.insert(AliasRegionData { user_id, description })
        };
        Self {
            memory: region(0, "linear memory"),
            data: region(1, "instance data"),
            tables: region(2, "tables"),
            globals: region(3, "globals"),
            fuel: region(4, "fuel"),
        }
    }

    /// Access to linear memory: may be unaligned, may trap as out of bounds.
    #[must_use]
    pub fn memory(self) -> MemFlagsData {
        MemFlagsData::new().with_endianness(Endianness::Little).with_alias_region(Some(self.memory))
    }

    /// A word of instance data that may change.
    #[must_use]
    pub fn data(self) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(Some(self.data))
    }

    /// A word of instance data that never changes while the instance lives.
    #[must_use]
    pub fn constant(self) -> MemFlagsData {
        self.data().with_readonly().with_can_move()
    }

    /// Table descriptors and entries.
    #[must_use]
    pub fn tables(self) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(Some(self.tables))
    }

    /// The fuel counter.
    #[must_use]
    pub fn fuel(self) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(Some(self.fuel))
    }

    /// Globals, own and imported: two imports may name the same cell.
    #[must_use]
    pub fn globals(self) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(Some(self.globals))
    }
}
