//! Policy files: TOML, described for users in `docs/policy.md`.
//!
//! A file is read strictly: a key that does not exist is an error, not a wish that is silently
//! ignored, because a misspelt limit would be no limit. The keys are those of [`super::schema`].
//! All mistakes are reported at once, each with file and line.

use super::pattern::{KINDS, Kind, TypePattern};
use super::schema::{Form, IMPORT, KEYS, Key, tables};
use super::{ImportEntry, ImportRule, Policy};
use crate::error::{Class, Diagnostic, Errors};
use crate::nearest::nearest;
use lucet_artifact::contract::feature;
use lucet_artifact::limits;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeString, DeTable, DeValue};

/// Largest policy file in bytes; what is larger is not a policy.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Most mistakes that are reported.
const MAX_MISTAKES: usize = 50;

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
    /// range. All mistakes are reported at once, up to a number that nobody reads.
    pub fn parse(text: &str, file: &str) -> Result<Self, Errors> {
        let mut reader = Reader { text, file, policy: Self::default(), errors: Vec::new() };
        let (root, errors) = DeTable::parse_recoverable(text);
        for e in errors {
            let message = e.message().trim_end().replace('\n', ", ");
            reader.error(e.span(), message, "a policy is a TOML file; see docs/policy.md");
        }
        // What could not be read would only give more errors.
        if reader.errors.is_empty() {
            reader.root(root.get_ref());
        }
        reader.errors.truncate(MAX_MISTAKES);
        if reader.errors.is_empty() { Ok(reader.policy) } else { Err(Errors(reader.errors)) }
    }
}

type Value<'i> = Spanned<DeValue<'i>>;

struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    policy: Policy,
    errors: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn error(
        &mut self,
        span: Option<Range<usize>>,
        message: impl std::fmt::Display,
        help: impl Into<String>,
    ) {
        let line = span.map_or_else(String::new, |s| format!(":{}", line(self.text, s.start)));
        let message = format!("{}{line}: {message}", self.file);
        self.errors.push(Diagnostic::new(Class::Usage, message).help(help));
    }

    /// The key does not exist.
    fn unknown(&mut self, key: &Spanned<DeString<'_>>, what: &str, known: &[&str]) {
        let name = key.get_ref();
        let list = known.join(", ");
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean {near}? There are: {list}"),
            None => format!("there are: {list}"),
        };
        self.error(Some(key.span()), format_args!("there is no {what} `{name}`"), help);
    }

    /// The value is of the wrong type.
    fn wrong(&mut self, value: &Value<'_>, key: &str, wanted: &str) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(
            Some(value.span()),
            format_args!("{key} is {found}, but must be {wanted}"),
            "see docs/policy.md",
        );
    }

    fn root(&mut self, root: &DeTable<'_>) {
        for (name, value) in root {
            let Some(table) = tables().into_iter().find(|t| t == name.get_ref()) else {
                self.unknown(name, "table", &tables());
                continue;
            };
            let DeValue::Table(keys) = value.get_ref() else {
                self.wrong(value, table, &format!("a table: [{table}]"));
                continue;
            };
            if table == "imports" {
                self.policy.imports = Some(Vec::new());
            }
            self.table(table, keys);
        }
    }

    fn table(&mut self, table: &str, keys: &DeTable<'_>) {
        if table == "features" {
            self.only_one_list(keys);
        }
        for (name, value) in keys {
            let known = || KEYS.iter().filter(|k| k.table == table);
            let key = known().find(|k| k.is_free() || k.name == name.get_ref());
            match key {
                Some(key) => self.value(key, name, value),
                None => {
                    let names: Vec<_> = known().map(|k| k.name).collect();
                    self.unknown(name, &format!("key in [{table}]"), &names);
                }
            }
        }
    }

    fn only_one_list(&mut self, keys: &DeTable<'_>) {
        let at = |name: &str| keys.keys().find(|k| k.get_ref() == name).map(Spanned::span);
        if let (Some(_), Some(span)) = (at("allow"), at("deny")) {
            self.error(
                Some(span),
                "[features] has both allow and deny",
                "keep one: what allow does not list is denied anyway",
            );
        }
    }

    fn value(&mut self, key: &Key, name: &Spanned<DeString<'_>>, value: &Value<'_>) {
        let named = name.get_ref();
        match (key.form, value.get_ref()) {
            (Form::Imports, DeValue::Array(list)) => {
                let entries = list.iter().filter_map(|v| self.import(named, v)).collect();
                let rule = ImportRule { module: named.to_string(), entries };
                self.policy.imports.get_or_insert_default().push(rule);
            }
            (Form::Imports, _) => {
                self.wrong(
                    value,
                    named,
                    "a list of imports: [\"NAME\", { name = ..., type = ... }]",
                );
            }
            (Form::Number(max), DeValue::Integer(number)) => match whole(number) {
                Some(n) if n <= max.row().most => self.policy.set_max(max, n),
                _ => self.error(
                    Some(value.span()),
                    format_args!("{named} is {number}, the limit is {}", max.row().most),
                    format!("write a number from 0 to {}", max.row().most),
                ),
            },
            (Form::Number(_), _) => self.wrong(value, named, "a number"),
            (Form::Flag, DeValue::Boolean(flag)) => self.policy.fuel = *flag,
            (Form::Flag, _) => self.wrong(value, named, "true or false"),
            (Form::Features, DeValue::Array(list)) => {
                let bits = self.features(named, list);
                let denies = key.name == "deny";
                self.policy.features = if denies { !bits } else { bits };
            }
            (Form::Features, _) => self.wrong(value, named, "a list of features: [\"simd\", ...]"),
            (Form::Texts, DeValue::Array(list)) => {
                for v in list {
                    match v.get_ref() {
                        DeValue::String(s) => self.policy.required_labels.push(s.to_string()),
                        _ => self.wrong(v, "a label", "a text"),
                    }
                }
            }
            (Form::Texts, _) => self.wrong(value, named, "a list of texts: [\"version\", ...]"),
            (Form::Types, DeValue::Table(all)) => self.exports(all),
            (Form::Types, _) => {
                self.wrong(value, named, "a table: [require.exports] NAME = \"TYPE\"")
            }
            (Form::Text, DeValue::String(text)) => {
                if let Err(m) = self.policy.set_label(named, text) {
                    let help = format!("at most {} short labels describe it", limits::MAX_LABELS);
                    self.error(Some(value.span()), m, help);
                }
            }
            (Form::Text | Form::Kind | Form::Type, _) => {
                self.wrong(value, &format!("label {named}"), "a text");
            }
        }
    }

    fn features(&mut self, key: &str, list: &DeArray<'_>) -> u64 {
        let mut bits = 0;
        for v in list {
            let DeValue::String(name) = v.get_ref() else {
                self.wrong(v, &format!("what {key} lists"), "the name of a feature");
                continue;
            };
            match feature::NAMES.iter().find(|(_, n)| n == name) {
                Some((bit, _)) => bits |= bit,
                None => {
                    let names = feature::NAMES.map(|(_, n)| n);
                    self.unknown(&Spanned::new(v.span(), name.clone()), "feature", &names);
                }
            }
        }
        bits
    }

    fn exports(&mut self, all: &DeTable<'_>) {
        for (name, value) in all {
            let DeValue::String(text) = value.get_ref() else {
                self.wrong(
                    value,
                    &format!("export {}", name.get_ref()),
                    "a type: \"(i32) -> i64\"",
                );
                continue;
            };
            if let Some(ty) = self.pattern(value.span(), name.get_ref(), text) {
                self.policy.required_exports.push((name.get_ref().to_string(), ty));
            }
        }
    }

    fn pattern(&mut self, span: Range<usize>, of: &str, text: &str) -> Option<TypePattern> {
        match TypePattern::parse(text) {
            Ok(ty) => Some(ty),
            Err(m) => {
                let help = "lucetc inspect prints types as they are written here; docs/policy.md \
                            has examples";
                self.error(Some(span), format_args!("the type of {of}, `{text}`: {m}"), help);
                None
            }
        }
    }

    /// One element of the list of a module's imports.
    fn import(&mut self, module: &str, value: &Value<'_>) -> Option<ImportEntry> {
        let table = match value.get_ref() {
            DeValue::String(name) => return Some(ImportEntry::named(name)),
            DeValue::Table(table) => table,
            _ => {
                let wanted = "a name or { name = ..., kind = ..., type = ... }";
                self.wrong(value, &format!("an import of {module}"), wanted);
                return None;
            }
        };
        let (mut found, errors) = (ImportEntry::named(""), self.errors.len());
        let mut named = false;
        for (name, value) in table {
            let Some(key) = IMPORT.iter().find(|k| k.name == name.get_ref()) else {
                self.unknown(name, "key of an import", &IMPORT.map(|k| k.name));
                continue;
            };
            let DeValue::String(text) = value.get_ref() else {
                self.wrong(value, key.name, "a text");
                continue;
            };
            match key.form {
                Form::Kind => found.kind = self.kind(value.span(), text),
                Form::Type => found.ty = self.pattern(value.span(), module, text),
                _ => {
                    named = true;
                    found.name = text.to_string();
                }
            }
        }
        if !named {
            let m = format!("an import of {module} has no name");
            self.error(Some(value.span()), m, "add name = \"NAME\"; \"*\" stands for every name");
        }
        let of = found.ty.as_ref().and_then(TypePattern::kind);
        if let (Some(kind), Some(of)) = (found.kind, of)
            && kind != of
        {
            let (a, b) = (kind.word(), of.word());
            let m = format!("the kind of an import of {module} is {a}, but its type that of a {b}");
            self.error(Some(value.span()), m, "remove one of them: the type says what it is");
        }
        (self.errors.len() == errors).then_some(found)
    }

    fn kind(&mut self, span: Range<usize>, text: &str) -> Option<Kind> {
        let kind = Kind::from_word(text);
        if kind.is_none() {
            let name = Spanned::new(span, DeString::from(text));
            self.unknown(&name, "kind", &KINDS.map(|(_, w)| w));
        }
        kind
    }
}

