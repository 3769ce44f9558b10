//! Paths that try to leave, what may be done with each, and the tree that they start from.

use std::fs;
use std::os::unix::fs::symlink;

use lucet_wasi::Errno;
use lucet_wasi::types::value;

use crate::common::host::House;
use crate::common::{Guest, How, ROOT};

/// The longest chain of symbolic links; 40 may be followed.
const LONGEST: usize = 41;

/// Fills `inside`: files, directories, and links of every kind that points somewhere else.
pub fn fill(house: &House) {
    let inside = house.inside();
    let _ = fs::remove_dir_all(&inside);
    fs::create_dir_all(inside.join("dir/deep")).unwrap();
    fs::create_dir_all(inside.join("empty")).unwrap();
    for file in ["file", "dir/file", "dir/deep/leaf"] {
        fs::write(inside.join(file), format!("inside {file}")).unwrap();
    }
    let outside = house.outside();
    for (name, target) in LINKS {
        symlink(target, inside.join(name)).unwrap();
    }
    symlink(&outside, inside.join("abs")).unwrap();
    symlink(outside.join("secret"), inside.join("abs_file")).unwrap();
    symlink(outside.join("created"), inside.join("abs_new")).unwrap();
    for (name, end) in [("out", "../outside"), ("in", "dir")] {
        // Link number n is n links away from the end.
        symlink(end, inside.join(format!("{name}1"))).unwrap();
        for n in 2..=LONGEST {
            symlink(format!("{name}{}", n - 1), inside.join(format!("{name}{n}"))).unwrap();
        }
    }
}

/// Links by name and target. The names of those that stay inside begin with `in_`.
const LINKS: [(&str, &str); 24] = [
    ("in_dir", "dir"),
    ("in_slash", "dir/"),
    ("in_dot", "."),
    ("in_file", "file"),
    ("in_file_slash", "file/"),
    ("in_new", "dir/created"),
    ("in_around", "dir/../dir/./deep//leaf"),
    ("in_loop", "in_loop"),
    ("dir/in_up", ".."),
    ("dir/in_up_file", "../file"),
    ("up", ".."),
    ("up_slash", "../"),
    ("up_dot", "../."),
    ("rel", "../outside"),
    ("rel_slash", "../outside/"),
    ("rel_slashes", "..//outside//"),
    ("rel_file", "../outside/secret"),
    ("rel_file_slash", "../outside/secret/"),
    ("rel_new", "../outside/created"),
    ("dir/far", "../../outside"),
    ("dir/deep/far_file", "../../../outside/secret"),
    ("slashes", "//"),
    ("proc_root", "/proc/self/root"),
    ("proc_cwd", "/proc/self/cwd"),
];

/// Every path of the attack, with whether it would leave if it were followed to its end.
pub fn paths(house: &House) -> Vec<(Vec<u8>, bool)> {
    let mut all: Vec<(Vec<u8>, bool)> = Vec::new();
    let mut add = |path: String, leaves: bool| all.push((path.into_bytes(), leaves));
    let outside = house.outside().display().to_string();
    let ends = [
        "",
        "/",
        "//",
        "/.",
        "/./",
        "/secret",
        "/secret/",
        "//secret",
        "/dir/deep/..",
        "/created",
        "/created/",
        "/./dir/./file",
        "/dir/../secret",
    ];
    for up in [
        "..",
        "./..",
        "dir/../..",
        "dir/deep/../../..",
        "empty//..//..",
        "dir/./.././..",
        "in_dot/..",
        "in_dir/../..",
        "in_slash/../..",
        "dir/in_up/..",
        "in_dir/in_up/..",
        "in2/../..",
    ] {
        add(up.to_owned(), true);
        for end in ends {
            add(format!("{up}/outside{end}"), true);
        }
    }
    for absolute in [outside.as_str(), "/proc/self/root", "//proc/self/cwd", ""] {
        for end in ends {
            if !(absolute.is_empty() && end.is_empty()) {
                add(format!("{absolute}{end}"), !(absolute.is_empty() && end.is_empty()));
            }
        }
    }
    for link in [
        "rel",
        "rel_slash",
        "rel_slashes",
        "abs",
        "dir/far",
        "in_dot/rel",
        "dir/../rel",
        "dir/in_up/rel",
        "up/outside",
        "up_slash/outside",
        "up_dot/outside",
        "out1",
        "out2",
        "out5",
        "out39",
        "out40",
        "out41",
    ] {
        for end in ends {
            add(format!("{link}{end}"), true);
        }
    }
    for link in [
        "rel_file",
        "rel_file_slash",
        "abs_file",
        "rel_new",
        "abs_new",
        "up",
        "up_slash",
        "up_dot",
        "dir/deep/far_file",
        "slashes",
        "proc_root",
        "proc_cwd",
    ] {
        for end in ["", "/", "//", "/.", "/./", "/..", "/../outside/secret", "/../file"] {
            add(format!("{link}{end}"), true);
        }
    }
    // What stays, and must go on working: the same answer on both ways.
    for path in [
        "file",
        "file/",
        "file/.",
        "dir",
        "dir/",
        "dir//",
        "dir/.",
        "dir/..",
        "dir/../file",
        "./file",
        ".//dir///file",
        ".",
        "./",
        "in_dir",
        "in_dir/",
        "in_dir/file",
        "in_slash/file",
        "in_slash",
        "in_slash/",
        "in_dot",
        "in_dot/in_dot/file",
        "in_file",
        "in_file/",
        "in_file/..",
        "in_file_slash",
        "in_new",
        "in_new/",
        "in_around",
        "in_loop",
        "in_loop/",
        "dir/in_up",
        "dir/in_up/file",
        "dir/in_up_file",
        "in1/file",
        "in39/file",
        "in40/file",
        "in41/file",
        "in40",
        "in41",
        "created",
        "created/",
        "missing/../file",
        "file/../file",
        "empty",
        "empty/",
        "empty/.",
        "empty/x",
    ] {
        add(path.to_owned(), false);
    }
    add("./".repeat(2000) + "../outside/secret", true);
    add("dir/../".repeat(580) + "../outside/secret", true);
    add("dir/in_up/".repeat(20) + "../outside/secret", true);
    add("../".repeat(1360), true);
    add("x".repeat(255) + "/../../outside/secret", true);
    add("x".repeat(256), false);
    add("a/".repeat(2047) + "b", false);
    add("a/".repeat(2048) + "b", false);
    add("../outside/".repeat(500), true);
    for nul in
        ["file\0", "\0", "dir/\0/file", "../outside/secret\0", "rel\0/secret", "file\0/../.."]
    {
        add(nul.to_owned(), false);
    }
    all.push((b"\xff\xfe".to_vec(), false));
    all.push((b"dir/\xc0\xaf../outside".to_vec(), false));
    all.push((Vec::new(), false));
    all
}

