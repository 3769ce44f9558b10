//! The features that lucetc refuses: a module that needs one is skipped, not failed, if the data
//! file lists the feature, and if the compiler names it, the place, and a way out.

use crate::directive::Stop;
use crate::load::Refused;
use serde::Deserialize;

/// Names of features, the one that counts in tables first.
pub type Needed = Vec<String>;

/// An entry of the data file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// As the compiler names it.
    pub name: String,
    pub reason: String,
}

/// The list.
pub struct Features(pub Vec<Feature>);

impl Features {
    /// Whether modules that need this feature are refused.
    pub fn refuses(&self, name: &str) -> bool {
        self.0.iter().any(|f| f.name == name)
    }

    /// What it means for a directive that the compiler refused its module.
    pub fn judge(&self, refused: &Refused) -> Stop {
        let Some(names) = refused.features() else { return Stop::Wrong(refused.to_string()) };
        if let Some(unknown) = names.iter().find(|n| !self.refuses(n)) {
            return format!("{unknown} is not listed as refused: {refused}").into();
        }
        if !refused.helps() {
            return format!("refused without a place or help: {refused}").into();
        }
        let mut needed: Needed = Vec::new();
        for name in names {
            if !needed.iter().any(|n| n == name) {
                needed.push(name.to_owned());
            }
        }
        Stop::Skip(needed)
    }

    /// A directive may be skipped for refused features only, whoever says so.
    pub fn check(&self, stop: Stop) -> Stop {
        match stop {
            Stop::Skip(needed) => match needed.iter().find(|n| !self.refuses(n)) {
                Some(name) => format!("skipped for want of {name}, which is not refused").into(),
                None if needed.is_empty() => "skipped for nothing".into(),
                None => Stop::Skip(needed),
            },
            wrong => wrong,
        }
    }
}
