//! Rounds in turns, medians and spreads.

use crate::plan::{Entry, Kind};
use lucet_bench_peers::{Answer, Worker};
use std::collections::BTreeMap;
use std::time::Instant;

/// A spread above this says that the machine was busy with something else.
pub const NOISY: f64 = 0.15;

/// Nanoseconds that one round should take at least.
const ROUND: f64 = 1e6;
/// Seconds for one entry, after which few rounds have to do.
const PATIENCE: f64 = 1.2;
const MOST: usize = 21;
const FEWEST: usize = 5;

type Workers = BTreeMap<&'static str, Worker>;

/// The values of one part of an entry, one per round.
#[derive(Clone, Default)]
pub struct Samples(pub Vec<Answer>);

impl Samples {
    /// Those that count, ascending: the undisturbed ones, unless there are too few.
    fn sorted(&self) -> Vec<f64> {
        let calm = self.0.iter().filter(|a| !a.disturbed).count();
        let all = calm < FEWEST;
        let counts = self.0.iter().filter(|a| all || !a.disturbed);
        let mut v: Vec<f64> = counts.map(|a| a.value).collect();
        v.sort_by(f64::total_cmp);
        v
    }

    fn at(&self, place: f64) -> f64 {
        let v = self.sorted();
        let last = v.len().saturating_sub(1) as f64;
        v.get((last * place).round() as usize).copied().unwrap_or(f64::NAN)
    }

    pub fn median(&self) -> f64 {
        self.at(0.5)
    }

    /// Interquartile range over the median.
    pub fn spread(&self) -> f64 {
        let range = self.at(0.75) - self.at(0.25);
        if range == 0.0 { 0.0 } else { range / self.median() }
    }

    /// Round by round, this over the other: a disturbance that lasts meets both.
    pub fn over(&self, other: &Self) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        let over = |(a, b): (&Answer, &Answer)| Answer {
            value: a.value / b.value,
            disturbed: a.disturbed || b.disturbed,
        };
        Self(pairs.map(over).collect())
    }
}

/// An entry measured: for each label its samples; parts whose worker has no such row are missing.
#[derive(Clone, Default)]
pub struct Measured(pub Vec<(&'static str, Samples)>);

impl Measured {
    pub fn get(&self, label: &str) -> Option<&Samples> {
        self.0.iter().find(|(l, _)| *l == label).map(|(_, s)| s)
    }

    /// The largest spread of all parts.
    pub fn spread(&self) -> f64 {
        self.0.iter().map(|(_, s)| s.spread()).fold(0.0, f64::max)
    }
}

fn ask(workers: &mut Workers, worker: &str, row: &str, n: u64) -> Result<Option<Answer>, String> {
    let w = workers.get_mut(worker).ok_or_else(|| format!("no worker {worker}"))?;
    w.run(row, n).map_err(|e| format!("{worker}, row \"{row}\": {e}"))
}

/// How many operations a round needs; `None` if there is no such row.
fn calibrate(
    workers: &mut Workers,
    worker: &str,
    row: &str,
    kind: Kind,
) -> Result<Option<u64>, String> {
    match kind {
        Kind::Number(_) => return Ok(Some(1)),
        Kind::Fixed(n) => return Ok(Some(n)),
        Kind::Time | Kind::Pair => {}
    }
    let round = if kind == Kind::Pair { ROUND / 4.0 } else { ROUND };
    let mut n = 1;
    loop {
        let Some(Answer { value: ns, .. }) = ask(workers, worker, row, n)? else {
            return Ok(None);
        };
        if ns >= round || n > 1 << 30 {
            return Ok(Some(n));
        }
        let wanted = n as f64 * round * 1.1 / ns.max(1.0);
        n = (wanted as u64).clamp(n + 1, n * 64);
    }
}

/// Measures one entry.
pub fn measure(workers: &mut Workers, entry: &Entry) -> Result<Measured, String> {
    let mut parts = Vec::new();
    for part in &entry.parts {
        if let Some(n) = calibrate(workers, part.worker, &part.row, entry.kind)? {
            parts.push((part, n, Samples::default()));
        }
    }
    let (most, patience) = match entry.kind {
        Kind::Number(_) => (1, 0.0),
        Kind::Pair => (MOST * 20, PATIENCE * 3.0),
        Kind::Time | Kind::Fixed(_) => (MOST, PATIENCE),
    };
    let begin = Instant::now();
    for round in 0..most {
        if round >= FEWEST && begin.elapsed().as_secs_f64() > patience {
            break;
        }
        // Not always in the same order: what ran before leaves its traces in caches.
        let first = round % parts.len().max(1);
        for k in 0..parts.len() {
            let at = (first + k) % parts.len();
            let Some((part, n, samples)) = parts.get_mut(at) else { continue };
            if let Some(mut answer) = ask(workers, part.worker, &part.row, *n)? {
                answer.value /= *n as f64;
                samples.0.push(answer);
            }
        }
    }
    let measured = parts.into_iter().filter(|(_, _, s)| !s.0.is_empty());
    Ok(Measured(measured.map(|(part, _, samples)| (part.label, samples)).collect()))
}