/// What is done with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Open { oflags: u16, follow: bool },
    Stat { follow: bool },
    Times { follow: bool },
    Mkdir,
    Rmdir,
    Unlink,
    Readlink,
    SymlinkNew,
    LinkOld,
    LinkNew,
    RenameOld,
    RenameNew,
    RenameDirectoryNew,
}

/// All of them.
pub fn deeds() -> Vec<Deed> {
    use value::{OFLAGS_CREAT, OFLAGS_DIRECTORY, OFLAGS_EXCL, OFLAGS_TRUNC};
    let mut deeds = Vec::new();
    for follow in [false, true] {
        for oflags in [
            0,
            OFLAGS_CREAT,
            OFLAGS_CREAT | OFLAGS_EXCL,
            OFLAGS_CREAT | OFLAGS_TRUNC,
            OFLAGS_CREAT | OFLAGS_TRUNC | OFLAGS_EXCL,
            OFLAGS_TRUNC,
            OFLAGS_DIRECTORY,
            OFLAGS_DIRECTORY | OFLAGS_TRUNC,
        ] {
            deeds.push(Deed::Open { oflags, follow });
        }
        deeds.push(Deed::Stat { follow });
        deeds.push(Deed::Times { follow });
    }
    deeds.extend([
        Deed::Mkdir,
        Deed::Rmdir,
        Deed::Unlink,
        Deed::Readlink,
        Deed::SymlinkNew,
        Deed::LinkOld,
        Deed::LinkNew,
        Deed::RenameOld,
        Deed::RenameNew,
        Deed::RenameDirectoryNew,
    ]);
    deeds
}

impl Deed {
    /// Whether the deed concerns what the end of the path leads to, not the name itself.
    pub fn follows(self) -> bool {
        match self {
            Deed::Open { follow, oflags } => follow && oflags & value::OFLAGS_EXCL == 0,
            Deed::Stat { follow } | Deed::Times { follow } => follow,
            _ => false,
        }
    }

    /// Whether the tree may be another one afterwards.
    pub fn changes(self) -> bool {
        match self {
            Deed::Open { oflags, .. } => oflags & !value::OFLAGS_DIRECTORY != 0,
            Deed::Stat { .. } | Deed::Times { .. } | Deed::Readlink => false,
            _ => true,
        }
    }

    /// Does it; the inode that was reached, where the guest is told.
    pub fn perform(self, guest: &mut Guest, path: &[u8]) -> Result<Option<u64>, Errno> {
        match self {
            Deed::Open { oflags, follow } => {
                let base = match oflags & value::OFLAGS_DIRECTORY != 0 {
                    true => How::directory().base,
                    false => How::with(0).base,
                };
                let fd = guest.open(ROOT, path, How { follow, base, ..How::with(oflags) })?;
                let ino = guest.fstat(fd).map(|stat| stat.ino);
                guest.close(fd)?;
                ino.map(Some)
            }
            Deed::Stat { follow } => guest.stat(ROOT, path, follow).map(|stat| Some(stat.ino)),
            Deed::Times { follow } => guest.set_times(ROOT, path, follow, 1).map(|()| None),
            Deed::Mkdir => guest.mkdir(ROOT, path).map(|()| None),
            Deed::Rmdir => guest.rmdir(ROOT, path).map(|()| None),
            Deed::Unlink => guest.unlink(ROOT, path).map(|()| None),
            Deed::Readlink => guest.readlink(ROOT, path).map(|_| None),
            Deed::SymlinkNew => guest.symlink("file", ROOT, path).map(|()| None),
            Deed::LinkOld => guest.link(ROOT, path, ROOT, "linked").map(|()| None),
            Deed::LinkNew => guest.link(ROOT, "file", ROOT, path).map(|()| None),
            Deed::RenameOld => guest.rename(ROOT, path, ROOT, "renamed").map(|()| None),
            Deed::RenameNew => guest.rename(ROOT, "file", ROOT, path).map(|()| None),
            Deed::RenameDirectoryNew => guest.rename(ROOT, "empty", ROOT, path).map(|()| None),
        }
    }
}
