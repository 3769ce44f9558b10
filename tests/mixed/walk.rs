//! A walk through all operations by chance: threads take instances from a common board, do
//! something with them, compare what happened with a model, and put them back. At the end nothing
//! is missing: no slot, no stack, no count.

use super::kit::{FRESH, OK, call_from_c, guest, kind};
use crate::common::random::Rng;
use lucet::{Func, Instance, InstanceRef, Module, Outcome, OutcomeKind as K, Region, RegionConfig};
use lucet::{SnapshotOptions, Status, Val};
use lucet_artifact::types::MemoryShape::{Compact, Guarded};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const BOARD: usize = 10;
const SLOTS: u32 = 16;
const STEPS: usize = 3000;
const SLICE: u64 = 60_000;
const LIMIT: u64 = 300_000;

struct Kind {
    module: Arc<Module>,
    fuel: bool,
    region: usize,
}

impl Kind {
    fn find(&self, name: &str) -> Func {
        self.module.find(name, None).unwrap()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Suspended,
    Preempted,
    Faulted,
}

/// An instance and what must be true of it.
struct Held {
    instance: Instance,
    kind: usize,
    state: State,
    /// Nothing ran in it yet but `look`.
    fresh: bool,
    /// It has a time slice, and so may be interrupted anywhere.
    sliced: bool,
    fuelled: bool,
    user_data: usize,
}

struct World {
    regions: Vec<Arc<Region>>,
    kinds: Vec<Kind>,
    board: Vec<Mutex<Option<Held>>>,
    stale: Mutex<Vec<InstanceRef>>,
    steps: AtomicU64,
}

fn world() -> World {
    let guarded = RegionConfig { slots: SLOTS, max_memory: 4 << 20, ..RegionConfig::default() };
    let compact = RegionConfig { compact: true, stacks: SLOTS, ..guarded };
    let backtraces = RegionConfig { backtrace: true, latency_histograms: true, ..guarded };
    let regions = [guarded, compact, backtraces].map(|c| Region::new(c).unwrap()).to_vec();
    let mut kinds = Vec::new();
    for (region, shape) in [(0, Guarded), (1, Compact), (2, Guarded)] {
        for (start, fuel) in [(false, false), (true, false), (false, true)] {
            kinds.push(Kind { module: guest(shape, start, fuel), fuel, region });
        }
    }
    // Instances of snapshots are like others, and share code and functions with their parents.
    for n in [0, 3, 7] {
        let parent = Instance::new(&regions[kinds[n].region], &kinds[n].module).unwrap();
        let options = SnapshotOptions { reseed: None, allow_frozen_randomness: true };
        let module = parent.snapshot(&options).unwrap();
        kinds.push(Kind { module, fuel: kinds[n].fuel, region: kinds[n].region });
    }
    World {
        regions,
        kinds,
        board: (0..BOARD).map(|_| Mutex::new(None)).collect(),
        stale: Mutex::default(),
        steps: AtomicU64::new(0),
    }
}

impl World {
    fn create(&self, kind: usize) -> Held {
        let k = &self.kinds[kind];
        let instance = Instance::new(&self.regions[k.region], &k.module).unwrap();
        Held {
            instance,
            kind,
            state: State::Ready,
            fresh: true,
            sliced: false,
            fuelled: false,
            user_data: 0,
        }
    }

    /// Calls a function in one of three ways; status (0: fine), kind of outcome, result.
    fn call(
        &self,
        h: &Held,
        rng: &mut Rng,
        name: &str,
        arg: Option<(i64, bool)>,
        results: usize,
    ) -> (i32, i32, i64) {
        let f = self.kinds[h.kind].find(name);
        if rng.below(2) == 0 {
            return call_from_c(*h.instance, f, arg, results);
        }
        let args: Vec<Val> = arg
            .iter()
            .map(|(v, wide)| if *wide { Val::I64(*v) } else { Val::I32(*v as i32) })
            .collect();
        let ended = match rng.below(2) {
            0 => h.instance.run(name, &args),
            _ => h.instance.run_func(f, &args),
        };
        match ended {
            Ok(Outcome::Returned(r)) => match r.first() {
                Some(Val::I64(v)) => (OK, 1, *v),
                Some(Val::I32(v)) => (OK, 1, i64::from(*v)),
                _ => (OK, 1, 0),
            },
            Ok(o) => (OK, kind(o.kind()), 0),
            Err(e) => (e.status() as i32, 0, 0),
        }
    }

    fn look(&self, h: &mut Held, rng: &mut Rng) {
        let (status, ended, v) = self.call(h, rng, "look", None, 1);
        if h.state != State::Ready {
            return self.refused(h, status);
        }
        assert_eq!(status, OK);
        if self.settle(h, ended, K::Returned) && h.fresh {
            assert_eq!(v, FRESH, "{v:x} is not {FRESH:x}");
        }
    }

