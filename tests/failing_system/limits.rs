//! Limits of the process, reached: what is there goes on, what is new is a status, and when there
//! is room again everything works.
//!
//! Each test runs in a process of its own, for each way in which slots become fresh again.

use crate::common::load;
use crate::common::process::{forked, forked_status, in_child, status_kib};
use crate::world::{WORLDS, World, call, imports, request, warm, world};
use lucet::{Instance, Region, RegionConfig, Rung, Status, Val};
use std::ffi::c_void;
use std::path::PathBuf;

/// A guest that grows: -1 or the old size, and what it got is there.
fn grows(w: &World, pages: i32) -> bool {
    let i = Instance::new(&w.region, &w.module).unwrap();
    let old = call(&i, "grow", &[Val::I32(pages)]);
    assert!(old == 2 || old == -1, "{old}");
    if old == 2 {
        i.run("touch", &[Val::I32(2)]).unwrap();
    }
    old == 2
}

/// What a limit must not touch, and what must be a status at worst; how many of the latter were.
fn under_limit(w: &World, living: &Instance) -> usize {
    assert!(call(living, "work", &[Val::I32(1)]) >= 3, "an existing instance runs");
    for _ in 0..100 {
        request(w);
        grows(w, 1);
    }
    let mut refused = 0;
    let mut may_fail = |e: Option<lucet::Error>| {
        if let Some(e) = e {
            let known = [Status::OutOfMemory, Status::Io, Status::Unsupported];
            assert!(known.contains(&e.status()), "{e}");
            refused += 1;
        }
    };
    may_fail(load(&w.artifact, imports()).err());
    may_fail(Region::new(w.config).err());
    may_fail(Region::new(RegionConfig { slots: 1000, ..w.config }).err());
    refused += usize::from(!grows(w, 40));
    let taken: Vec<_> = (0..7).map(|_| Instance::new(&w.region, &w.module).unwrap()).collect();
    drop(taken);
    request(w);
    refused
}

/// Everything works again, and no slot was lost.
fn afterwards(w: &World) {
    assert!(grows(w, 40));
    let all: Vec<_> = (0..7).map(|_| Instance::new(&w.region, &w.module).unwrap()).collect();
    for i in &all {
        assert_eq!(call(i, "fresh", &[]), 0);
        assert_eq!(call(i, "work", &[Val::I32(1)]), 3);
    }
    drop(Region::new(w.config).unwrap());
    drop(load(&w.artifact, imports()).unwrap());
}

/// Runs all worlds with a limit, each in a process of its own.
fn each_world(limit: impl Fn(), lift: impl Fn(), at_least: usize) {
    lucet::prepare_thread().unwrap();
    for k in 0..WORLDS {
        forked(|| {
            let w = world(k);
            warm(&w);
            let living = Instance::new(&w.region, &w.module).unwrap();
            assert_eq!(call(&living, "work", &[Val::I32(1)]), 3);
            limit();
            let refused = under_limit(&w, &living);
            lift();
            assert!(refused >= at_least, "the limit refused {refused} calls: it does not bite");
            afterwards(&w);
        });
    }
}

fn set_limit(what: u32, soft: u64) {
    // SAFETY: plain system calls with a valid structure.
    unsafe {
        let mut l: libc::rlimit = std::mem::zeroed();
        assert_eq!(libc::getrlimit(what, &mut l), 0);
        l.rlim_cur = soft.min(l.rlim_max);
        assert_eq!(libc::setrlimit(what, &l), 0);
    }
}

#[test]
fn address_space() {
    in_child("limits::address_space", || {
        let (what, all) = (libc::RLIMIT_AS, u64::MAX);
        each_world(|| set_limit(what, status_kib("VmSize") << 10), || set_limit(what, all), 2);
    });
}

#[test]
fn data() {
    in_child("limits::data", || {
        let (what, all) = (libc::RLIMIT_DATA, u64::MAX);
        // Address space that nobody can use does not count, so regions of guarded slots are made.
        each_world(|| set_limit(what, status_kib("VmData") << 10), || set_limit(what, all), 1);
    });
}

#[test]
fn descriptors() {
    in_child("limits::descriptors", || {
        each_world(
            || set_limit(libc::RLIMIT_NOFILE, 0),
            || set_limit(libc::RLIMIT_NOFILE, 1024),
            1,
        );
    });
}

/// Mappings until there are no more, of which some can be given back one by one.
struct Mappings {
    base: usize,
    used: usize,
}

const PAGE: usize = 4096;

