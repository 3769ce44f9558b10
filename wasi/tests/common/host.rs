//! The host's side of tests: a directory for the guest, one beside it that nobody may touch, and
//! the proof that nobody did.

use std::collections::BTreeMap;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use lucet_wasi::{Config, Resolution};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

/// Both ways to resolve paths.
pub const WAYS: [Resolution; 2] = [Resolution::Automatic, Resolution::Walk];

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// `inside` is the guest's; `outside` beside it is not.
pub struct House {
    base: PathBuf,
}

impl House {
    pub fn new() -> House {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("house-{}-{number}", std::process::id());
        let base = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&base);
        fs::create_dir_all(base.join("inside")).unwrap();
        fs::create_dir_all(base.join("outside/dir/deep")).unwrap();
        for file in ["secret", "file", "dir/secret", "dir/file", "dir/deep/leaf"] {
            fs::write(base.join("outside").join(file), format!("canary {file}")).unwrap();
        }
        symlink("secret", base.join("outside/link")).unwrap();
        House { base }
    }

    pub fn inside(&self) -> PathBuf {
        self.base.join("inside")
    }
    pub fn outside(&self) -> PathBuf {
        self.base.join("outside")
    }

    /// A configuration that gives `inside` as descriptor 3.
    pub fn config(&self, way: Resolution) -> Config {
        let mut config = Config::new();
        config.directory(self.inside(), "/", false).resolution(way);
        config
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.base);
    }
}

type Facts = (u64, u32, u64, u64, (i64, i64), (i64, i64), Vec<u8>);

fn facts(dir: &Path, into: &mut BTreeMap<PathBuf, Facts>) {
    let mut entries = vec![dir.to_path_buf()];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match fs::symlink_metadata(&path).unwrap().is_dir() {
            true => facts(&path, into),
            false => entries.push(path),
        }
    }
    for path in entries {
        let m = fs::symlink_metadata(&path).unwrap();
        let content = match (m.is_file(), m.is_symlink()) {
            (true, _) => fs::read(&path).unwrap(),
            (_, true) => fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes(),
            _ => Vec::new(),
        };
        let times = ((m.mtime(), m.mtime_nsec()), (m.ctime(), m.ctime_nsec()));
        into.insert(path, (m.ino(), m.mode(), m.nlink(), m.size(), times.0, times.1, content));
    }
}

/// Watches a tree: every file in it, from the host's side.
pub struct Canary {
    outside: PathBuf,
    inotify: OwnedFd,
    before: BTreeMap<PathBuf, Facts>,
}

impl Canary {
    pub fn new(house: &House) -> Canary {
        let outside = house.outside();
        let mut before = BTreeMap::new();
        facts(&outside, &mut before);
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        for path in before.keys().filter(|p| !p.is_symlink()) {
            inotify::add_watch(&inotify, path, WatchFlags::ALL_EVENTS).unwrap();
        }
        assert!(before.len() >= 8);
        Canary { outside, inotify, before }
    }

    /// Whether this inode is one of the tree's.
    pub fn owns(&self, ino: u64) -> bool {
        self.before.values().any(|f| f.0 == ino)
    }

    /// Nothing was opened, read, changed, made or removed.
    #[track_caller]
    pub fn untouched(&self, after: &str) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        if let Ok(event) = reader.next() {
            let events: ReadFlags = event.events();
            panic!("after {after}: {events:?} outside, {:?}", event.file_name());
        }
    }

    /// The same, and what is there is what was there.
    #[track_caller]
    pub fn unchanged(&self, after: &str) {
        self.untouched(after);
        let mut now = BTreeMap::new();
        facts(&self.outside, &mut now);
        assert_eq!(now, self.before, "after {after}");
        // Looking was an event too.
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        while reader.next().is_ok() {}
    }
}
