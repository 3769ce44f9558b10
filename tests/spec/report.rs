//! Counting and printing: a row per directory, the failures, and nothing else.

use crate::scope;
use std::collections::BTreeMap;
use std::time::Duration;

/// What became of a number of directives.
#[derive(Default, Clone, Copy)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Counts {
    /// Adds up.
    pub fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// The result of one file.
pub struct Done {
    pub suite: String,
    pub counts: Counts,
    /// `file:line: what is wrong`.
    pub failures: Vec<String>,
    pub time: Duration,
}

/// Prints the table of one pass and its failures, `most` of them at most; gives the sum.
pub fn print(pass: &str, done: &[Done], most: usize) -> Counts {
    let mut rows: BTreeMap<&str, (usize, Counts, Duration)> = BTreeMap::new();
    let mut total = Counts::default();
    for d in done {
        let row = rows.entry(&d.suite).or_default();
        row.0 += 1;
        row.1.add(&d.counts);
        row.2 += d.time;
        total.add(&d.counts);
    }
    println!(
        "\n{:<34}{:>6}{:>9}{:>8}{:>9}{:>9}",
        match pass {
            "fuel" => "fuel in portions".to_owned(),
            shape => format!("{shape} memory"),
        },
        "files",
        "passed",
        "failed",
        "skipped",
        "seconds"
    );
    for (suite, (files, c, time)) in rows {
        println!(
            "{:<34}{files:>6}{:>9}{:>8}{:>9}{:>9.1}",
            scope::title(suite),
            c.passed,
            c.failed,
            c.skipped,
            time.as_secs_f64()
        );
    }
    let failures: Vec<_> = done.iter().flat_map(|d| &d.failures).collect();
    for f in failures.iter().take(most) {
        println!("  FAIL {f}");
    }
    if let Some(more) = failures.len().checked_sub(most).filter(|n| *n > 0) {
        println!("  ... and {more} more (run with `-- --all-failures`)");
    }
    total
}
