//! Which proposals take part: those that lucetc compiles. A probe for each says so, so that what is
//! added to the compiler is generated from then on, without a list here to forget.

use wasmparser::WasmFeatures;

/// Proposals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    pub simd: bool,
    pub relaxed_simd: bool,
    pub tail_call: bool,
    pub multi_memory: bool,
    pub memory64: bool,
    pub function_references: bool,
    pub exceptions: bool,
    pub threads: bool,
    pub extended_const: bool,
    pub wide_arithmetic: bool,
}

impl Features {
    /// What lucetc compiles.
    pub fn probe() -> Self {
        let has = |text: &str| lucetc::compile(text.as_bytes(), &one_thread()).is_ok();
        Self {
            simd: has(
                "(module (func (param v128) (result v128) local.get 0 local.get 0 i8x16.add))",
            ),
            relaxed_simd: has("(module (func (param v128 v128) (result v128)
                local.get 0 local.get 1 i8x16.relaxed_swizzle))"),
            tail_call: has("(module (func $f return_call $f))"),
            multi_memory: has("(module (memory 1) (memory 1) (func (result i32)
                (i32.load 1 (i32.const 0))))"),
            memory64: has("(module (memory i64 1) (func (result i32) (i32.load (i64.const 0))))"),
            function_references: has(
                "(module (type $f (func)) (func (param (ref $f)) (call_ref $f (local.get 0))))",
            ),
            exceptions: has("(module (tag $e) (func (block $b
                (try_table (catch $e $b) (throw $e)))))"),
            threads: has("(module (memory 1) (func (result i32)
                (i32.atomic.rmw.add (i32.const 0) (i32.const 1))))"),
            extended_const: has("(module (global i32 (i32.add (i32.const 1) (i32.const 2))))"),
            wide_arithmetic: has("(module (func (result i64 i64)
                (i64.mul_wide_u (i64.const -1) (i64.const -1))))"),
        }
    }

    /// Proposals as wasmparser counts them: what a module may use to be accepted.
    pub fn accepted(self) -> WasmFeatures {
        let mut f = WasmFeatures::MUTABLE_GLOBAL
            | WasmFeatures::SATURATING_FLOAT_TO_INT
            | WasmFeatures::SIGN_EXTENSION
            | WasmFeatures::REFERENCE_TYPES
            | WasmFeatures::MULTI_VALUE
            | WasmFeatures::BULK_MEMORY
            | WasmFeatures::FLOATS
            | WasmFeatures::GC_TYPES;
        for (on, feature) in [
            (self.simd, WasmFeatures::SIMD),
            (self.relaxed_simd, WasmFeatures::RELAXED_SIMD),
            (self.tail_call, WasmFeatures::TAIL_CALL),
            (self.multi_memory, WasmFeatures::MULTI_MEMORY),
            (self.memory64, WasmFeatures::MEMORY64),
            (self.function_references, WasmFeatures::FUNCTION_REFERENCES),
            (self.exceptions, WasmFeatures::EXCEPTIONS),
            (self.threads, WasmFeatures::THREADS),
            (self.extended_const, WasmFeatures::EXTENDED_CONST),
            (self.wide_arithmetic, WasmFeatures::WIDE_ARITHMETIC),
        ] {
            f.set(feature, on);
        }
        f
    }
}

/// The default options on this thread.
pub fn one_thread() -> lucetc::Options {
    lucetc::Options { threads: 1, ..lucetc::Options::default() }
}
