//! Types as a policy writes them: the text that `lucetc inspect` prints, with `*` for any
//! characters.
//!
//! ```text
//!  (i32, i64) -> f32        function            memory 1..16         memory, in pages
//!  (i32, *) -> *            its results free    table 1..10 funcref  table
//!  () -> (i32, i32)         two results         global mut i32       global
//!  *                        any type            tag (i32)            exception tag
//! ```
//!
//! Types are compared as text, after both were brought into one form: no space where there is
//! punctuation, results always in parentheses. A word that occurs in no type is a mistake in the
//! policy and not a pattern that never matches.

use super::glob;
use super::nearest;

/// Longest pattern in bytes, so that comparing stays cheap.
const MAX_BYTES: usize = 4096;

/// What a type is the type of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Function.
    Function,
    /// Table.
    Table,
    /// Memory.
    Memory,
    /// Global.
    Global,
    /// Exception tag.
    Tag,
}

/// All kinds with their words.
pub const KINDS: [(Kind, &str); 5] = [
    (Kind::Function, "function"),
    (Kind::Table, "table"),
    (Kind::Memory, "memory"),
    (Kind::Global, "global"),
    (Kind::Tag, "tag"),
];

impl Kind {
    /// The kind with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        KINDS.iter().find(|(_, w)| *w == word).map(|(k, _)| *k)
    }

    /// The word in policies and messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        KINDS.iter().find(|(k, _)| *k == self).map_or("", |(_, w)| w)
    }
}

/// A type, or a pattern that many types match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypePattern {
    /// As in the policy, with one space for each white space.
    shown: String,
    /// In the form in which types are compared.
    form: String,
    /// What the type must be the type of; `None` for `*`.
    kind: Option<Kind>,
}

/// Words that occur in types of values.
const VALUES: [&str; 17] = [
    "i32",
    "i64",
    "f32",
    "f64",
    "v128",
    "funcref",
    "externref",
    "exnref",
    "ref",
    "null",
    "func",
    "extern",
    "exn",
    "nofunc",
    "noextern",
    "noexn",
    "mut",
];

/// Words that begin the types of other things than functions.
const HEADS: [(&str, Kind); 6] = [
    ("memory", Kind::Memory),
    ("memory64", Kind::Memory),
    ("table", Kind::Table),
    ("table64", Kind::Table),
    ("global", Kind::Global),
    ("tag", Kind::Tag),
];

impl TypePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("a type may have at most {MAX_BYTES} bytes here"));
        }
        let shown = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let tokens = tokens(&shown)?;
        let Some(first) = tokens.first() else { return Err("the type is empty".into()) };
        if tokens == ["*"] {
            return Ok(Self { form: "*".into(), shown, kind: None });
        }
        balanced(&tokens)?;
        let head = HEADS.iter().find(|(word, _)| word == first);
        let kind = match head {
            Some((_, kind)) => *kind,
            None if *first == "(" => Kind::Function,
            None => return Err(unknown(first, &HEADS.map(|(w, _)| w))),
        };
        let rest = if head.is_some() { tokens.get(1..).unwrap_or_default() } else { &tokens };
        if rest.is_empty() {
            return Err(format!("{first} what? {} * stands for each {}", first, kind.word()));
        }
        if let Some(word) = rest.iter().find(|t| !is_known(t, kind)) {
            return Err(unknown(word, &VALUES));
        }
        if (kind == Kind::Function) != (top_level_arrows(&tokens) == 1) {
            return Err("a function has the type (PARAMETERS) -> RESULTS".into());
        }
        if kind == Kind::Tag && !is_list(rest) {
            return Err("a tag has the type tag (PARAMETERS)".into());
        }
        Ok(Self { form: form(&tokens), shown, kind: Some(kind) })
    }

    /// Whether a type has this pattern; it is given as it displays itself.
    #[must_use]
    pub fn matches(&self, ty: &str) -> bool {
        tokens(ty).is_ok_and(|tokens| glob::matches(&self.form, &form(&tokens)))
    }

    /// What it must be the type of; `None` for any.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// The form in which types are compared: the same for patterns that differ in spaces only.
    #[must_use]
    pub fn form(&self) -> &str {
        &self.form
    }
}

