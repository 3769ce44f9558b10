//! `targets.toml` and what comes of it.

use crate::table::Line;
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    promise: Vec<Promise>,
}

/// A line of SPECIFICATION.md.
#[derive(Deserialize)]
pub struct Promise {
    #[allow(dead_code, reason = "read by people and by tests/targets.rs")]
    section: String,
    pub text: String,
    pub check: Vec<Check>,
}

/// One number of it.
#[derive(Deserialize)]
pub struct Check {
    pub row: String,
    pub at_most: Option<f64>,
    pub at_least: Option<f64>,
    pub unit: String,
    pub than: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Met,
    Noisy,
    NotMeasured,
    Missed,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::Noisy => "noisy",
            Self::NotMeasured => "not measured",
        }
    }
}

pub fn read(path: &str) -> Result<Vec<Promise>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    let file: File = toml::from_str(&text).map_err(|e| format!("{path}: {e}"))?;
    Ok(file.promise)
}

/// How many of a line's own units one of the check's is.
fn scale(unit: &str, line: &str) -> Option<f64> {
    match (unit, line) {
        (a, b) if a == b => Some(1.0),
        ("µs", "ns") => Some(1e3),
        ("ms", "ns") => Some(1e6),
        _ => None,
    }
}

impl Check {
    /// The bound as text.
    pub fn bound(&self) -> String {
        let (sign, number) = match (self.at_most, self.at_least) {
            (Some(n), _) => ("≤", n),
            (None, Some(n)) => ("≥", n),
            (None, None) => ("?", f64::NAN),
        };
        let than = self.than.as_deref().map(|t| format!(" {t}")).unwrap_or_default();
        format!("{sign} {number} {}{than}", self.unit).trim().to_owned()
    }

    pub fn verdict(&self, lines: &[Line]) -> Verdict {
        let Some(line) = lines.iter().find(|l| l.name == self.row) else {
            return Verdict::NotMeasured;
        };
        let (value, noisy) = if let Some(than) = &self.than {
            let Some(ratio) = line.ratio(than) else { return Verdict::NotMeasured };
            (ratio.value, ratio.noisy)
        } else {
            let Some(scale) = scale(&self.unit, &line.unit) else { return Verdict::NotMeasured };
            (line.lucet / scale, line.noisy())
        };
        let met =
            self.at_most.is_none_or(|n| value <= n) && self.at_least.is_none_or(|n| value >= n);
        match (noisy, met) {
            (true, _) => Verdict::Noisy,
            (_, true) => Verdict::Met,
            _ => Verdict::Missed,
        }
    }
}

impl Promise {
    /// The worst of its checks.
    pub fn verdict(&self, lines: &[Line]) -> Verdict {
        let all = self.check.iter().map(|c| c.verdict(lines));
        all.max().unwrap_or(Verdict::NotMeasured)
    }
}
