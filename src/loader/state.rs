//! The part of an artifact in which a snapshot differs from its parent, and how it is put in the
//! place of the parent's.
//!
//! A snapshot has the code of its parent, and everything that belongs to code: types, imports,
//! exports, functions, traps. It has a *state* of its own: sizes of memory and tables, values of
//! globals, contents of tables, which segments are left, and the pages of memory.
//!
//! ```text
//!  parent   file: text, types, imports … ┬ state: contract, init, image
//!                                        │
//!  snapshot          (shared) ───────────┴ state taken from an instance
//! ```
//!
//! A state that comes from outside this process (from the child that made it) is as hostile as an
//! artifact and goes through the same checks; code never comes that way.

#![forbid(unsafe_code)]

use super::splice::{self, Replaced};
use super::verify::{check_init, check_sizes, check_snapshot, decoded, invalid};
use super::{Loaded, SealedFile};
use crate::error::{Error, Result, Status};
use crate::sys::sealed::SealedSlice;
use lucet_artifact::codec::EncodeError;
use lucet_artifact::container::{CONTRACT, INIT, SNAPSHOT};
use lucet_artifact::contract::Contract;
use lucet_artifact::init::Init;
use lucet_artifact::snapshot::Snapshot;
use std::sync::Arc;

/// The state of a snapshot.
#[derive(Debug)]
pub(crate) struct State {
    /// The parent's, with other initial sizes and no start function.
    pub contract: Contract,
    /// Globals, tables, segments, runs of the image.
    pub init: Init,
    /// What is particular about it.
    pub info: Snapshot,
    /// The pages of the image; `None`: there are none.
    pub pages: Option<SealedFile>,
}

/// The three sections of a state, encoded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sections {
    pub contract: Vec<u8>,
    pub init: Vec<u8>,
    pub info: Vec<u8>,
}

fn too_large(section: &'static str) -> impl Fn(EncodeError) -> Error {
    move |e| Error::new(Status::LimitExceeded, format!("the snapshot's section {section}: {e}"))
}

impl Sections {
    /// Encodes a state.
    ///
    /// # Errors
    /// `LimitExceeded` if an artifact cannot hold it.
    pub(crate) fn encode(contract: &Contract, init: &Init, info: &Snapshot) -> Result<Self> {
        Ok(Self {
            contract: contract.encode().map_err(too_large(CONTRACT))?,
            init: init.encode().map_err(too_large(INIT))?,
            info: info.encode().map_err(too_large(SNAPSHOT))?,
        })
    }
}

impl State {
    /// Decodes and checks a state that somebody made of `parent`, as if it stood in an artifact.
    ///
    /// # Errors
    /// `InvalidArtifact` with section and reason.
    pub(crate) fn decode(
        parent: &Loaded,
        sections: &Sections,
        pages: Option<SealedFile>,
    ) -> Result<Self> {
        let image_len = pages.as_ref().map_or(0, |p| p.as_slice().len() as u64);
        let (_, contract) = decoded(CONTRACT, Contract::decode(&sections.contract))?;
        check_contract(&parent.contract, &contract)?;
        check_sizes(&contract, 0, 0)?;
        let data_len = parent.data.len() as u64;
        let init = Init::decode(&sections.init, &contract, 0, 0, data_len, image_len);
        let init = decoded(INIT, init)?;
        check_init(&contract, &parent.funcs, 0, &init)?;
        let info = decoded(SNAPSHOT, Snapshot::decode(&sections.info, &contract))?;
        let (types, imports, funcs) = (&parent.types, &parent.imports, &parent.funcs);
        check_snapshot(&contract, types, imports, funcs, &init, &info)?;
        Ok(Self { contract, init, info, pages })
    }
}

