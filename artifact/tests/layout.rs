//! Instance data: nothing overlaps, everything is aligned and inside; and the C calling convention.

use lucet_artifact::abi::{
    Builtin, FIRST_IMPORT, TrapCode, VALUE_SLOT, host_call_stack_bytes, host_params,
    results_by_pointer,
};
use lucet_artifact::layout::{
    ABI_WORD, CONTROL, Counts, FUEL, FUNC_DESCS, HEADER, HOST_THUNK, Layout, MEMORY0_BASE,
    MEMORY0_BYTES, TRAP_STUB,
};
use lucet_artifact::limits::MAX_INSTANCE_DATA;
use lucet_artifact::types::{FuncType, ValType};
use proptest::prelude::*;

/// Every array: name, number of items, size and alignment of one, offset of item `i`.
type Array = (&'static str, u32, u32, u32, fn(&Layout, u32) -> i32);

fn arrays(c: Counts) -> [Array; 9] {
    [
        ("globals", c.own_globals, VALUE_SLOT, 16, |l, i| l.global(i)),
        ("tables", c.tables, 16, 8, |l, i| l.table(i)),
        ("memories", c.memories, 8, 8, |l, i| l.memory(i)),
        ("further memories", c.further_memories, 16, 8, |l, i| l.further_memory(i)),
        ("imported globals", c.imported_globals, 8, 8, |l, i| l.imported_global(i)),
        ("signature ids", c.types, 4, 4, |l, i| l.sig_id(i)),
        ("import slots", c.imported_functions, 8, 8, |l, i| l.import_slot(i)),
        ("link slots", c.imported_functions, 16, 8, |l, i| l.link_slot(i)),
        ("tags", c.imported_tags + c.own_tags, 8, 8, |l, i| l.tag(i)),
    ]
}

fn counts() -> impl Strategy<Value = Counts> {
    let n = || prop_oneof![Just(0), Just(1), 0..200u32, 0..20_000u32];
    (n(), n(), n(), n(), n(), n(), n(), n(), n()).prop_map(|(a, b, c, d, e, f, g, h, i)| Counts {
        own_globals: a,
        tables: b,
        memories: c,
        imported_globals: d,
        types: e,
        imported_functions: f,
        imported_tags: g,
        own_tags: h,
        further_memories: i,
    })
}

proptest! {
    #[test]
    fn arrays_are_apart_aligned_and_inside(c in counts()) {
        let bytes: u64 = arrays(c)
            .iter()
            .map(|(_, n, size, _, _)| (u64::from(*n) * u64::from(*size)).next_multiple_of(16))
            .sum::<u64>()
            + u64::from(HEADER);
        let Some(l) = Layout::new(c) else {
            prop_assert!(bytes > MAX_INSTANCE_DATA.into());
            return Ok(());
        };
        prop_assert_eq!(u64::from(l.size()), bytes);
        prop_assert!(l.size() <= MAX_INSTANCE_DATA && l.size() % 16 == 0);
        prop_assert_eq!(l.counts(), c);
        let mut used = vec![(-(HEADER as i32), 0, "header")];
        for (name, n, size, align, at) in arrays(c) {
            if n == 0 {
                continue;
            }
            let (first, last) = (at(&l, 0), at(&l, n - 1));
            // vmctx is page-aligned, so alignment below it is alignment of the offset.
            prop_assert_eq!(first.rem_euclid(align as i32), 0, "{}", name);
            prop_assert_eq!(last - first, ((n - 1) * size) as i32, "{} is not dense", name);
            used.push((first, last + size as i32, name));
        }
        used.sort_unstable();
        prop_assert!(used[0].0 >= -(l.size() as i32));
        prop_assert!(used.iter().all(|u| u.1 <= 0));
        for pair in used.windows(2) {
            prop_assert!(pair[0].1 <= pair[1].0, "{} overlaps {}", pair[0].2, pair[1].2);
        }
    }

    #[test]
    fn stack_bytes_are_those_of_the_c_convention(
        params in prop::collection::vec(prop::sample::select(&[
            ValType::I32, ValType::I64, ValType::F32, ValType::F64,
            ValType::V128, ValType::FUNCREF, ValType::EXTERNREF,
        ][..]), 0..40),
        results in 0..4usize,
    ) {
        let ty = FuncType { params, results: vec![ValType::I32; results] };
        let floats = ty.params.iter().filter(|t| t.is_float()).count();
        let ints = ty.params.len() - floats + usize::from(results > 1);
        let words = ints.saturating_sub(4) + floats.saturating_sub(8);
        prop_assert_eq!(host_call_stack_bytes(&ty) as usize, (words * 8).next_multiple_of(16));
        prop_assert_eq!(host_params(&ty).count(), ints + floats);
    }
}

#[test]
fn the_header_is_eight_words() {
    let words =
        [ABI_WORD, FUEL, FUNC_DESCS, TRAP_STUB, HOST_THUNK, CONTROL, MEMORY0_BASE, MEMORY0_BYTES];
    assert_eq!(words, [-64, -56, -48, -40, -32, -24, -16, -8]);
    assert_eq!(HEADER, 64);
    assert_eq!(Layout::new(Counts::default()).unwrap().size(), HEADER);
}

#[test]
fn the_largest_layout_is_1_mib() {
    let globals = (MAX_INSTANCE_DATA - HEADER) / 16;
    let with = |own_globals| Layout::new(Counts { own_globals, ..Counts::default() });
    assert_eq!(with(globals).unwrap().size(), MAX_INSTANCE_DATA);
    assert_eq!(with(globals + 1), None);
    assert_eq!(with(u32::MAX), None);
    let all = u32::MAX;
    let c = Counts {
        own_globals: all,
        tables: all,
        memories: all,
        further_memories: all,
        imported_globals: all,
        types: all,
        imported_functions: all,
        imported_tags: all,
        own_tags: all,
    };
    assert_eq!(Layout::new(c), None);
}

#[test]
#[should_panic(expected = "index 1 of 1")]
fn indices_are_checked() {
    let c = Counts { own_globals: 1, ..Counts::default() };
    let _ = Layout::new(c).unwrap().global(1);
}

#[test]
fn stack_bytes_of_known_signatures() {
    use ValType::{F64, I32, V128};
    let cases: [(&[ValType], &[ValType], u32); 10] = [
        (&[], &[], 0),
        (&[I32; 4], &[I32], 0),
        (&[I32; 5], &[], 16),
        (&[I32; 6], &[], 16),
        (&[I32; 7], &[], 32),
        (&[F64; 8], &[F64], 0),
        (&[F64; 9], &[], 16),
        (&[I32; 4], &[I32, I32], 16),
        (&[V128; 4], &[V128], 16),
        (&[F64, I32, F64, I32, F64, I32, F64, I32, F64], &[], 0),
    ];
    for (params, results, bytes) in cases {
        let ty = FuncType { params: params.to_vec(), results: results.to_vec() };
        assert_eq!(host_call_stack_bytes(&ty), bytes, "{ty}");
    }
    assert!(results_by_pointer(&[V128]) && results_by_pointer(&[I32, I32]));
    assert!(!results_by_pointer(&[I32]) && !results_by_pointer(&[]));
}

#[test]
fn numbers_are_append_only() {
    for (i, code) in TrapCode::ALL.into_iter().enumerate() {
        assert_eq!(code as usize, i + 1);
        assert_eq!(TrapCode::from_u8(code as u8), Some(code));
        assert!(!code.message().is_empty() && code.to_string() == code.message());
    }
    assert_eq!((TrapCode::from_u8(0), TrapCode::from_u8(13)), (None, None));
    for (i, builtin) in Builtin::ALL.into_iter().enumerate() {
        assert_eq!(builtin as usize, i);
        assert!((builtin as u32) < FIRST_IMPORT);
        let (params, results) = builtin.signature();
        // Builtins are called like host functions without arguments on the stack.
        let ty = FuncType { params: params.to_vec(), results: results.to_vec() };
        assert_eq!(host_call_stack_bytes(&ty), 0, "{builtin:?}");
    }
}