impl Mappings {
    /// Every other page of a range with another access: as many mappings as there may be.
    fn exhaust() -> Self {
        let most: usize =
            std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, of which access is changed and nothing else.
        let base = unsafe {
            libc::mmap(std::ptr::null_mut(), 2 * most * PAGE, libc::PROT_NONE, flags, -1, 0)
        };
        assert_ne!(base, libc::MAP_FAILED);
        let mut all = Self { base: base as usize, used: 0 };
        while all.set(all.used, libc::PROT_READ) {
            all.used += 1;
            assert!(all.used < most, "vm.max_map_count does not bite");
        }
        all
    }

    fn set(&self, n: usize, access: i32) -> bool {
        // SAFETY: a page of the range, which nobody looks at.
        unsafe {
            libc::mprotect((self.base + (2 * n + 1) * PAGE) as *mut c_void, PAGE, access) == 0
        }
    }

    /// Gives two mappings back.
    fn give(&mut self) {
        self.used -= 1;
        assert!(self.set(self.used, libc::PROT_NONE));
    }

    fn give_all(&mut self) {
        while self.used > 0 {
            self.give();
        }
    }
}

#[test]
fn mappings() {
    in_child("limits::mappings", || {
        for k in 0..WORLDS {
            forked(|| {
                let w = world(k);
                warm(&w);
                let living = Instance::new(&w.region, &w.module).unwrap();
                assert_eq!(call(&living, "work", &[Val::I32(1)]), 3);
                let mut all = Mappings::exhaust();
                let mut refused = 0;
                // 0 to 8 are left.
                for _ in 0..5 {
                    refused += under_limit(&w, &living);
                    all.give();
                }
                all.give_all();
                assert!(refused > 0, "no call was refused: the limit does not bite");
                afterwards(&w);
            });
        }
    });
}

/// A control group for memory of this process's, as a part of the one that it is in.
struct Group {
    folder: PathBuf,
    /// Names of the files: version 1 or 2.
    limit: &'static str,
    usage: &'static str,
}

/// Where a group of this process's could be made, and whether it is one of version 2, from the
/// texts of `/proc/self/cgroup` and `/proc/self/mounts`.
fn parent(own: &str, mounts: &str) -> Option<(PathBuf, bool)> {
    let path = |controller: &str| {
        own.lines().find_map(|l| {
            let mut parts = l.splitn(3, ':').skip(1);
            let found = parts.next()?.split(',').any(|c| c == controller);
            parts.next().filter(|_| found).map(|p| p.trim_start_matches('/').to_owned())
        })
    };
    let mount = |kind: &str, option: &str| {
        mounts.lines().find_map(|l| {
            let f: Vec<_> = l.split(' ').collect();
            let fits = f.get(2) == Some(&kind)
                && (option.is_empty() || f.get(3)?.split(',').any(|o| o == option));
            fits.then(|| PathBuf::from(f[1]))
        })
    };
    match (mount("cgroup", "memory"), path("memory")) {
        (Some(m), Some(p)) => Some((m.join(p), false)),
        _ => Some((mount("cgroup2", "")?.join(path("")?), true)),
    }
}

impl Group {
    /// Makes one; `Err` says why there can be none here.
    fn new() -> Result<Self, String> {
        let own = std::fs::read_to_string("/proc/self/cgroup").map_err(|e| e.to_string())?;
        let mounts = std::fs::read_to_string("/proc/self/mounts").map_err(|e| e.to_string())?;
        let (parent, second) = parent(&own, &mounts).ok_or("no control groups are mounted")?;
        let folder = parent.join(format!("lucet-test-{}", std::process::id()));
        std::fs::create_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let group = Self::of(folder, second);
        match group.folder.join(group.limit).exists() {
            true => Ok(group),
            false => Err(format!("{}: no memory controller", parent.display())),
        }
    }

    fn of(folder: PathBuf, second: bool) -> Self {
        let (limit, usage) = match second {
            true => ("memory.max", "memory.current"),
            false => ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        };
        Self { folder, limit, usage }
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.join(file)).unwrap()
    }

    fn write(&self, file: &str, text: &str) -> std::io::Result<()> {
        std::fs::write(self.folder.join(file), text)
    }

    /// How often the limit was hit.
    fn hits(&self) -> u64 {
        if self.limit == "memory.max" {
            let events = self.read("memory.events");
            let line = events.lines().find_map(|l| l.strip_prefix("max "));
            return line.unwrap().parse().unwrap();
        }
        self.read("memory.failcnt").trim().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..50 {
            if std::fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        eprintln!("{} is still there", self.folder.display());
    }
}

