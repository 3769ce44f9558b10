//! Counting and printing: a row per directory, the failures, and nothing else.

use crate::features::Needed;
use crate::scope::{File, SUITES, Scope};
use std::collections::BTreeMap;
use std::time::Duration;

/// What became of the directives of one file.
#[derive(Default)]
pub struct Done {
    pub suite: usize,
    pub passed: usize,
    /// How many are skipped, by the features they need.
    pub skipped: BTreeMap<Needed, usize>,
    /// `file:line: what is wrong`.
    pub failures: Vec<String>,
    pub time: Duration,
}

impl Done {
    /// A directive failed.
    pub fn fail(&mut self, file: &File, line: usize, why: &str) {
        self.failures.push(format!("{}:{line}: {why}", file.path));
    }
}

/// Sums, of a row or of everything.
#[derive(Default)]
pub struct Total {
    files: usize,
    pub passed: usize,
    pub failed: usize,
    pub skipped: BTreeMap<Needed, usize>,
    time: Duration,
}

impl Total {
    /// Adds up.
    pub fn add(&mut self, other: Self) {
        self.files += other.files;
        self.passed += other.passed;
        self.failed += other.failed;
        for (needed, n) in other.skipped {
            *self.skipped.entry(needed).or_default() += n;
        }
        self.time += other.time;
    }

    /// Skipped for whatever reason.
    pub fn all_skipped(&self) -> usize {
        self.skipped.values().sum()
    }
}

impl From<&Done> for Total {
    fn from(d: &Done) -> Self {
        Self {
            files: 1,
            passed: d.passed,
            failed: d.failures.len(),
            skipped: d.skipped.clone(),
            time: d.time,
        }
    }
}

/// Prints the table of one pass and its failures, `most` of them at most; gives the sum.
pub fn print(pass: &str, scope: &Scope, done: &[Done], most: usize) -> Total {
    let mut rows: BTreeMap<usize, Total> = BTreeMap::new();
    for d in done {
        rows.entry(d.suite).or_default().add(d.into());
    }
    let title = match pass {
        "fuel" => "fuel in portions".to_owned(),
        shape => format!("{shape} memory"),
    };
    println!(
        "\n{title:<34}{:>6}{:>7}{:>9}{:>8}{:>9}{:>9}",
        "files", "same", "passed", "failed", "refused", "seconds"
    );
    let mut total = Total::default();
    let row = |title: &str, same: usize, t: &Total| {
        println!(
            "{title:<34}{:>6}{same:>7}{:>9}{:>8}{:>9}{:>9.1}",
            t.files,
            t.passed,
            t.failed,
            t.all_skipped(),
            t.time.as_secs_f64()
        );
    };
    for (suite, sums) in rows {
        row(SUITES[suite].1, scope.repeated.get(&suite).copied().unwrap_or(0), &sums);
        total.add(sums);
    }
    row("all", scope.repeated.values().sum(), &total);
    let failures: Vec<_> = done.iter().flat_map(|d| &d.failures).collect();
    for f in failures.iter().take(most) {
        println!("  FAIL {f}");
    }
    if let Some(more) = failures.len().checked_sub(most).filter(|n| *n > 0) {
        println!("  ... and {more} more (run with `-- --all-failures`)");
    }
    total
}