impl std::fmt::Display for TypePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

fn unknown(word: &str, words: &[&str]) -> String {
    match nearest(word, words.iter().copied()) {
        Some(near) => format!("`{word}` occurs in no type; did you mean {near}?"),
        None => format!("`{word}` occurs in no type"),
    }
}

/// Words, parentheses, commas and arrows.
fn tokens(text: &str) -> Result<Vec<&str>, String> {
    let mut list = Vec::new();
    let mut rest = text.trim_start();
    while let Some(c) = rest.chars().next() {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '*';
        let n = match c {
            '(' | ')' | ',' => 1,
            '-' if rest.starts_with("->") => 2,
            c if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            c => return Err(format!("`{c}` occurs in no type")),
        };
        let (token, after) = rest.split_at(n);
        list.push(token);
        rest = after.trim_start();
    }
    Ok(list)
}

fn is_known(token: &str, kind: Kind) -> bool {
    let number = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let range = || {
        token.split_once("..").is_some_and(|(a, b)| number(a) && (b.is_empty() || number(b)))
            && matches!(kind, Kind::Memory | Kind::Table)
    };
    matches!(token, "(" | ")" | "," | "->")
        || token.contains('*')
        || VALUES.contains(&token)
        || number(token)
        || range()
}

/// Depth after each token.
fn depths<'t>(tokens: &'t [&str]) -> impl Iterator<Item = i64> + 't {
    let mut depth = 0;
    tokens.iter().map(move |t| {
        depth += match *t {
            "(" => 1,
            ")" => -1,
            _ => 0,
        };
        depth
    })
}

fn balanced(tokens: &[&str]) -> Result<(), String> {
    let good = depths(tokens).all(|d| d >= 0) && depths(tokens).last() == Some(0);
    if good { Ok(()) } else { Err("the parentheses do not match".into()) }
}

fn top_level_arrows(tokens: &[&str]) -> usize {
    tokens.iter().zip(depths(tokens)).filter(|(t, d)| **t == "->" && *d == 0).count()
}

/// Whether the tokens are one list in parentheses, and not a reference type, which is too.
fn is_list(tokens: &[&str]) -> bool {
    tokens.first() == Some(&"(")
        && tokens.get(1) != Some(&"ref")
        && depths(tokens).position(|d| d == 0) == Some(tokens.len() - 1)
}

/// The form in which types are compared.
fn form(tokens: &[&str]) -> String {
    let arrow = tokens.iter().zip(depths(tokens)).position(|(t, d)| *t == "->" && d == 0);
    let Some(arrow) = arrow else { return joined(tokens) };
    let (params, results) = tokens.split_at(arrow);
    let results = results.get(1..).unwrap_or_default();
    let (open, close) = if is_list(results) { ("", "") } else { ("(", ")") };
    format!("{}->{open}{}{close}", joined(params), joined(results))
}

