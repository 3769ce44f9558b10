//! What was encoded decodes to the same value, for arbitrary values of every section.

mod support;

use lucet_artifact::FORMAT_VERSION;
use lucet_artifact::code::{FuncTable, Hints, PcMap, TrapTable};
use lucet_artifact::codec::{Reader, Writer};
use lucet_artifact::contract::{Contract, Exports, Imports};
use lucet_artifact::init::Init;
use lucet_artifact::minisign::{KeyId, Signature};
use lucet_artifact::snapshot::Snapshot;
use lucet_artifact::trailer::{FLAG_SNAPSHOT, TRAILER_BYTES, Trailer};
use lucet_artifact::types::{NO_CODE, TypeTable};
use proptest::prelude::*;

proptest! {
    #[test]
    fn contract(c in support::contract()) {
        prop_assert_eq!(Contract::decode(&c.encode().unwrap()), Ok((FORMAT_VERSION, c)));
    }

    #[test]
    fn types(t in support::types()) {
        prop_assert_eq!(TypeTable::decode(&t.encode().unwrap()), Ok(t));
    }

    #[test]
    fn imports(i in support::imports(7)) {
        let bytes = i.encode().unwrap();
        prop_assert_eq!(Imports::decode(&bytes, 7), Ok(i));
    }

    #[test]
    fn exports(e in support::exports()) {
        prop_assert_eq!(Exports::decode(&e.encode().unwrap(), &support::counts()), Ok(e));
    }

    #[test]
    fn funcs(f in support::funcs()) {
        let table = f.decode(&f.table.encode().unwrap());
        let refs = f.table.funcs.iter().filter(|f| f.reference != u32::MAX).count();
        prop_assert_eq!(f.table.references() as usize, refs);
        prop_assert_eq!(table, Ok::<FuncTable, _>(f.table));
    }

    #[test]
    fn traps(t in support::traps()) {
        prop_assert_eq!(TrapTable::decode(&t.encode().unwrap(), support::TEXT_LEN), Ok(t));
    }

    #[test]
    fn hints(h in support::hints()) {
        prop_assert_eq!(Hints::decode(&h.encode().unwrap(), support::TEXT_LEN), Ok(h));
    }

    #[test]
    fn init(i in support::init()) {
        let bytes = i.encode().unwrap();
        prop_assert_eq!(support::decode_init(&bytes, i.image_pages()), Ok::<Init, _>(i));
    }

    #[test]
    fn snapshot(s in support::snapshot()) {
        let bytes = s.encode().unwrap();
        prop_assert_eq!(Snapshot::decode(&bytes, &support::counts()), Ok(s));
    }

    /// The last row at or below a pc is found, in each of several functions.
    #[test]
    fn pc_map(
        functions in prop::collection::vec(support::pc_rows(), 1..5),
        pcs in prop::collection::vec(any::<u32>(), 1..20),
    ) {
        let mut map = PcMap::new();
        let starts: Vec<_> = functions.iter().map(|rows| map.push(rows)).collect();
        let bytes = map.into_bytes();
        for (rows, at) in functions.iter().zip(starts) {
            let near = rows.iter().flat_map(|r| [r.pc, r.pc.wrapping_sub(1), r.pc.wrapping_add(1)]);
            for pc in pcs.iter().copied().chain(near) {
                let row = rows.iter().rfind(|r| r.pc <= pc);
                let expected = row.map(|r| r.wasm).filter(|w| *w != NO_CODE);
                prop_assert_eq!(PcMap::lookup(&bytes, at, pc), expected);
            }
        }
    }

    #[test]
    fn trailer(
        body in prop::collection::vec(any::<u8>(), 0..600),
        snapshot in any::<bool>(),
        parent in any::<[u8; 32]>(),
        comment in "[^\\p{Cc}]{0,22}",
        id in any::<[u8; 8]>(),
        damage in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let parent = [parent, parent].concat().try_into().unwrap();
        let flags = u32::from(snapshot) * FLAG_SNAPSHOT;
        let mut bytes = body.clone();
        Trailer::append(&mut bytes, flags, parent).unwrap();
        prop_assert_eq!(bytes.len(), body.len() + TRAILER_BYTES);
        let mut t = Trailer::decode(&bytes).unwrap();
        prop_assert!(t.hash_matches(&bytes));
        prop_assert_eq!((t.flags, t.body_len, t.parent), (flags, body.len() as u64, parent));
        prop_assert!(t.signature.is_none());
        // A signature does not change what the hash covers.
        let bits = |m: &[u8]| [m.len() as u8 ^ bit; 64];
        t.signature = Some(Signature::make(KeyId(id), &t.hash, &comment, bits).unwrap());
        let signed = [&body[..], &t.encode().unwrap()].concat();
        prop_assert_eq!(Trailer::decode(&signed), Ok(t.clone()));
        prop_assert!(t.hash_matches(&signed));
        // Everything before the hash is covered.
        bytes[damage.index(body.len() + 128)] ^= 1u8 << bit;
        prop_assert!(!t.hash_matches(&bytes));
    }

    #[test]
    fn leb128(u in any::<u32>(), i in any::<i32>()) {
        let mut w = Writer::new();
        w.uleb32(u);
        w.sleb32(i);
        let bytes = w.into_bytes();
        let mut r = Reader::new(&bytes);
        prop_assert_eq!((r.uleb32("u"), r.sleb32("i")), (Ok(u), Ok(i)));
        prop_assert!(r.finish().is_ok());
    }
}
