//! Policy files: TOML, described for users in `docs/policy.md`.
//!
//! A file is read strictly: a key that does not exist is an error, not a wish that is silently
//! ignored, because a misspelt limit would be no limit. Every message names file and line.

use super::{ImportRule, Policy};
use crate::error::{Class, Diagnostic, Errors};
use lucet_artifact::limits;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use toml::Spanned;

/// Largest policy file in bytes; what is larger is not a policy.
const MAX_FILE_BYTES: u64 = 1 << 20;

const HELP: &str = "the keys are [imports] MODULE = [\"NAME\", ...]; [limits] max_memory_pages, \
                    max_table_elements, fuel; [labels] NAME = \"VALUE\"; see docs/policy.md";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    imports: Option<BTreeMap<String, Vec<String>>>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    labels: BTreeMap<String, Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    max_memory_pages: Option<Spanned<u64>>,
    max_table_elements: Option<Spanned<u64>>,
    fuel: bool,
}

impl Policy {
    /// Reads and parses a policy file.
    ///
    /// # Errors
    ///
    /// [`Class::Usage`]: as for [`Policy::read`] and [`Policy::parse`].
    pub fn load(path: &Path) -> Result<Self, Errors> {
        Self::parse(&Self::read(path)?, &path.display().to_string())
    }

    /// Reads the text of a policy file, which may be a pipe.
    ///
    /// # Errors
    ///
    /// [`Class::Usage`]: the file cannot be read, is too large, or is no text.
    pub fn read(path: &Path) -> Result<String, Errors> {
        let name = path.display();
        let error = |m: String| {
            Diagnostic::new(Class::Usage, m).help("--policy wants a TOML file; see docs/policy.md")
        };
        let failed = |e| error(format!("cannot read the policy file {name}: {e}"));
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        // Not all files know their size.
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(error(format!("{name} is too large for a policy file")).into());
        }
        let not_text = |_| error(format!("the policy file {name} is not UTF-8")).into();
        String::from_utf8(bytes).map_err(not_text)
    }

    /// Parses the text of a policy file; `file` is its name for messages.
    ///
    /// # Errors
    ///
    /// [`Class::Usage`]: not TOML, a key that does not exist, a value of the wrong type or out of
    /// range. All values out of range are reported at once.
    pub fn parse(text: &str, file: &str) -> Result<Self, Errors> {
        let at = |span: Option<std::ops::Range<usize>>, message: String| {
            let line = span.map_or_else(String::new, |s| format!(":{}", line(text, s.start)));
            Diagnostic::new(Class::Usage, format!("{file}{line}: {message}"))
        };
        let parsed: File = toml::from_str(text)
            .map_err(|e| at(e.span(), e.message().trim_end().replace('\n', ", ")).help(HELP))?;
        let mut policy = Self { fuel: parsed.limits.fuel, ..Self::default() };
        let mut errors = Vec::new();
        for (value, place, key) in [
            (parsed.limits.max_memory_pages, &mut policy.max_memory_pages, "max_memory_pages"),
            (
                parsed.limits.max_table_elements,
                &mut policy.max_table_elements,
                "max_table_elements",
            ),
        ] {
            // The default is the artifact format's limit.
            match value {
                Some(v) if *v.get_ref() > *place => {
                    let m = format!("{key} is {}, the limit is {place}", v.get_ref());
                    errors.push(at(Some(v.span()), m).help("write a smaller number"));
                }
                Some(v) => *place = *v.get_ref(),
                None => {}
            }
        }
        for (name, value) in &parsed.labels {
            if let Err(m) = policy.set_label(name, value.get_ref()) {
                let help = format!("at most {} short labels describe it", limits::MAX_LABELS);
                errors.push(at(Some(value.span()), m).help(help));
            }
        }
        policy.imports = parsed.imports.map(|modules| {
            modules.into_iter().map(|(module, names)| ImportRule { module, names }).collect()
        });
        if errors.is_empty() { Ok(policy) } else { Err(Errors(errors)) }
    }
}

/// Line of the byte at `offset`, from 1.
fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|b| **b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file() {
        let p = Policy::parse(
            "[imports]\nenv = [\"host_log\", \"clock_*\"]\n\"wasi_*\" = [\"*\"]\n\
             [limits]\nmax_memory_pages = 1024\nmax_table_elements = 10000\nfuel = true\n\
             [labels]\nname = \"hello\"\n",
            "p.toml",
        )
        .unwrap();
        let rule = |module: &str, names: &[&str]| ImportRule {
            module: module.into(),
            names: names.iter().map(|n| (*n).into()).collect(),
        };
        assert_eq!(
            p,
            Policy {
                imports: Some(vec![rule("env", &["host_log", "clock_*"]), rule("wasi_*", &["*"])]),
                max_memory_pages: 1024,
                max_table_elements: 10_000,
                fuel: true,
                labels: vec![("name".into(), "hello".into())],
            }
        );
    }

    #[test]
    fn what_is_absent_has_its_default() {
        assert_eq!(Policy::parse("", "p.toml").unwrap(), Policy::default());
        assert_eq!(Policy::parse("[imports]", "p.toml").unwrap().imports, Some(vec![]));
    }

    fn message(text: &str) -> String {
        let errors = Policy::parse(text, "p.toml").unwrap_err();
        assert_eq!(errors.class(), Class::Usage);
        assert!(errors.0.iter().all(|d| d.help.is_some()));
        errors.to_string()
    }

    #[test]
    fn mistakes_name_file_line_and_keys() {
        let m = message("[limits]\nmax_memory_page = 1\n");
        assert!(m.contains("p.toml:2: unknown field `max_memory_page`"), "{m}");
        assert!(m.contains("max_memory_pages"), "{m}");
        let m = message("\n\n[import]\nenv = []\n");
        assert!(m.contains("p.toml:3: unknown field `import`"), "{m}");
        let m = message("[imports]\nenv = \"log\"\n");
        assert!(m.contains("p.toml:2: invalid type: string"), "{m}");
        let m = message("[limits]\nmax_memory_pages = -1\n");
        assert!(m.contains("p.toml:2: "), "{m}");
        let m = message("[limits]\nfuel = 1000\n");
        assert!(m.contains("p.toml:2: invalid type: integer `1000`, expected a boolean"), "{m}");
        let m = message("[limits\n");
        assert!(m.contains("p.toml:1: "), "{m}");
        let m = message("[imports]\nenv = []\nenv = []\n");
        assert!(m.contains("p.toml:3: duplicate key"), "{m}");
    }

    #[test]
    fn all_values_out_of_range_are_reported() {
        let m = message(
            "[limits]\nmax_memory_pages = 65537\nmax_table_elements = 10000001\n\
             [labels]\n\"\" = \"x\"\n",
        );
        for part in ["p.toml:2: max_memory_pages is 65537", "p.toml:3: ", "p.toml:5: a label"] {
            assert!(m.contains(part), "{part} not in {m}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error() {
        let text = format!("x = {}{}", "[".repeat(100_000), "]".repeat(100_000));
        message(&text);
    }
}