/// A snapshot's contract differs from its parent's in initial sizes and the start function only.
fn check_contract(parent: &Contract, contract: &Contract) -> Result<()> {
    let mut same = contract.clone();
    same.start = parent.start;
    for (i, (m, p)) in same.memories.iter_mut().zip(&parent.memories).enumerate() {
        if m.ty.min < p.ty.min {
            return Err(invalid(CONTRACT, format_args!("memory {i} is smaller than the parent's")));
        }
        m.ty.min = p.ty.min;
    }
    for (i, (t, p)) in same.tables.iter_mut().zip(&parent.tables).enumerate() {
        if t.min < p.min {
            return Err(invalid(CONTRACT, format_args!("table {i} is smaller than the parent's")));
        }
        t.min = p.min;
    }
    if same != *parent {
        return Err(invalid(CONTRACT, "it is not that of the snapshot's parent"));
    }
    Ok(())
}

impl Loaded {
    /// This artifact with another state. Code and file are shared.
    pub(crate) fn with_state(&self, state: State) -> Self {
        Self {
            format: self.format,
            contract: state.contract,
            types: self.types.clone(),
            imports: self.imports.clone(),
            exports: self.exports.clone(),
            funcs: self.funcs.clone(),
            traps: self.traps.clone(),
            handlers: self.handlers.clone(),
            init: state.init,
            layout: self.layout,
            snapshot: Some(state.info),
            hash: self.hash,
            text: Arc::clone(&self.text),
            file: Arc::clone(&self.file),
            data: self.data.clone(),
            image: self.image.clone(),
            pcmap: self.pcmap.clone(),
            strtab: self.strtab.clone(),
            path: self.path.clone(),
            development: self.development,
            taken: true,
            small_things: self.small_things,
            pages: match state.pages {
                Some(pages) => {
                    let len = pages.as_slice().len();
                    SealedSlice::new(&Arc::new(pages), 0..len)
                }
                None => SealedSlice::new(&self.file, 0..0),
            },
        }
    }

    /// The bytes of an artifact that is loaded as this one: the file itself, or for a snapshot that
    /// was taken in this process, the file with another state.
    ///
    /// # Errors
    /// `LimitExceeded` if an artifact cannot hold it, `OutOfMemory`.
    pub(crate) fn to_artifact(&self) -> Result<std::borrow::Cow<'_, [u8]>> {
        let Some(info) = self.snapshot.as_ref().filter(|_| self.taken) else {
            return Ok(self.file.as_slice().into());
        };
        let sections = Sections::encode(&self.contract, &self.init, info)?;
        let replaced = Replaced {
            contract: &sections.contract,
            init: &sections.init,
            snapshot: &sections.info,
            image: self.image_bytes(),
        };
        splice::splice(self.file.as_slice(), &replaced, self.hash).map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::{LoadOptions, Source, load};
    use lucet_artifact::init::{ConstOp, ImageRun};

