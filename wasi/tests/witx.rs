//! Our table of functions, numbers and layouts against the official description, and the list of
//! functions that the predecessor's name must not offer against the predecessor's description.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lucet_wasi::types::{self, Errno, Rights, value};
use lucet_wasi::{MODULE, MODULE_UNSTABLE, NAMES, NOT_IN_UNSTABLE};
use witx::{Layout, WasmType};

fn document(file: &str) -> witx::Document {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/witx").join(file);
    witx::load(&[path]).expect("the official description is well formed")
}

fn preview1() -> witx::Document {
    document("wasi_snapshot_preview1.witx")
}

type Signature = (Vec<WasmType>, Vec<WasmType>);

fn described(doc: &witx::Document, module: &str) -> BTreeMap<String, Signature> {
    let module = doc.module(&witx::Id::new(module)).expect("the module is described");
    module.funcs().map(|f| (f.name.as_str().to_owned(), f.wasm_signature())).collect()
}

macro_rules! result {
    (i32) => {
        vec![WasmType::I32]
    };
    (()) => {
        vec![]
    };
}
macro_rules! wasm {
    (i32) => {
        WasmType::I32
    };
    (i64) => {
        WasmType::I64
    };
}
macro_rules! ours {
    ($($name:ident($($arg:ident: $ty:ident),*) -> $result:tt;)*) => {
        fn ours() -> BTreeMap<String, Signature> {
            [$((stringify!($name).to_owned(), (vec![$(wasm!($ty)),*], result!($result)))),*].into()
        }
    };
}
lucet_wasi::for_each_function!(ours);

#[test]
fn functions_are_those_of_the_witx() {
    let described = described(&preview1(), MODULE);
    assert_eq!(described.len(), 46);
    assert_eq!(NAMES.len(), 46);
    assert_eq!(ours(), described);
}

#[test]
fn names_stand_in_the_order_of_the_witx() {
    let doc = preview1();
    let module = doc.module(&witx::Id::new(MODULE)).unwrap();
    let names: Vec<String> = module.funcs().map(|f| f.name.as_str().to_owned()).collect();
    assert_eq!(NAMES, names);
}

/// The names of an enumeration's or a flag set's members.
fn members(doc: &witx::Document, name: &str) -> Vec<String> {
    let ty = doc.typename(&witx::Id::new(name)).expect("the type is described");
    let names: Vec<String> = match &**ty.type_() {
        witx::Type::Variant(v) => v.cases.iter().map(|c| c.name.as_str().to_owned()).collect(),
        witx::Type::Record(r) => r.members.iter().map(|m| m.name.as_str().to_owned()).collect(),
        other => panic!("{name} is neither: {other:?}"),
    };
    names
}

#[test]
fn error_numbers_are_those_of_the_witx() {
    let described = members(&preview1(), "errno");
    let ours: Vec<String> = Errno::ALL
        .iter()
        .map(|(_, name)| match *name {
            // Where the official name is no identifier.
            "TooBig" => "2big".to_owned(),
            name => name.to_lowercase(),
        })
        .collect();
    assert_eq!(ours, described);
    for (index, (errno, _)) in Errno::ALL.iter().enumerate() {
        assert_eq!(usize::from(errno.raw()), index);
    }
}

#[test]
fn rights_are_those_of_the_witx() {
    let described = members(&preview1(), "rights");
    let ours: Vec<String> = Rights::ALL.iter().map(|(_, name)| name.to_lowercase()).collect();
    assert_eq!(ours, described);
    for (index, (right, _)) in Rights::ALL.iter().enumerate() {
        assert_eq!(right.0, 1 << index);
    }
    assert_eq!(Rights::EVERY.0, (1 << described.len()) - 1);
}

