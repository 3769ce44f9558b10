//! Decoders against bytes that nobody encoded: they may refuse or accept, but never panic, and what
//! they accept is encoded to the same bytes again.

mod support;

use lucet_artifact::code::{FuncTable, Handler, HandlerTable, Hints, PcMap, TrapTable};
use lucet_artifact::codec::DecodeError;
use lucet_artifact::contract::{Contract, Exports, Imports};
use lucet_artifact::snapshot::Snapshot;
use lucet_artifact::trailer::Trailer;
use lucet_artifact::types::TypeTable;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Decodes and, if that worked, encodes again.
type Decoder = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, DecodeError>>;

/// Each section's name, a valid encoding, and its decoder.
fn sections() -> Vec<(&'static str, Vec<u8>, Decoder)> {
    let mut runner = TestRunner::deterministic();
    // Of a few arbitrary values the one with the longest encoding, so that nothing is empty.
    macro_rules! longest {
        ($strategy:expr) => {{
            let strategy = $strategy;
            let mut values: Vec<_> =
                (0..16).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
            values.sort_by_key(|v| v.encode().unwrap().len());
            values.pop().unwrap()
        }};
    }
    let funcs = {
        let strategy = support::funcs();
        let mut values: Vec<_> =
            (0..16).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
        values.sort_by_key(|f| f.table.funcs.len());
        values.pop().unwrap()
    };
    let (contract, types) = (longest!(support::contract()), longest!(support::types()));
    let (imports, exports) = (longest!(support::imports(7)), longest!(support::exports()));
    let (traps, hints) = (longest!(support::traps()), longest!(support::hints()));
    let catching = FuncTable { funcs: (0..20).map(|i| support::func_at(32 * i, 32)).collect() };
    let handlers = (0..20).map(|i| Handler { call: 32 * i + 5, target: 32 * i + 9, frame: 16 });
    let handlers = HandlerTable { handlers: handlers.collect() };
    let init = longest!(support::init());
    let (pages, text) = (init.image_pages(), support::TEXT_LEN);
    let funcs_bytes = funcs.table.encode().unwrap();
    vec![
        (
            "contract",
            contract.encode().unwrap(),
            Box::new(|b| Contract::decode(b).map(|(_, c)| c.encode().unwrap())),
        ),
        (
            "types",
            types.encode().unwrap(),
            Box::new(|b| TypeTable::decode(b).map(|t| t.encode().unwrap())),
        ),
        (
            "imports",
            imports.encode().unwrap(),
            Box::new(|b| Imports::decode(b, 7).map(|i| i.encode().unwrap())),
        ),
        (
            "exports",
            exports.encode().unwrap(),
            Box::new(|b| Exports::decode(b, &support::counts()).map(|e| e.encode().unwrap())),
        ),
        (
            "funcs",
            funcs_bytes,
            Box::new(move |b| funcs.decode(b).map(|t: FuncTable| t.encode().unwrap())),
        ),
        (
            "traps",
            traps.encode().unwrap(),
            Box::new(move |b| TrapTable::decode(b, text).map(|t| t.encode().unwrap())),
        ),
        (
            "handlers",
            handlers.encode().unwrap(),
            Box::new(move |b| HandlerTable::decode(b, &catching, 0).map(|t| t.encode().unwrap())),
        ),
        (
            "hints",
            hints.encode().unwrap(),
            Box::new(move |b| Hints::decode(b, text).map(|h| h.encode().unwrap())),
        ),
        (
            "init",
            init.encode().unwrap(),
            Box::new(move |b| support::decode_init(b, pages).map(|i| i.encode().unwrap())),
        ),
        (
            "snapshot",
            Snapshot { impure: true, reseed: Some(3) }.encode().unwrap(),
            Box::new(|b| Snapshot::decode(b, &support::counts()).map(|s| s.encode().unwrap())),
        ),
    ]
}

#[test]
fn every_truncation_is_refused() {
    for (name, bytes, decode) in sections() {
        assert_eq!(decode(&bytes).as_ref(), Ok(&bytes), "{name}");
        for n in 0..bytes.len() {
            assert!(decode(&bytes[..n]).is_err(), "{name}: {n} of {}", bytes.len());
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(decode(&longer).is_err(), "{name}: one byte more");
    }
}

#[test]
fn every_flipped_bit_is_refused_or_means_something_else() {
    for (name, bytes, decode) in sections() {
        for (at, bit) in (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut b = bytes.clone();
            b[at] ^= 1 << bit;
            if let Ok(again) = decode(&b) {
                assert_eq!(again, b, "{name}: byte {at} bit {bit}");
            }
        }
    }
}

/// Counts that promise more than there is must not make a decoder allocate for them.
#[test]
fn huge_counts_are_refused_at_once() {
    let start = std::time::Instant::now();
    for (name, bytes, decode) in sections() {
        for at in 0..bytes.len().saturating_sub(3) {
            for count in [0x7fff_ffff_u32, 0xffff_ffff, 1_000_000] {
                let mut b = bytes.clone();
                b[at..at + 4].copy_from_slice(&count.to_le_bytes());
                if let Ok(again) = decode(&b) {
                    assert_eq!(again, b, "{name}: count {count} at {at}");
                }
            }
        }
    }
    assert!(start.elapsed().as_secs() < 20);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        for (_, _, decode) in sections() {
            let _ = decode(&bytes);
        }
        if let Ok(t) = Trailer::decode(&bytes) {
            let _ = t.hash_matches(&bytes);
        }
    }

    #[test]
    fn arbitrary_pc_maps_are_survived(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        at in 0..220u32,
        pc in any::<u32>(),
    ) {
        let _ = PcMap::lookup(&bytes, at, pc);
        let _ = PcMap::lookup(&bytes, u32::MAX, pc);
    }

    /// Several bytes changed at once.
    #[test]
    fn mutations_are_survived(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        for (name, bytes, decode) in sections() {
            let mut b = bytes;
            for (at, value) in &edits {
                let at = at.index(b.len());
                b[at] = *value;
            }
            if let Ok(again) = decode(&b) {
                prop_assert_eq!(again, b, "{}", name);
            }
        }
    }
}

#[test]
fn trailers_are_survived() {
    let mut good = vec![7; 50];
    Trailer::append(&mut good, 0, [0; 64]).unwrap();
    for n in 0..good.len() {
        let t = Trailer::decode(&good[..n]);
        assert!(t.is_err(), "{n}");
    }
    for (at, bit) in (0..good.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut b = good.clone();
        b[at] ^= 1 << bit;
        let intact = Trailer::decode(&b).is_ok_and(|t| t.hash_matches(&b));
        assert!(!intact, "byte {at} bit {bit}");
    }
}
