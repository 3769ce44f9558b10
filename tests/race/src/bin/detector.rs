//! What several threads do at once, for ThreadSanitizer: instances are made, run, reset, parked and
//! freed on all threads, modules are loaded, published and dropped, statistics read. Nothing that
//! is answered by a signal: the sanitizer would deliver it later.
//!
//! `lucet-detector ARTIFACT ROUNDS`: the compiled `detector.wat`. `tests/run-race-detector` builds
//! it with the sanitizer.

use lucet::{Imports, Instance, Module, ModuleConfig, ModuleRef, Outcome, Region, RegionConfig};
use lucet::{Rung, Val};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const THREADS: usize = 4;

struct Stage {
    artifact: Vec<u8>,
    config: ModuleConfig,
    module: Arc<Module>,
    region: Arc<Region>,
    reference: ModuleRef,
}

fn seven(i: &Instance) {
    let o = i.run("add", &[Val::I32(3), Val::I32(4)]).unwrap();
    assert_eq!(o, Outcome::Returned(vec![Val::I32(7)]));
}

/// One thing, chosen by a number; how many instances it made.
fn act(s: &Stage, n: usize) -> usize {
    let made = match n % 5 {
        0 | 1 => Instance::new(&s.region, &s.module),
        2 => s.reference.instantiate(&s.region, &mut []).map(|(i, _)| i),
        3 => {
            s.reference.publish(Some(Module::load_bytes(&s.artifact, &s.config).unwrap())).unwrap();
            return 0;
        }
        _ => {
            assert!(s.region.stats().live <= THREADS as u32);
            return 0;
        }
    };
    // A full region is an answer, too.
    let Ok(i) = made else { return 0 };
    seven(&i);
    if n % 3 == 0 {
        i.reset().unwrap();
        seven(&i);
    }
    1
}

/// Where an instance waits for the thread that goes on with it.
static BETWEEN: std::sync::Mutex<Vec<Instance>> = std::sync::Mutex::new(Vec::new());

fn hand_over(s: &Stage) {
    let other = BETWEEN.lock().unwrap().pop();
    match other {
        Some(i) => seven(&i),
        None => {
            if let Ok(i) = Instance::new(&s.region, &s.module) {
                seven(&i);
                BETWEEN.lock().unwrap().push(i);
            }
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, artifact, rounds] = &args[..] else { panic!("lucet-detector ARTIFACT ROUNDS") };
    let (artifact, rounds) = (std::fs::read(artifact).unwrap(), rounds.parse::<usize>().unwrap());
    let made = AtomicUsize::new(0);
    for reset in [Rung::CopyAndClear, Rung::Decommit] {
        let config = ModuleConfig {
            imports: Imports::new(),
            allow_unsigned: true,
            ..ModuleConfig::default()
        };
        let module = Module::load_bytes(&artifact, &config).unwrap();
        let region = Region::new(RegionConfig {
            slots: 3,
            reset: Some(reset),
            first_touch: false,
            ..RegionConfig::default()
        });
        let reference = ModuleRef::new().unwrap();
        reference.publish(Some(module.clone())).unwrap();
        let region = region.unwrap();
        let s = Stage { artifact: artifact.clone(), config, module, region, reference };
        std::thread::scope(|scope| {
            for t in 0..THREADS {
                let (s, made) = (&s, &made);
                scope.spawn(move || {
                    for k in 0..rounds {
                        made.fetch_add(act(s, k * (t + 1) + t), Ordering::Relaxed);
                        hand_over(s);
                    }
                });
            }
        });
        BETWEEN.lock().unwrap().clear();
    }
    println!("{} instances made by {THREADS} threads", made.into_inner());
}