#[test]
fn small_numbers_are_those_of_the_witx() {
    let doc = preview1();
    let number = |ty: &str, name: &str| {
        members(&doc, ty).iter().position(|n| n == name).expect("the member is described") as u64
    };
    for (name, ours) in [
        ("unknown", value::FILETYPE_UNKNOWN),
        ("block_device", value::FILETYPE_BLOCK_DEVICE),
        ("character_device", value::FILETYPE_CHARACTER_DEVICE),
        ("directory", value::FILETYPE_DIRECTORY),
        ("regular_file", value::FILETYPE_REGULAR_FILE),
        ("socket_dgram", value::FILETYPE_SOCKET_DGRAM),
        ("socket_stream", value::FILETYPE_SOCKET_STREAM),
        ("symbolic_link", value::FILETYPE_SYMBOLIC_LINK),
    ] {
        assert_eq!(number("filetype", name), u64::from(ours), "{name}");
    }
    for (ty, name, ours) in [
        ("fdflags", "append", value::FDFLAGS_APPEND),
        ("fdflags", "dsync", value::FDFLAGS_DSYNC),
        ("fdflags", "nonblock", value::FDFLAGS_NONBLOCK),
        ("fdflags", "rsync", value::FDFLAGS_RSYNC),
        ("fdflags", "sync", value::FDFLAGS_SYNC),
        ("oflags", "creat", value::OFLAGS_CREAT),
        ("oflags", "directory", value::OFLAGS_DIRECTORY),
        ("oflags", "excl", value::OFLAGS_EXCL),
        ("oflags", "trunc", value::OFLAGS_TRUNC),
        ("fstflags", "atim", value::FSTFLAGS_ATIM),
        ("fstflags", "atim_now", value::FSTFLAGS_ATIM_NOW),
        ("fstflags", "mtim", value::FSTFLAGS_MTIM),
        ("fstflags", "mtim_now", value::FSTFLAGS_MTIM_NOW),
        ("subclockflags", "subscription_clock_abstime", value::SUBCLOCKFLAGS_ABSTIME),
        ("eventrwflags", "fd_readwrite_hangup", value::EVENTRWFLAGS_HANGUP),
        ("riflags", "recv_peek", value::RIFLAGS_PEEK),
        ("riflags", "recv_waitall", value::RIFLAGS_WAITALL),
        ("roflags", "recv_data_truncated", value::ROFLAGS_DATA_TRUNCATED),
        ("sdflags", "rd", value::SDFLAGS_RD.into()),
        ("sdflags", "wr", value::SDFLAGS_WR.into()),
    ] {
        assert_eq!(1 << number(ty, name), u64::from(ours), "{ty} {name}");
    }
    for (ty, name, ours) in [
        ("whence", "set", u32::from(value::WHENCE_SET)),
        ("whence", "cur", value::WHENCE_CUR.into()),
        ("whence", "end", value::WHENCE_END.into()),
        ("clockid", "realtime", value::CLOCK_REALTIME),
        ("clockid", "monotonic", value::CLOCK_MONOTONIC),
        ("clockid", "process_cputime_id", value::CLOCK_PROCESS_CPUTIME),
        ("clockid", "thread_cputime_id", value::CLOCK_THREAD_CPUTIME),
        ("eventtype", "clock", value::EVENTTYPE_CLOCK.into()),
        ("eventtype", "fd_read", value::EVENTTYPE_FD_READ.into()),
        ("eventtype", "fd_write", value::EVENTTYPE_FD_WRITE.into()),
    ] {
        assert_eq!(number(ty, name), u64::from(ours), "{ty} {name}");
    }
}

#[test]
fn structures_have_the_sizes_of_the_witx() {
    let doc = preview1();
    for (name, ours) in [
        ("iovec", types::size::IOVEC),
        ("fdstat", types::size::FDSTAT),
        ("filestat", types::size::FILESTAT),
        ("dirent", types::size::DIRENT),
        ("subscription", types::size::SUBSCRIPTION),
        ("event", types::size::EVENT),
        ("prestat", types::size::PRESTAT),
    ] {
        let ty = doc.typename(&witx::Id::new(name)).unwrap();
        assert_eq!(ty.type_().mem_size(), ours as usize, "{name}");
    }
}

