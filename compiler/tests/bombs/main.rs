//! Compile bombs: modules made to take time or memory. Each shape is given to the command, which
//! has to end with an artifact or with a clear refusal, within a minute and 2 GiB; the small ones
//! within seconds of processor time. A command that does not end is killed.
//!
//! The default run makes each shape small, about 100 KB, where whatever grows faster than the
//! module shows already; `FULL=1 make test` runs them with 10 MB as well, and with 1 MB, which is
//! where functions are largest without being refused. `LUCET_BOMBS=NAME` restricts a run to shapes
//! whose name contains that. What was measured is printed (`--nocapture`).

mod deep;
mod library;
mod shapes;
mod wasm;

use shapes::{SHAPES, Shape};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a module of 10 MB may take.
const TIME: Duration = Duration::from_secs(60);

/// How much processor time one of 100 KB may take. Other processes do not matter for that.
const SMALL: Duration = Duration::from_secs(10);

/// How much memory, in KiB.
const MEMORY: u64 = 2 << 20;

/// How often the memory of a running compilation is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What a run took and gave.
struct Run {
    code: Option<i32>,
    time: Duration,
    /// Processor time of the command and the process it compiles in.
    cpu: Duration,
    peak_kib: u64,
    said: String,
}

/// Peak resident memory in KiB of a process and its children, together.
fn peak(id: u32) -> u64 {
    let own = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = own.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB")).and_then(|n| n.parse().ok());
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let children = children.unwrap_or_default();
    let below: u64 = children.split_whitespace().filter_map(|c| c.parse().ok()).map(peak).sum();
    kib.unwrap_or(0) + below
}

/// Processor time of a process and the children it has waited for, once it has ended and nobody has
/// waited for it.
fn ended(id: u32) -> Option<Duration> {
    // Hundredths of seconds, in user and kernel mode, of itself and of its children.
    const TIMES: std::ops::Range<usize> = 11..15;
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
    (*fields.first()? == "Z").then_some(())?;
    let ticks = fields.get(TIMES)?.iter().map(|f| f.parse::<u64>());
    Some(Duration::from_millis(10 * ticks.sum::<Result<u64, _>>().ok()?))
}

fn run(input: &Path, output: &Path, options: &[&str]) -> Run {
    run_with(input, output, options, &[])
}

/// The same with something in the environment.
fn run_with(input: &Path, output: &Path, options: &[&str], environment: &[(&str, &str)]) -> Run {
    let begun = Instant::now();
    // A pipe that nobody reads could fill up.
    let messages = output.with_extension("messages");
    let mut child = Command::new(env!("CARGO_BIN_EXE_lucetc"))
        .arg(input)
        .arg("-o")
        .arg(output)
        .args(options)
        .env_remove("RUST_BACKTRACE")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stderr(File::create(&messages).unwrap())
        .spawn()
        .unwrap();
    let mut peak_kib = 0;
    let cpu = loop {
        peak_kib = peak_kib.max(peak(child.id()));
        if let Some(cpu) = ended(child.id()) {
            break cpu;
        }
        if begun.elapsed() > 2 * TIME {
            // The process it compiles in ends with it. What it took is not known: too much.
            child.kill().unwrap();
            break begun.elapsed();
        }
        std::thread::sleep(LOOK);
    };
    let time = begun.elapsed();
    let status = child.wait().unwrap();
    let said = fs::read_to_string(&messages).unwrap();
    fs::remove_file(&messages).unwrap();
    Run { code: status.code(), time, cpu, peak_kib, said }
}

/// Why a run is not as it should be.
fn fault(run: &Run, output: &Path, most: Duration) -> Option<String> {
    let said = &run.said;
    match run.code {
        Some(0) if !said.is_empty() => Some("it says something although all is well".to_owned()),
        Some(0) if !output.exists() => Some("there is no artifact".to_owned()),
        Some(0) => None,
        Some(1) => {
            let known =
                ["error[limit]: ", "error[malformed]: "].iter().any(|c| said.starts_with(c));
            let brief = said.len() < 1000 && said.contains("\n  help: ");
            let tidy = !output.exists() && !said.contains("panicked");
            let fine = known && brief && tidy;
            (!fine).then(|| "the refusal is not clear".to_owned())
        }
        code => Some(format!("it ends with {code:?}")),
    }
    .or_else(|| (run.time > TIME).then(|| format!("it takes {:?}", run.time)))
    .or_else(|| (run.cpu > most).then(|| format!("it takes {:?} of processor time", run.cpu)))
    .or_else(|| (run.peak_kib > MEMORY).then(|| format!("it takes {} KiB", run.peak_kib)))
}

/// A directory of its own for a test, empty at the start.
fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bombs").join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// Runs every shape with about so many bytes, which may take `most` processor time.
fn all(bytes: usize, most: Duration) {
    let directory = directory(&bytes.to_string());
    let (input, output) = (directory.join("bomb"), directory.join("bomb.so"));
    let only = std::env::var("LUCET_BOMBS").unwrap_or_default();
    let (mut faults, mut ran) = (Vec::new(), 0);
    println!("| shape | bytes | seconds | of processors | peak MiB | result |");
    println!("|---|---:|---:|---:|---:|---|");
    for Shape { name, make, options } in SHAPES.iter().filter(|s| s.name.contains(&only)) {
        ran += 1;
        let module = make(bytes);
        fs::write(&input, &module).unwrap();
        let _ = fs::remove_file(&output);
        let run = run(&input, &output, options);
        let result = match run.said.lines().next() {
            None => fs::metadata(&output).map_or(String::new(), |m| format!("{} bytes", m.len())),
            Some(line) => line.replace('|', "\\|"),
        };
        let (seconds, cpu) = (run.time.as_secs_f64(), run.cpu.as_secs_f64());
        let (bytes, mib) = (module.len(), run.peak_kib >> 10);
        println!("| {name} | {bytes} | {seconds:.1} | {cpu:.1} | {mib} | {result} |");
        if let Some(fault) = fault(&run, &output, most) {
            faults.push(format!("{name}, {bytes} bytes: {fault}\n{}", run.said));
        }
    }
    let _ = fs::remove_dir_all(&directory);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // That many SPECIFICATION.md promises.
    assert!(if only.is_empty() { ran >= 65 } else { ran > 0 }, "{ran} shapes");
}

#[test]
fn small_bombs_end() {
    all(100_000, SMALL);
}

#[test]
#[ignore = "minutes"]
fn bombs_just_below_the_limits_end() {
    all(400_000, 2 * TIME);
    all(1_000_000, 2 * TIME);
}

#[test]
#[ignore = "minutes"]
fn bombs_of_ten_megabytes_end() {
    all(10_000_000, 2 * TIME);
}

#[test]
fn shapes_have_names_of_their_own() {
    let mut names: Vec<_> = SHAPES.iter().map(|s| s.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), SHAPES.len(), "two shapes have one name");
}
