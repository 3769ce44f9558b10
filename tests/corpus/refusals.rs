//! Modules that may be refused, from `tests/corpus-refusals.toml`: which, for want of what, and why
//! that is acceptable.

use lucetc::{Class, Errors};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    refused: Vec<Refusal>,
}

/// One allowed refusal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    file: String,
    /// The feature that the first message must name.
    pub feature: String,
    reason: String,
}

/// All of them.
pub struct Refusals(Vec<Refusal>);

impl Refusals {
    /// Reads and checks the list.
    pub fn read() -> Result<Self, String> {
        let data: Data = toml::from_str(include_str!("../corpus-refusals.toml"))
            .map_err(|e| format!("tests/corpus-refusals.toml: {e}"))?;
        for r in &data.refused {
            let same = data.refused.iter().filter(|o| o.file == r.file).count();
            if same != 1 || r.reason.is_empty() {
                return Err(format!("{} is listed {same} times, or without a reason", r.file));
            }
        }
        Ok(Self(data.refused))
    }

    /// The entry for a file.
    pub fn of(&self, file: &str) -> Option<&Refusal> {
        self.0.iter().find(|r| r.file == file)
    }
}

impl Refusal {
    /// Whether the compiler refused for just this: unsupported, naming the feature.
    pub fn allows(&self, errors: &Errors) -> bool {
        let names = |m: &str| {
            m.split(" is not supported").next().unwrap_or("").split(", ").any(|f| f == self.feature)
        };
        errors.0.iter().all(|d| d.class == Class::Unsupported)
            && errors.0.first().is_some_and(|d| names(&d.message))
    }
}