#[test]
fn structures_have_the_offsets_of_the_witx() {
    // The offsets that the code writes to, as literals there.
    let doc = preview1();
    for (name, ours) in [
        ("iovec", vec![("buf", 0), ("buf_len", 4)]),
        (
            "fdstat",
            vec![
                ("fs_filetype", 0),
                ("fs_flags", 2),
                ("fs_rights_base", 8),
                ("fs_rights_inheriting", 16),
            ],
        ),
        (
            "filestat",
            vec![
                ("dev", 0),
                ("ino", 8),
                ("filetype", 16),
                ("nlink", 24),
                ("size", 32),
                ("atim", 40),
                ("mtim", 48),
                ("ctim", 56),
            ],
        ),
        ("dirent", vec![("d_next", 0), ("d_ino", 8), ("d_namlen", 16), ("d_type", 20)]),
        ("event", vec![("userdata", 0), ("error", 8), ("type", 10), ("fd_readwrite", 16)]),
        ("event_fd_readwrite", vec![("nbytes", 0), ("flags", 8)]),
        ("subscription", vec![("userdata", 0), ("u", 8)]),
        ("subscription_clock", vec![("id", 0), ("timeout", 8), ("precision", 16), ("flags", 24)]),
        ("subscription_fd_readwrite", vec![("file_descriptor", 0)]),
    ] {
        let ty = doc.typename(&witx::Id::new(name)).unwrap();
        let witx::Type::Record(record) = &**ty.type_() else { panic!("{name} is no record") };
        let described: Vec<(String, usize)> = record
            .member_layout()
            .iter()
            .map(|l| (l.member.name.as_str().to_owned(), l.offset))
            .collect();
        let ours: Vec<(String, usize)> = ours.iter().map(|(n, o)| ((*n).to_owned(), *o)).collect();
        assert_eq!(ours, described, "{name}");
    }
}

/// What a type is made of, without the names of types.
fn shape(ty: &witx::TypeRef) -> String {
    match &**ty.type_() {
        witx::Type::Record(r) => {
            // A right that was added since takes nothing from the old ones.
            let known = r.members.iter().filter(|m| m.name.as_str() != "sock_accept");
            let members = known.map(|m| format!("{}: {}", m.name.as_str(), shape(&m.tref)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        witx::Type::Variant(v) => {
            let cases = v.cases.iter().map(|c| {
                format!("{}({})", c.name.as_str(), c.tref.as_ref().map_or(String::new(), shape))
            });
            format!("<{:?} {}>", v.tag_repr, cases.collect::<Vec<_>>().join(" | "))
        }
        witx::Type::List(t) => format!("[{}]", shape(t)),
        witx::Type::Pointer(t) => format!("*{}", shape(t)),
        witx::Type::ConstPointer(t) => format!("*const {}", shape(t)),
        witx::Type::Handle(_) => "handle".to_owned(),
        witx::Type::Builtin(b) => format!("{b:?}"),
    }
}

#[test]
fn the_predecessor_offers_only_what_means_the_same() {
    let (now, before) = (preview1(), document("unstable/wasi_unstable.witx"));
    let shapes = |doc: &witx::Document, module: &str| -> BTreeMap<String, Vec<String>> {
        let module = doc.module(&witx::Id::new(module)).unwrap();
        module
            .funcs()
            .map(|f| {
                let all = f.params.iter().chain(&f.results).map(|p| shape(&p.tref));
                (f.name.as_str().to_owned(), all.collect())
            })
            .collect()
    };
    let (now, before) = (shapes(&now, MODULE), shapes(&before, MODULE_UNSTABLE));
    let mut differ: Vec<&str> = Vec::new();
    for (name, shape) in &now {
        if before.get(name) != Some(shape) {
            differ.push(name);
        }
    }
    let mut ours = NOT_IN_UNSTABLE.to_vec();
    ours.sort_unstable();
    assert_eq!(differ, ours);
}
