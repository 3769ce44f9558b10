//! From a [`Plan`] to machine code: compiles all pieces, on several threads, and lays them out.
//!
//! Workers take jobs from a shared counter and results are sorted by job afterwards, so the output
//! is the same for any number of threads. Nothing depends on time, addresses or hash order.

mod cost;
mod glue;
mod isa;
mod piece;
mod text;

use crate::budget::Budget;
use crate::error::{Class, Diagnostic, Errors};
use crate::model::Compiled;
use crate::options::{OptLevel, Options};
use crate::plan::Plan;
use crate::translate::Env;
use cost::Cost;
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use lucet_artifact::code::NO_REF;
use lucet_artifact::contract::ImportKind;
use piece::{Job, Piece, Scratch};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

pub use piece::Text;

/// Stack of a worker: Rust's default. Nothing recurses on the nesting of the input.
const WORKER_STACK: usize = 2 << 20;

/// Most diagnostics about functions in one run.
const MAX_PROBLEMS: usize = 50;

/// The target twice: as the caller wants it optimised, and for functions that are too large for
/// that.
pub struct Targets {
    wanted: OwnedTargetIsa,
    large: OwnedTargetIsa,
}

impl Targets {
    fn new(options: &Options) -> Result<Self, Diagnostic> {
        let wanted = isa::build(options, options.opt_level)?;
        Ok(Self { wanted, large: isa::build(options, OptLevel::None)? })
    }

    /// The target for a function.
    pub fn choose(&self, cost: &Cost) -> &dyn TargetIsa {
        if cost.is_large() { self.large.as_ref() } else { self.wanted.as_ref() }
    }
}

fn env<'a>(
    plan: &'a Plan<'a>,
    targets: &Targets,
    options: &'a Options,
    budget: &'a Budget,
) -> Env<'a> {
    Env { plan, target: targets.wanted.frontend_config(), limits: &options.limits, budget }
}

/// Compiles a planned module.
pub fn compile(plan: Plan<'_>, options: &Options, budget: &Budget) -> Result<Compiled, Errors> {
    let targets = Targets::new(options)?;
    let jobs = jobs(&plan);
    let pieces = run(&env(&plan, &targets, options, budget), &targets, &jobs, options)?;
    budget.check()?;
    text::lay_out(plan, targets.wanted.as_ref(), &jobs, pieces)
}

/// CLIF or machine code of every piece, as text.
pub fn text(
    plan: &Plan<'_>,
    options: &Options,
    budget: &Budget,
    what: Text,
) -> Result<String, Errors> {
    let targets = Targets::new(options)?;
    let env = env(plan, &targets, options, budget);
    let mut scratch = Scratch::new();
    let mut out = String::new();
    for job in jobs(plan) {
        let title = match job {
            Job::Function(f) => format!("function {f} {:?}", plan.name(f)),
            Job::Stub(f) => format!("import stub {f} {:?}", plan.name(f)),
            Job::Entry(t) => format!("entry trampoline {t}"),
            Job::Adapter(t) => format!("link adapter {t}"),
            Job::Throw => "glue that throws".to_owned(),
            Job::OutOfFuel => "routine for used up fuel".to_owned(),
        };
        budget.check()?;
        let body = piece::text(&env, &targets, job, &mut scratch, what)?;
        out.push_str(&format!(";; {title}\n{body}\n"));
        budget.check_size(out.len())?;
    }
    Ok(out)
}

/// All pieces in the order of `.text`: own functions, then import stubs, trampolines, adapters,
/// and at the end the glue that throws and the routine for used up fuel, if the module has use for
/// them.
///
/// A stub exists for imports that are exported, referred to, the start function, or called where
/// exceptions are caught.
fn jobs(plan: &Plan<'_>) -> Vec<Job> {
    let (imported, all) = (plan.imported.funcs, plan.func_types.len() as u32);
    // The runtime enters the start function like any other, so an imported one needs a stub too.
    let start = plan.contract.start;
    let referred = |f: &u32| {
        let reference = plan.references.get(*f as usize);
        start == Some(*f)
            || reference.is_some_and(|r| *r != NO_REF)
            || plan.exceptions.stubs.contains(f)
    };
    let mut adapted = vec![false; plan.types.len()];
    for i in &plan.imports.imports {
        if let ImportKind::Func(t) = i.kind
            && let Some(slot) = adapted.get_mut(t as usize)
        {
            *slot = true;
        }
    }
    let types = 0..plan.types.len() as u32;
    let adapted = |t: &u32| adapted.get(*t as usize).copied().unwrap_or_default();
    (imported..all)
        .map(Job::Function)
        .chain((0..imported).filter(referred).map(Job::Stub))
        .chain(types.clone().map(Job::Entry))
        .chain(types.filter(adapted).map(Job::Adapter))
        .chain(plan.exceptions.throws.then_some(Job::Throw))
        .chain(plan.contract.fuel.then_some(Job::OutOfFuel))
        .collect()
}

fn run(
    env: &Env<'_>,
    targets: &Targets,
    jobs: &[Job],
    options: &Options,
) -> Result<Vec<Piece>, Errors> {
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
        n => n,
    };
    let threads = threads.min(jobs.len()).max(1);
    let next = AtomicUsize::new(0);
    // A bug is reported once; going on would repeat it for every function.
    let stop = AtomicBool::new(false);
    let work = || {
        let mut scratch = Scratch::new();
        let (mut done, mut bad) = (Vec::new(), Vec::new());
        while !stop.load(Ordering::Relaxed) {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(i) else { break };
            if env.budget.is_over() {
                bad.push((usize::MAX, env.budget.over()));
                stop.store(true, Ordering::Relaxed);
                break;
            }
            match piece::compile(env, targets, *job, &mut scratch) {
                Ok(p) => done.push((i, p)),
                Err(d) => {
                    bad.push((i, d));
                    if bad.len() >= MAX_PROBLEMS || env.budget.is_over() {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            }
        }
        (done, bad)
    };
    let lost = || Diagnostic::new(Class::Internal, "a compiler thread died");
    let mut done = Vec::with_capacity(jobs.len());
    let mut bad = Vec::new();
    std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for _ in 0..threads {
            let builder = std::thread::Builder::new().stack_size(WORKER_STACK);
            match builder.spawn_scoped(scope, work) {
                Ok(w) => workers.push(w),
                // Fewer threads do as well; without any there is no output.
                Err(e) if workers.is_empty() => {
                    let d = Diagnostic::new(Class::Limit, format!("cannot start a thread: {e}"));
                    let d = d.help("raise the limits of memory and threads");
                    bad.push((usize::MAX, d));
                }
                Err(_) => break,
            }
        }
        for w in workers {
            match w.join() {
                Ok((d, b)) => {
                    done.extend(d);
                    bad.extend(b);
                }
                Err(_) => bad.push((usize::MAX, lost())),
            }
        }
    });
    if !bad.is_empty() {
        bad.sort_by_key(|(i, _)| *i);
        // Each thread may have said that the time is over.
        bad.dedup_by(|(_, b), (_, a)| a == b);
        return Err(Errors(bad.into_iter().take(MAX_PROBLEMS).map(|(_, d)| d).collect()));
    }
    done.sort_by_key(|(i, _)| *i);
    if done.len() != jobs.len() {
        return Err(lost().into());
    }
    Ok(done.into_iter().map(|(_, p)| p).collect())
}
