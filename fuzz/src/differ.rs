//! One program under several engines: what they disagree on is a finding.

use crate::engines::Refusal;
use crate::engines::lucet::Lucet;
use crate::engines::wasmi::Wasmi;
use crate::engines::wasmtime::Wasmtime;
use crate::features::Features;
use crate::generate::{self, Case};
use crate::tally::Tally;
use crate::value::Seen;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Every so many programs run under Wasmtime too, which takes longer to compile them than
/// everything else together takes.
const WASMTIME_EVERY: u64 = 32;

/// The engines.
pub struct Engines {
    pub lucet: Lucet,
    pub wasmi: Wasmi,
    pub wasmtime: Wasmtime,
    pub features: Features,
}

impl Engines {
    /// Creates them all.
    pub fn new() -> Self {
        Self {
            // Its signal handlers come last, so that they are asked first.
            wasmtime: Wasmtime::new(),
            wasmi: Wasmi::new(),
            lucet: Lucet::new(),
            features: Features::probe(),
        }
    }

    /// Runs the program of a seed; an error is a finding, with the program.
    pub fn differ(&mut self, seed: u64, tally: &mut Tally) -> Result<(), (String, Vec<u8>)> {
        let Some(case) = generate::case(seed, self.features) else { return Ok(()) };
        self.compare(&case, tally).map_err(|e| (e, case.wasm))
    }

    fn compare(&mut self, case: &Case, tally: &mut Tally) -> Result<(), String> {
        let ours = match self.lucet.run(case) {
            Ok(s) => s,
            Err(Refusal::Unsupported(_)) => {
                tally.unsupported += 1;
                return Ok(());
            }
            Err(Refusal::Limit(_)) => {
                tally.limits += 1;
                return Ok(());
            }
            Err(Refusal::Wrong(e)) => return Err(format!("lucet refuses a valid program: {e}")),
        };
        tally.modules += 1;
        let Some((first, again)) = ours.split_first() else { return Ok(()) };
        tally.calls += first.calls.len() as u64;
        if let Some(e) = first.broken() {
            return Err(format!("lucet: {e}"));
        }
        for second in again {
            tally.again += 1;
            if let Some(d) = first.difference(second).or(second.broken().map(str::to_owned)) {
                return Err(format!("lucet, and again in a fresh instance: {d}"));
            }
        }
        if first.unknown().is_some() {
            tally.unknown += 1;
        }
        let mut with_wasmtime = case.seed.is_multiple_of(WASMTIME_EVERY);
        if case.beyond_wasmi {
            with_wasmtime = true;
        } else {
            match self.run_wasmi(case, tally) {
                Ok(theirs) => {
                    tally.wasmi += 1;
                    if let Err(e) = disagreement("wasmi", first, &theirs) {
                        return self.arbitrate(case, first, e, tally);
                    }
                }
                Err(Refusal::Wrong(e)) => return Err(format!("wasmi: {e}")),
                Err(_) => with_wasmtime = true,
            }
        }
        if with_wasmtime {
            match self.wasmtime.run(case) {
                Ok(theirs) => {
                    tally.wasmtime += 1;
                    disagreement("wasmtime", first, &theirs)?;
                }
                Err(Refusal::Wrong(e)) => return Err(format!("wasmtime: {e}")),
                Err(_) => tally.alone += 1,
            }
        }
        Ok(())
    }

    /// wasmi 2.0.0 panics where it translates some vector operators: that is its own trouble.
    fn run_wasmi(&mut self, case: &Case, tally: &mut Tally) -> Result<Seen, Refusal> {
        let wasmi = &self.wasmi;
        catch_unwind(AssertUnwindSafe(|| wasmi.run(case))).unwrap_or_else(|_| {
            tally.outvoted += 1;
            self.wasmi = Wasmi::new();
            Err(Refusal::Unsupported("it panicked".to_owned()))
        })
    }

    /// wasmi disagrees: it is wrong if Wasmtime, which optimises nothing, says what lucet says.
    fn arbitrate(
        &self,
        case: &Case,
        ours: &Seen,
        what: String,
        tally: &mut Tally,
    ) -> Result<(), String> {
        match self.wasmtime.run(case) {
            Ok(third) => match disagreement("wasmtime", ours, &third) {
                Ok(()) => {
                    tally.outvoted += 1;
                    eprintln!("seed {}: wasmi is outvoted: {what}", case.seed);
                    Ok(())
                }
                Err(e) => Err(format!("{what}; {e}")),
            },
            Err(e) => Err(format!("{what}; wasmtime: {e:?}")),
        }
    }

    /// The program of a seed and what each engine does with it, for a person to read.
    pub fn show(&mut self, seed: u64) {
        match generate::case(seed, self.features) {
            Some(case) => self.show_case(&case),
            None => println!("seed {seed} makes no program"),
        }
    }

    /// The same for a case that is at hand.
    pub fn show_case(&mut self, case: &Case) {
        match wasmprinter::print_bytes(&case.wasm) {
            Ok(text) => println!("{text}"),
            Err(e) => println!("{e}"),
        }
        println!("setting: {:?}", case.setting);
        println!("endless: {}, provider: {}", case.endless, case.needs_provider);
        for (n, (name, args, _)) in case.calls.iter().enumerate() {
            println!("call {n}: {name:?} {args:x?}");
        }
        println!("lucet:    {:x?}", self.lucet.run(case));
        println!("wasmi:    {:x?}", self.wasmi.run(case));
        println!("wasmtime: {:x?}", self.wasmtime.run(case));
        println!("verdict:  {:x?}", self.compare(case, &mut Tally::default()));
    }
}

fn disagreement(engine: &str, ours: &Seen, theirs: &Seen) -> Result<(), String> {
    if let Some(e) = theirs.broken() {
        return Err(format!("{engine}: {e}"));
    }
    match ours.difference(theirs) {
        Some(d) => Err(format!("lucet and {engine}: {d}")),
        None => Ok(()),
    }
}
