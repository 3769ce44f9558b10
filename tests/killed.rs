//! Killed while writing: at each system call from the one that creates a file on. Whoever reads the
//! file then finds all of the old one or all of the new one.

mod common;
#[allow(dead_code)]
#[path = "failing_system/tracer.rs"]
mod tracer;

use common::client::{artifact, out, program};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tracer::kill_while_writing;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = out().join(format!("killed-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Kills the command at one call after the other, each time with the old files in place. `whole`
/// says whether what is there afterwards is the old or the new. How often it was killed.
fn kill_everywhere(command: &dyn Fn() -> Command, old: &dyn Fn(), whole: &dyn Fn(usize)) -> usize {
    let mut killed = 0;
    loop {
        old();
        let again = kill_while_writing(command(), killed);
        whole(killed);
        if !again {
            return killed;
        }
        killed += 1;
        assert!(killed < 10_000, "it does not come to an end");
    }
}

fn lucetc(folder: &Folder, args: &str) -> Command {
    let mut command = Command::new(lucetc_path());
    command.current_dir(&folder.0).args(args.split(' '));
    command
}

/// The command, which lies beside the folder of the test programs.
fn lucetc_path() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let path = here.parent().and_then(Path::parent).unwrap().join("lucetc");
    assert!(path.exists(), "no {}: cargo build --release -p lucetc", path.display());
    path
}

#[test]
fn outputs_of_the_compiler_are_whole() {
    let folder = Folder::new("compiler");
    let data = "x".repeat(60_000);
    let wat = format!("(module (memory 1) (data (i32.const 0) \"{data}\") (func (export \"f\")))");
    fs::write(folder.file("a.wat"), wat).unwrap();
    fs::write(folder.file("b.wat"), "(module)").unwrap();
    for args in ["b.wat -o old.so", "a.wat -o new.so"] {
        assert!(lucetc(&folder, args).status().unwrap().success());
    }
    let [old, new] = ["old.so", "new.so"].map(|f| fs::read(folder.file(f)).unwrap());
    let path = folder.file("a.so");
    let (mut olds, mut news) = (0, 0);
    let seen = std::cell::RefCell::new((&mut olds, &mut news));
    let killed = kill_everywhere(
        &|| lucetc(&folder, "a.wat --in-process -j1 -o a.so"),
        &|| fs::write(&path, &old).unwrap(),
        &|n| {
            let found = fs::read(&path).unwrap();
            assert!(found == old || found == new, "killed at call {n}: {} bytes", found.len());
            let mut seen = seen.borrow_mut();
            *(if found == old { &mut *seen.0 } else { &mut *seen.1 }) += 1;
        },
    );
    println!("killed {killed} times: {olds} times the old one, {news} times the new one");
    assert!(killed >= 4 && olds >= 4 && news >= 1, "{killed}");
}

#[test]
fn signed_files_are_whole() {
    let folder = Folder::new("signed");
    fs::write(folder.file("a.wat"), "(module (func (export \"f\")))").unwrap();
    assert!(lucetc(&folder, "a.wat -o old.so").status().unwrap().success());
    assert!(lucetc(&folder, "keygen -W k.key").output().unwrap().status.success());
    let path = folder.file("a.so");
    let old = fs::read(folder.file("old.so")).unwrap();
    fs::write(&path, &old).unwrap();
    assert!(lucetc(&folder, "sign -s k.key -t c a.so").output().unwrap().status.success());
    let new = fs::read(&path).unwrap();
    let killed = kill_everywhere(
        &|| lucetc(&folder, "sign -s k.key -t c a.so"),
        &|| fs::write(&path, &old).unwrap(),
        &|n| {
            let found = fs::read(&path).unwrap();
            assert!(found == old || found == new, "killed at call {n}: {} bytes", found.len());
        },
    );
    assert!(killed >= 4, "{killed}");
}

/// A program that takes a snapshot and saves it.
#[test]
fn saved_snapshots_are_whole() {
    let folder = Folder::new("saved");
    let (server, path) = (program("server", &[]), folder.file("saved.so"));
    let run = || {
        let mut command = Command::new(&server);
        command.arg("copy").arg(artifact()).arg(&path);
        command
    };
    assert!(run().output().unwrap().status.success());
    let new = fs::read(&path).unwrap();
    let killed = kill_everywhere(&run, &|| fs::write(&path, b"the old one").unwrap(), &|n| {
        let found = fs::read(&path).unwrap();
        let whole = found == b"the old one" || found.len() == new.len();
        assert!(whole, "killed at call {n}: {} bytes", found.len());
    });
    assert!(killed >= 4, "{killed}");
}