/// Groups of both versions are found and read. Only one of them can have the memory of a machine,
/// so this is what is known about the other one.
#[test]
fn both_versions_of_control_groups_are_known() {
    let first = "4:memory:/a/b\n0::/\n";
    let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                  cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n\
                  cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
                  cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
    let expected = (PathBuf::from("/sys/fs/cgroup/memory/a/b"), false);
    assert_eq!(parent(first, mounts), Some(expected));
    let mounts = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
    let expected = (PathBuf::from("/sys/fs/cgroup/user.slice/x.scope"), true);
    assert_eq!(parent("0::/user.slice/x.scope\n", mounts), Some(expected));
    assert_eq!(parent("", "tmpfs / tmpfs rw 0 0\n"), None);
    let folder = std::env::temp_dir().join(format!("lucet-group-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let group = Group::of(folder.clone(), true);
    group.write("memory.current", "4096\n").unwrap();
    group.write("memory.events", "low 0\nhigh 3\nmax 7\noom 1\noom_kill 1\n").unwrap();
    assert_eq!((group.read(group.usage).trim(), group.hits()), ("4096", 7));
    group.write(group.limit, "8192").unwrap();
    assert_eq!(group.read("memory.max"), "8192");
    std::fs::remove_dir_all(folder).unwrap();
}

/// Worlds in which slots keep their pages.
fn keeping() -> Vec<World> {
    let all = (0..WORLDS).map(world);
    all.filter(|w| w.region.rung() != Rung::Decommit).collect()
}

/// Page faults of this process so far: each one that is not for want of a page of a file takes one.
fn faults() -> i64 {
    // SAFETY: writes to a local.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage.ru_minflt
    }
}

/// Warm requests that neither grow nor give pages back need no page that is not there. This needs
/// no control group.
#[test]
fn warm_requests_take_no_page() {
    in_child("limits::warm_requests_take_no_page", || {
        for w in &keeping() {
            warm(w);
            for _ in 0..100 {
                request(w);
            }
            let before = faults();
            for _ in 0..1000 {
                request(w);
            }
            let n = faults() - before;
            println!("{:?}, compact {}: {n} page faults", w.region.rung(), w.config.compact);
            // A few come from elsewhere: the test program's own pages.
            assert!(n < 20, "{:?}: {n} page faults in 1000 requests", w.region.rung());
        }
    });
}

/// In a group whose memory is used up, warm requests go on, and never ask for more. What a guest
/// takes beyond the limit is the system's business: it kills, which is the host's choice.
#[test]
fn memory_of_a_control_group() {
    in_child("limits::memory_of_a_control_group", || {
        let group = match Group::new() {
            Ok(group) => group,
            Err(why) => {
                // What stands above counts the same thing where there is no such group: page
                // faults, of which each would take memory of the group.
                println!("no control group ({why}): page faults are counted instead");
                return;
            }
        };
        forked(|| {
            group.write("cgroup.procs", "0").unwrap();
            let all = keeping();
            all.iter().for_each(warm);
            full_group(&group, &all);
        });
        // A guest that takes more than there is: killed, by nobody else.
        group.write(group.limit, &(256 << 20).to_string()).unwrap();
        let status = forked_status(|| {
            group.write("cgroup.procs", "0").unwrap();
            group.write(group.limit, &(24 << 20).to_string()).unwrap();
            let w = world(0);
            let i = Instance::new(&w.region, &w.module).unwrap();
            assert_eq!(call(&i, "work", &[Val::I32(1)]), 3);
            let hog = vec![1u8; 64 << 20];
            std::hint::black_box(hog);
        });
        assert!(
            libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL,
            "{status:#x}"
        );
    });
}

/// Lowers the group's limit to what is used, and goes on.
fn full_group(group: &Group, all: &[World]) {
    let round = || {
        for w in all {
            for _ in 0..100 {
                request(w);
            }
        }
    };
    round();
    let used: u64 = group.read(group.usage).trim().parse().unwrap();
    // The kernel counts in batches, so there is always a little room; a hog takes it.
    group.write(group.limit, &(used + (1 << 20)).to_string()).unwrap();
    let mut hog: Vec<Box<[u8; PAGE]>> = Vec::with_capacity(512);
    let before = group.hits();
    while group.hits() == before && hog.len() < 200 {
        hog.push(Box::new([1; PAGE]));
    }
    let before = (group.hits(), faults());
    for _ in 0..10 {
        round();
    }
    let after = (group.hits(), faults());
    println!(
        "{}: {used} bytes used, limit hit {} times, then {} times and {} page faults in {} \
              requests",
        group.folder.display(),
        before.0,
        after.0 - before.0,
        after.1 - before.1,
        1000 * all.len()
    );
    assert_eq!(after.0, before.0, "warm requests asked for memory");
}