    fn refused(&self, h: &Held, status: i32) {
        let busy = h.state == State::Preempted;
        assert_eq!(status, if busy { Status::Busy } else { Status::WrongState } as i32);
    }

    /// Notes how a run ended, `wanted` unless it was interrupted; whether it did that.
    fn settle(&self, h: &mut Held, ended: i32, wanted: K) -> bool {
        let interrupted = h.sliced && ended == kind(K::Preempted);
        let empty = h.fuelled && ended == kind(K::OutOfFuel);
        assert!(
            interrupted || empty || ended == kind(wanted),
            "{ended} instead of {wanted:?}, kind {}, slices {}",
            h.kind,
            h.sliced
        );
        h.state = match ended {
            _ if interrupted => State::Preempted,
            1 => State::Ready,
            2 => State::Suspended,
            _ if empty => match h.instance.backtrace() {
                // Inside another run it could not be suspended.
                _ if wanted == K::Preempted => State::Suspended,
                _ => self.suspended_or_not(h),
            },
            _ => State::Faulted,
        };
        !interrupted && !empty
    }

    fn suspended_or_not(&self, h: &Held) -> State {
        match h.instance.recover() {
            Ok(()) => State::Ready,
            Err(_) => State::Suspended,
        }
    }

    fn run(&self, h: &mut Held, rng: &mut Rng) {
        let v = rng.below(8) as i64;
        let (name, arg, results, wanted) = match rng.below(8) {
            0 => ("dirty", Some((v, true)), 0, K::Returned),
            1 => ("trap", None, 0, K::Trapped),
            2 => ("oob", None, 0, K::Trapped),
            3 => ("overflow", None, 0, K::Trapped),
            4 => ("yield", None, 1, K::Yielded),
            5 => {
                let ends = [K::Exited, K::HostError, K::Terminated, K::Terminated];
                ("end", Some((v % 4, false)), 0, ends[v as usize % 4])
            }
            6 => {
                let ends = [K::Yielded, K::Trapped, K::Terminated, K::Trapped];
                ("nest", Some((v % 4, false)), 1, ends[v as usize % 4])
            }
            _ => return self.spin(h, rng),
        };
        let (status, ended, _) = self.call(h, rng, name, arg, results);
        if h.state != State::Ready {
            return self.refused(h, status);
        }
        assert_eq!(status, OK, "{name}");
        h.fresh = false;
        self.settle(h, ended, wanted);
    }

    /// An endless loop, which something outside ends or interrupts.
    fn spin(&self, h: &mut Held, rng: &mut Rng) {
        if h.state != State::Ready {
            return;
        }
        h.fresh = false;
        let f = self.kinds[h.kind].find("spin");
        let i: InstanceRef = *h.instance;
        let wanted = match rng.below(3) {
            0 => {
                i.set_time_slice(SLICE).unwrap();
                h.sliced = true;
                K::Preempted
            }
            1 => {
                i.set_time_limit(LIMIT).unwrap();
                K::TimedOut
            }
            _ if self.kinds[h.kind].fuel => {
                i.set_fuel(1000).unwrap();
                h.fuelled = true;
                K::OutOfFuel
            }
            _ => {
                i.set_cpu_limit(LIMIT).unwrap();
                K::TimedOut
            }
        };
        let (status, ended, _) = call_from_c(i, f, None, 0);
        assert_eq!(status, OK);
        if wanted == K::OutOfFuel && ended == kind(wanted) {
            h.state = State::Suspended;
        } else {
            self.settle(h, ended, wanted);
        }
        if matches!(h.state, State::Faulted | State::Suspended) {
            self.unlimited(h);
        }
    }

    fn unlimited(&self, h: &mut Held) {
        h.instance.set_time_limit(0).unwrap();
        h.instance.set_cpu_limit(0).unwrap();
        h.instance.set_time_slice(0).unwrap();
        h.sliced = false;
        if self.kinds[h.kind].fuel && h.state != State::Suspended {
            h.instance.set_fuel(u64::MAX).unwrap();
            h.fuelled = false;
        }
    }

    fn resume(&self, h: &mut Held) {
        match (h.state, h.instance.resume(77)) {
            (State::Suspended | State::Preempted, Ok(o)) => match o {
                Outcome::Returned(_) => h.state = State::Ready,
                Outcome::Yielded(_) => h.state = State::Suspended,
                Outcome::Preempted => {
                    assert!(h.sliced);
                    h.state = State::Preempted;
                }
                Outcome::OutOfFuel => {
                    assert!(h.fuelled);
                    h.state = self.suspended_or_not(h);
                }
                Outcome::Trapped(_) | Outcome::Terminated | Outcome::TimedOut => {
                    h.state = State::Faulted;
                }
                Outcome::Exited(40) | Outcome::HostError(41) => h.state = State::Faulted,
                other => panic!("{other:?}"),
            },
            (_, refused) => assert_eq!(refused.unwrap_err().status(), Status::WrongState),
        }
    }