fn whole(number: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// Line of the byte at `offset`, from 1.
fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|b| **b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::super::Max;
    use super::*;

    #[test]
    fn a_whole_file() {
        let p = Policy::parse(
            "[imports]\nenv = [\"host_log\", { name = \"clock_*\", type = \"(i32) -> i64\" }]\n\
             \"wasi_*\" = [\"*\", { name = \"m\", kind = \"memory\" }]\n\
             [limits]\nmax_memory_pages = 1_024\nmax_table_elements = 0x10\nfuel = true\n\
             [features]\ndeny = [\"simd\"]\n\
             [require]\nlabels = [\"version\"]\nexports = { run = \"() -> ()\" }\n\
             [labels]\nname = \"hello\"\n",
            "p.toml",
        )
        .unwrap();
        let ty = |text: &str| TypePattern::parse(text).unwrap();
        let mut clock = ImportEntry::named("clock_*");
        clock.ty = Some(ty("(i32) -> i64"));
        let mut memory = ImportEntry::named("m");
        memory.kind = Some(Kind::Memory);
        let rule = |module: &str, entries| ImportRule { module: module.into(), entries };
        let mut expected = Policy {
            imports: Some(vec![
                rule("env", vec![ImportEntry::named("host_log"), clock]),
                rule("wasi_*", vec![ImportEntry::named("*"), memory]),
            ]),
            features: !feature::SIMD,
            fuel: true,
            required_labels: vec!["version".into()],
            required_exports: vec![("run".into(), ty("() -> ()"))],
            labels: vec![("name".into(), "hello".into())],
            ..Policy::default()
        };
        expected.set_max(Max::MemoryPages, 1024);
        expected.set_max(Max::TableElements, 16);
        assert_eq!(p, expected);
    }

    #[test]
    fn what_is_absent_has_its_default() {
        assert_eq!(Policy::parse("", "p.toml").unwrap(), Policy::default());
        assert_eq!(Policy::parse("[imports]", "p.toml").unwrap().imports, Some(vec![]));
        let p = Policy::parse("[features]\nallow = []", "p.toml").unwrap();
        assert_eq!(p.features, 0);
    }

    /// Every key of the schema is read, and none besides.
    #[test]
    fn the_keys_are_those_of_the_schema() {
        let value = |form| match form {
            Form::Imports => "[]",
            Form::Number(_) => "0",
            Form::Flag => "true",
            Form::Features => "[\"simd\"]",
            Form::Texts => "[\"x\"]",
            Form::Types => "{ x = \"() -> ()\" }",
            Form::Text | Form::Kind | Form::Type => "\"x\"",
        };
        for k in &KEYS {
            let text = format!("[{}]\n{} = {}", k.table, k.name, value(k.form));
            let p = Policy::parse(&text, "p.toml").unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_ne!(p, Policy::default(), "{text}");
            if !k.is_free() {
                let m = message(&format!("[{}]\n{}x = {}", k.table, k.name, value(k.form)));
                let wanted = format!("p.toml:2: there is no key in [{}] `{}x`", k.table, k.name);
                assert!(
                    m.contains(&wanted) && m.contains(&format!("did you mean {}?", k.name)),
                    "{m}"
                );
            }
        }
    }

    fn message(text: &str) -> String {
        let Err(errors) = Policy::parse(text, "p.toml") else { panic!("{text}") };
        assert_eq!(errors.class(), Class::Usage);
        assert!(errors.0.iter().all(|d| d.help.is_some()));
        errors.to_string()
    }

    #[test]
    fn mistakes_name_file_line_and_keys() {
        for (text, part) in [
            (
                "[limits]\nmax_memory_page = 1\n",
                "p.toml:2: there is no key in [limits] `max_memory_page`",
            ),
            ("[limits]\nmax_memory_page = 1\n", "did you mean max_memory_pages?"),
            ("\n\n[import]\nenv = []\n", "p.toml:3: there is no table `import`"),
            ("limits = 3", "p.toml:1: limits is a number, but must be a table: [limits]"),
            (
                "[imports]\nenv = \"log\"\n",
                "p.toml:2: env is a text, but must be a list of imports",
            ),
            (
                "[imports]\nenv = [1]",
                "p.toml:2: an import of env is a number, but must be a name or",
            ),
            (
                "[imports]\nenv = [{ type = \"() -> ()\" }]",
                "p.toml:2: an import of env has no name",
            ),
            (
                "[imports]\nenv = [{ name = \"x\", typ = \"()\" }]",
                "there is no key of an import `typ`",
            ),
            ("[imports]\nenv = [{ name = 7 }]", "p.toml:2: name is a number, but must be a text"),
            (
                "[imports]\nenv = [{ name = \"x\", type = \"(i23) -> ()\" }]",
                "p.toml:2: the type of env, `(i23) -> ()`: `i23` occurs in no type",
            ),
            ("[imports]\nenv = [{ name = \"x\", kind = \"funktion\" }]", "did you mean function?"),
            (
                "[imports]\nenv = [{ name = \"x\", kind = \"memory\", type = \"() -> ()\" }]",
                "the kind of an import of env is memory, but its type that of a function",
            ),
            (
                "[limits]\nmax_memory_pages = -1\n",
                "p.toml:2: max_memory_pages is -1, the limit is 65536",
            ),
            ("[limits]\nmax_memory_pages = 1.5\n", "is a number with a fraction"),
            ("[limits]\nfuel = 1000\n", "p.toml:2: fuel is a number, but must be true or false"),
            ("[features]\ndeny = [\"smid\"]", "p.toml:2: there is no feature `smid`"),
            ("[features]\nallow = []\ndeny = []", "p.toml:3: [features] has both allow and deny"),
            ("[features]\nallow = true", "p.toml:2: allow is true or false, but must be a list"),
            (
                "[require]\nlabels = \"x\"",
                "p.toml:2: labels is a text, but must be a list of texts",
            ),
            ("[require.exports]\nrun = 1", "p.toml:2: export run is a number, but must be a type"),
            ("[require.exports]\nrun = \"i32\"", "p.toml:2: the type of run, `i32`: "),
            ("[labels]\nname = 1", "p.toml:2: label name is a number, but must be a text"),
            ("[limits\n", "p.toml:1: "),
            ("[imports]\nenv = []\nenv = []\n", "p.toml:3: duplicate key"),
        ] {
            let m = message(text);
            assert!(m.contains(part), "{part} not in {m}");
        }
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let m = message(
            "[limits]\nmax_memory_pages = 65537\nmax_table_elements = 10000001\nmax_tabels = 1\n\
             [features]\nallow = [\"sims\", 1]\n[labels]\n\"\" = \"x\"\n[import]\n",
        );
        for part in [
            "p.toml:2: max_memory_pages is 65537, the limit is 65536",
            "p.toml:3: ",
            "p.toml:4: there is no key in [limits] `max_tabels`",
            "p.toml:6: there is no feature `sims`",
            "p.toml:6: what allow lists is a number",
            "p.toml:8: a label",
            "p.toml:9: there is no table `import`",
        ] {
            assert!(m.contains(part), "{part} not in {m}");
        }
        let many =
            format!("[limits]\n{}", (0..1000).map(|i| format!("x{i} = 1\n")).collect::<String>());
        let Err(errors) = Policy::parse(&many, "p.toml") else { panic!() };
        assert_eq!(errors.0.len(), MAX_MISTAKES);
    }

    #[test]
    fn deep_nesting_is_an_error() {
        let text = format!("x = {}{}", "[".repeat(100_000), "]".repeat(100_000));
        message(&text);
    }
}