    fn parent() -> Loaded {
        let wat = r#"(module (memory 2 3) (table 2 5 funcref) (elem (i32.const 0) $start)
            (global (mut i64) (i64.const 7)) (data (i32.const 9000) "x")
            (func $start) (func (export "seed") (param i64)) (start $start))"#;
        let bytes = lucetc::compile(wat.as_bytes(), &lucetc::Options::default()).unwrap();
        let options = LoadOptions { allow_unsigned: true, ..LoadOptions::default() };
        load(Source::Bytes(&bytes), &options).unwrap()
    }

    /// A state that is right but for what `change` does to it.
    fn decode(
        parent: &Loaded,
        pages: usize,
        change: impl Fn(&mut Contract, &mut Init, &mut Snapshot),
    ) -> Result<State> {
        let (mut contract, mut init) = (parent.contract.clone(), parent.init.clone());
        let mut info = Snapshot { impure: true, reseed: Some(1) };
        contract.start = None;
        (contract.memories[0].ty.min, contract.tables[0].min) = (3, 4);
        init.globals = vec![vec![ConstOp::I64(8)]];
        init.image = vec![ImageRun { page: 40, pages: 1 }];
        change(&mut contract, &mut init, &mut info);
        let sections = Sections::encode(&contract, &init, &info).unwrap();
        let pages = match pages {
            0 => None,
            n => Some(SealedFile::from_bytes(&vec![1; n * 4096]).unwrap()),
        };
        State::decode(parent, &sections, pages)
    }

    #[test]
    fn states_of_other_modules_are_refused() {
        let p = parent();
        let good = decode(&p, 1, |_, _, _| {}).unwrap();
        assert_eq!(good.contract.memories[0].ty.min, 3);
        let m = p.with_state(good);
        assert_eq!((m.image_bytes().len(), m.contract.start), (4096, None));
        assert!(p.contract.start.is_some());
        type Change = fn(&mut Contract, &mut Init, &mut Snapshot);
        let cases: [(&str, usize, Change); 14] = [
            ("memory 0 is smaller", 1, |c, _, _| c.memories[0].ty.min = 1),
            ("maximum lies below", 1, |c, _, _| c.memories[0].ty.min = 4),
            ("not that of the snapshot's parent", 1, |c, _, _| c.memories[0].ty.max = Some(9)),
            ("table 0 is smaller", 1, |c, _, _| c.tables[0].min = 1),
            ("maximum lies below", 1, |c, _, _| c.tables[0].min = 6),
            ("not that of", 1, |c, _, _| c.instance_data += 16),
            ("not that of", 1, |c, _, _| c.cpu = 0),
            ("not that of", 1, |c, _, _| c.labels.push(("a".into(), "b".into()))),
            ("not that of", 1, |c, _, _| c.memories.clear()),
            ("no start function", 1, |c, _, _| c.start = Some(0)),
            ("end of an image run", 1, |_, i, _| i.image[0].page = 48),
            ("size of the memory image", 2, |_, _, _| {}),
            ("global", 1, |_, i, _| i.globals[0] = vec![ConstOp::I32(8)]),
            ("reseed function", 1, |_, _, s| s.reseed = Some(9)),
        ];
        for (part, pages, change) in cases {
            let e = decode(&p, pages, change).unwrap_err();
            assert_eq!(e.status(), Status::InvalidArtifact, "{part}: {e}");
            assert!(e.message().contains(part), "{part}: {e}");
        }
        assert!(decode(&p, 0, |_, _, _| {}).is_err());
    }

    #[test]
    fn damaged_states_are_survived() {
        let p = parent();
        let good = decode(&p, 1, |_, _, _| {}).unwrap();
        let encode = |s: &State| Sections::encode(&s.contract, &s.init, &s.info).unwrap();
        let sections = encode(&good);
        let mut refused = 0;
        let mut try_it = |s: &Sections| {
            let pages = SealedFile::from_bytes(&[1; 4096]).unwrap();
            match State::decode(&p, s, Some(pages)) {
                Ok(state) => assert!(encode(&state) == *s),
                Err(e) => {
                    refused += 1;
                    let known = [Status::InvalidArtifact, Status::UnsupportedArtifact];
                    assert!(known.contains(&e.status()), "{e}");
                }
            }
        };
        type Pick = fn(&mut Sections) -> &mut Vec<u8>;
        let parts: [Pick; 3] = [|s| &mut s.contract, |s| &mut s.init, |s| &mut s.info];
        for part in parts {
            let copy = || Sections {
                contract: sections.contract.clone(),
                init: sections.init.clone(),
                info: sections.info.clone(),
            };
            let mut s = copy();
            let len = part(&mut s).len();
            for n in 0..len {
                let mut s = copy();
                part(&mut s).truncate(n);
                try_it(&s);
                for bit in 0..8 {
                    let mut s = copy();
                    part(&mut s)[n] ^= 1 << bit;
                    try_it(&s);
                }
            }
        }
        assert!(refused > 1000, "{refused}");
    }
}