    /// What may be set and asked at any time, but while the guest is in the middle of its work.
    fn fiddle(&self, h: &mut Held, rng: &mut Rng) {
        let i = &h.instance;
        let preempted = h.state == State::Preempted;
        let check = |r: lucet::Result<()>| match r {
            Ok(()) => assert!(!preempted),
            Err(e) => {
                assert!(preempted && e.status() == Status::Busy, "{e}");
            }
        };
        match rng.below(6) {
            0 => check(i.set_backtrace(rng.below(2) == 0)),
            1 => {
                check(i.set_user_data(7));
                h.user_data = 7;
            }
            2 => check(i.set_memory_limit(2 << 16)),
            3 => match i.set_stack_limit(20 << 10) {
                Err(e) if h.state == State::Suspended => {
                    assert_eq!(e.status(), Status::WrongState);
                }
                other => check(other),
            },
            4 => check(i.memory_size().map(drop)),
            _ => check(i.memory_read(4104, &mut [0; 4])),
        }
    }

    fn step(&self, at: usize, rng: &mut Rng) {
        let mut place = self.board[at].lock().unwrap();
        let Some(h) = place.as_mut() else {
            let mut h = self.create(rng.below(self.kinds.len()));
            self.look(&mut h, rng);
            *place = Some(h);
            return;
        };
        match rng.below(16) {
            0..=5 => self.run(h, rng),
            6..=7 => self.resume(h),
            8..=9 => self.fiddle(h, rng),
            10 => {
                h.instance.terminate().unwrap();
                if matches!(h.state, State::Suspended | State::Preempted) {
                    h.state = State::Faulted;
                    self.unlimited(h);
                }
            }
            11 => {
                h.instance.reset().unwrap();
                (h.state, h.fresh) = (State::Ready, true);
                self.unlimited(h);
                self.look(h, rng);
            }
            12 => match (h.state, h.instance.recover()) {
                (State::Faulted, done) => {
                    done.unwrap();
                    h.state = State::Ready;
                }
                (_, refused) => assert!(refused.is_err()),
            },
            13 => self.look(h, rng),
            _ => self.free(place.take().unwrap()),
        }
    }

    fn free(&self, h: Held) {
        let stale = *h.instance;
        drop(h);
        assert_eq!(stale.terminate().unwrap_err().status(), Status::InvalidHandle);
        let mut all = self.stale.lock().unwrap();
        all.push(stale);
        let n = self.steps.fetch_add(1, Ordering::Relaxed) as usize;
        let old = all[n % all.len()];
        for refused in
            [old.free(), old.reset(), old.set_fuel(1), old.recover(), old.resume(0).map(drop)]
        {
            assert_eq!(refused.unwrap_err().status(), Status::InvalidHandle);
        }
    }

    /// Nothing is missing: every slot and every stack can be had.
    fn count(&self) {
        for place in &self.board {
            if let Some(h) = place.lock().unwrap().take() {
                self.free(h);
            }
        }
        for (n, region) in self.regions.iter().enumerate() {
            assert_eq!(region.live(), 0);
            for kind in (0..self.kinds.len()).filter(|k| self.kinds[*k].region == n) {
                let all: Vec<_> = (0..SLOTS).map(|_| self.create(kind)).collect();
                for h in &all {
                    let f = self.kinds[kind].find("look");
                    assert_eq!(call_from_c(*h.instance, f, None, 1), (OK, 1, FRESH));
                    let waits = h.instance.run("yield", &[]).unwrap();
                    assert_eq!(waits, Outcome::Yielded(11));
                }
                assert_eq!(region.live(), SLOTS);
            }
            assert_eq!(region.live(), 0);
        }
    }
}

/// `threads` threads take `STEPS` steps each.
fn walk(threads: u64, seed: u64) {
    let world = world();
    std::thread::scope(|s| {
        for t in 0..threads {
            let world = &world;
            s.spawn(move || {
                let mut rng = Rng(seed * 1000 + t * 7919 + 1);
                for _ in 0..STEPS {
                    world.step(rng.below(BOARD), &mut rng);
                }
            });
        }
    });
    world.count();
}

#[test]
fn one_thread_walks() {
    (1..4).for_each(|seed| walk(1, seed));
}

#[test]
fn threads_walk() {
    walk(2, 11);
    walk(4, 12);
}
