//! What a context costs before it is used: no allocation, and no system call.

use std::process::{Command, Stdio};

use lucet_wasi::{Config, Context};
use rustix::thread::{SecureComputingMode, set_secure_computing_mode};

fn template() -> std::sync::Arc<lucet_wasi::Template> {
    let mut config = Config::new();
    config.arg("program").env("A=1").directory(env!("CARGO_MANIFEST_DIR"), "/", true);
    config.build().unwrap()
}

#[test]
fn a_context_allocates_nothing() {
    let template = template();
    let counted = allocation_counter::measure(|| {
        for _ in 0..1000 {
            drop(std::hint::black_box(Context::new(&template)));
        }
    });
    assert_eq!(counted.count_total, 0);
    // The counter counts.
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![1u8; 100])));
    assert_eq!(counted.count_total, 1);
}

#[test]
fn contexts_move_between_threads_and_templates_are_shared() {
    fn moves<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    moves::<Context>();
    is_shared::<lucet_wasi::Template>();
}

#[test]
fn printing_and_arguments_allocate_nothing() {
    let template = template();
    let mut memory = vec![0u8; 65536];
    memory[256..264].copy_from_slice(&[0, 4, 0, 0, 5, 0, 0, 0]);
    let counted = allocation_counter::measure(|| {
        let mut ctx = Context::new(&template);
        let mem = &mut memory;
        for answer in [
            lucet_wasi::abi::args_sizes_get(&mut ctx, mem, 0, 4),
            lucet_wasi::abi::args_get(&mut ctx, mem, 16, 32),
            lucet_wasi::abi::fd_fdstat_get(&mut ctx, mem, 1, 64),
            lucet_wasi::abi::fd_prestat_get(&mut ctx, mem, 3, 64),
            lucet_wasi::abi::fd_write(&mut ctx, mem, 1, 256, 1, 64),
        ] {
            assert_eq!(answer, lucet_wasi::Answer::Errno(lucet_wasi::Errno::Success));
        }
    });
    assert_eq!(counted.count_total, 0);
}

const CHILD: &str = "LUCET_WASI_COST_CHILD";

/// Runs this test once more, alone, in a process of its own, which does `what`.
fn child(what: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_context_asks_the_kernel_nothing", "--nocapture", "--test-threads=1"])
        .env(CHILD, what)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_context_asks_the_kernel_nothing() {
    match std::env::var(CHILD) {
        Err(_) => {
            assert!(child("contexts").contains("survived"), "it made a system call");
            // Proof that a system call would have been noticed.
            assert!(!child("stat").contains("survived"));
        }
        Ok(what) => {
            let template = template();
            let stdout = std::io::stdout();
            let me = format!("/proc/self/task/{}", rustix::thread::gettid().as_raw_nonzero());
            std::thread::spawn(move || {
                while std::path::Path::new(&me).exists() {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                std::process::exit(0);
            });
            // From here on any system call but read and write kills this thread.
            set_secure_computing_mode(SecureComputingMode::Strict).unwrap();
            if what == "stat" {
                let _ = rustix::fs::fstat(&stdout);
            }
            for _ in 0..1000 {
                drop(std::hint::black_box(Context::new(&template)));
            }
            let _ = rustix::io::write(&stdout, b"survived\n");
        }
    }
}