/// A space only between words.
fn joined(tokens: &[&str]) -> String {
    let mut out = String::new();
    let mut after_word = false;
    for t in tokens {
        let word = !matches!(*t, "(" | ")" | "," | "->");
        if word && after_word {
            out.push(' ');
        }
        out.push_str(t);
        after_word = word;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucet_artifact::contract::Extern;
    use lucet_artifact::types::{
        FuncType, GlobalType, HeapType, MemoryType, RefType, TableType, ValType,
    };

    fn pattern(text: &str) -> TypePattern {
        TypePattern::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn types_match_themselves_as_they_are_printed() {
        let typed = RefType { nullable: false, heap: HeapType::Concrete(3) };
        let lists = [
            vec![],
            vec![ValType::I32],
            vec![ValType::V128, ValType::FUNCREF],
            vec![typed.into()],
            vec![typed.into(), ValType::I64],
        ];
        let mut printed = Vec::new();
        for params in &lists {
            for results in &lists {
                let ty = FuncType { params: params.clone(), results: results.clone() };
                printed.extend([Extern::Func(&ty).to_string(), Extern::Tag(&ty).to_string()]);
            }
        }
        let memory = |min, max, is64| Extern::Memory(MemoryType { min, max, is64 }).to_string();
        printed.extend([memory(1, None, false), memory(0, Some(16), true)]);
        for elem in [RefType::FUNC, typed] {
            let table = TableType { elem, min: 3, max: Some(9), is64: false };
            printed.push(Extern::Table(table).to_string());
        }
        for (ty, mutable) in [(ValType::I32, true), (typed.into(), false)] {
            printed.push(Extern::Global(GlobalType { ty, mutable }).to_string());
        }
        printed.sort();
        printed.dedup();
        for a in &printed {
            let p = pattern(a);
            for b in &printed {
                assert_eq!(p.matches(b), a == b, "{a} and {b}");
            }
            assert!(pattern("*").matches(a));
        }
    }

    #[test]
    fn patterns() {
        for (text, ty) in [
            ("(i32,i64)->f32", "(i32, i64) -> f32"),
            ("( i32 , i64 )  ->  (f32)", "(i32, i64) -> f32"),
            ("(*) -> *", "() -> ()"),
            ("(*) -> *", "(i32) -> (i32, i32)"),
            ("(i32, *) -> ()", "(i32, i64, f32) -> ()"),
            ("(i*) -> i32", "(i64) -> i32"),
            ("(*) -> (i32, *)", "() -> (i32, i64)"),
            ("(ref null *) -> ()", "never"),
            ("((ref null *)) -> ()", "((ref null 3)) -> ()"),
            ("memory *", "memory 1..16"),
            ("memory 1..*", "memory 1.."),
            ("table * funcref", "table 1..2 funcref"),
            ("global *", "global mut i32"),
            ("tag (*)", "tag (i32)"),
        ] {
            assert_eq!(pattern(text).matches(ty), ty != "never", "{text} and {ty}");
        }
        for (text, ty) in [
            ("(i32) -> i64", "(i32) -> i32"),
            ("(i32) -> *", "(i64) -> i32"),
            ("memory *", "memory64 1..16"),
            ("memory 1..16", "memory 1..17"),
            ("global i32", "global mut i32"),
            ("global mut *", "global i32"),
        ] {
            assert!(!pattern(text).matches(ty), "{text} and {ty}");
        }
        assert_eq!(pattern("(i32)->  i64").to_string(), "(i32)-> i64");
        assert_eq!(pattern("tag (i32)").kind(), Some(Kind::Tag));
        assert_eq!(pattern("() -> ()").kind(), Some(Kind::Function));
        assert_eq!(pattern("*").kind(), None);
    }

    #[test]
    fn mistakes_are_no_patterns() {
        for (text, part) in [
            ("", "the type is empty"),
            ("(i23) -> i32", "`i23` occurs in no type"),
            ("(funcreff) -> ()", "did you mean funcref?"),
            ("(i32)", "a function has the type (PARAMETERS) -> RESULTS"),
            ("(i32 -> i32", "parentheses do not match"),
            (") -> (", "parentheses do not match"),
            ("() -> () -> ()", "a function has the type"),
            ("memroy 1..2", "did you mean memory?"),
            ("memory", "memory * stands for each memory"),
            ("memory i31", "`i31` occurs in no type"),
            ("global 1..2", "`1..2` occurs in no type"),
            ("tag i32", "a tag has the type tag (PARAMETERS)"),
            ("i32", "`i32` occurs in no type"),
            ("(i32) -> $", "`$` occurs in no type"),
        ] {
            let e = TypePattern::parse(text).unwrap_err();
            assert!(e.contains(part), "{text}: {e}");
        }
        assert!(TypePattern::parse(&"(".repeat(5000)).is_err());
    }
}
