//! Modules on the way to artifacts: `lucetc-wasi`, which is found beside this program or on the
//! PATH, compiles what is not compiled yet.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The compiler.
const COMPILER: &str = "lucetc-wasi";

/// Bytes of an artifact at most.
const MOST: u64 = 4 << 30;

/// Whether a file is a module rather than an artifact.
pub fn is_module(path: &Path, beginning: &[u8]) -> bool {
    let text = path.extension().is_some_and(|e| e == "wat" || e == "wast");
    text || beginning.starts_with(b"\0asm")
}

/// The compiler: the one that was named, the one beside this program, or one on the PATH.
fn compiler(named: Option<&Path>) -> PathBuf {
    if let Some(named) = named {
        return named.to_owned();
    }
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(|d| d.join(COMPILER));
    beside.filter(|p| p.is_file()).unwrap_or_else(|| COMPILER.into())
}

/// Compiles a module; what the compiler has to say goes to standard error.
pub fn compile(module: &Path, named: Option<&Path>) -> Result<Vec<u8>, String> {
    let program = compiler(named);
    let shown = program.display();
    let mut child = Command::new(&program)
        // Not to be taken for an option.
        .args([OsStr::new("-o"), OsStr::new("-"), OsStr::new("--"), module.as_os_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{shown}, which compiles modules, cannot be started: {e}"))?;
    let mut artifact = Vec::new();
    if let Some(from) = child.stdout.take() {
        let read = from.take(MOST).read_to_end(&mut artifact);
        read.map_err(|e| format!("reading what {shown} makes: {e}"))?;
    }
    let status = child.wait().map_err(|e| format!("waiting for {shown}: {e}"))?;
    match status.success() {
        true => Ok(artifact),
        false => Err(format!("{} was not compiled", module.display())),
    }
}
