//! Diagnostics on standard error: as text for people, as JSON lines for programs.
//!
//! Messages quote names from modules, which anybody can make. Control characters are therefore
//! escaped in both formats, so that a name cannot drive the terminal.

use lucetc::{Diagnostic, Errors};
use std::fmt::Write as _;
use std::io::Write as _;

/// How messages look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As [`Diagnostic`] displays itself.
    Text,
    /// One object per line.
    Json,
}

/// Prints all diagnostics and, as text, a last line with their number.
pub fn print(errors: &Errors, input: Option<&str>, format: Format) {
    let mut out = String::new();
    for d in &errors.0 {
        match format {
            Format::Text => {
                out.push_str(&visible(&d.to_string()));
                out.push('\n');
            }
            Format::Json => out.push_str(&json(d, input)),
        }
    }
    if let (Format::Text, Some(input)) = (format, input) {
        let n = errors.0.len();
        let s = if n == 1 { "" } else { "s" };
        let _ = writeln!(out, "lucetc: {}: {n} error{s}", visible(input));
    }
    // There is nobody left to tell if this fails; the exit code still says it.
    let _ = std::io::stderr().write_all(out.as_bytes());
}

/// What a command found out, a line per fact or one JSON object, for standard output.
pub fn facts(facts: &[(&str, String)], format: Format) -> String {
    let mut out = String::new();
    match format {
        Format::Text => {
            let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            for (name, value) in facts {
                let (name, value) = (name.replace('_', " "), visible(&value.replace('\n', "?")));
                let _ = writeln!(out, "{name:width$}  {value}");
            }
        }
        Format::Json => {
            for (i, (name, value)) in facts.iter().enumerate() {
                out.push(if i == 0 { '{' } else { ',' });
                string(&mut out, name);
                out.push(':');
                string(&mut out, value);
            }
            out.push_str("}\n");
        }
    }
    out
}

/// The text with control characters escaped, except line feeds and tabs.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// One object with always the same keys, and a line feed.
fn json(d: &Diagnostic, input: Option<&str>) -> String {
    let mut out = String::from("{\"class\":");
    string(&mut out, d.class.word());
    out.push_str(",\"message\":");
    string(&mut out, &d.message);
    out.push_str(",\"file\":");
    optional(&mut out, input);
    out.push_str(",\"offset\":");
    match d.offset {
        Some(o) => {
            let _ = write!(out, "{o}");
        }
        None => out.push_str("null"),
    }
    out.push_str(",\"function\":");
    match &d.function {
        Some((index, name)) => {
            let _ = write!(out, "{{\"index\":{index},\"name\":");
            string(&mut out, name);
            out.push('}');
        }
        None => out.push_str("null"),
    }
    out.push_str(",\"help\":");
    optional(&mut out, d.help_text());
    out.push_str("}\n");
    out
}

fn optional(out: &mut String, text: Option<&str>) {
    match text {
        Some(t) => string(out, t),
        None => out.push_str("null"),
    }
}

/// A JSON string (RFC 8259, section 7). Besides what must be escaped, so are all other control
/// characters and the line separators of JavaScript.
fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucetc::Class;

    #[test]
    fn json_lines() {
        let d = Diagnostic::new(Class::Policy, "a \"b\"\\\n\u{1b}ü").at(79);
        let d = d.in_function(3, "main").help("do\tsomething");
        assert_eq!(
            json(&d, Some("x.wasm")),
            "{\"class\":\"policy\",\"message\":\"a \\\"b\\\"\\\\\\n\\u001bü\",\
             \"file\":\"x.wasm\",\"offset\":79,\"function\":{\"index\":3,\"name\":\"main\"},\
             \"help\":\"do\\tsomething\"}\n"
        );
        assert_eq!(
            json(&Diagnostic::new(Class::Usage, "m"), None),
            "{\"class\":\"usage\",\"message\":\"m\",\"file\":null,\"offset\":null,\
             \"function\":null,\"help\":null}\n"
        );
    }

    #[test]
    fn facts_as_text_and_json() {
        let f = [("key", "7\n\u{1b}".to_owned()), ("public_key", "R\"W".to_owned())];
        assert_eq!(facts(&f, Format::Text), "key         7?\\u{1b}\npublic key  R\"W\n");
        let json = "{\"key\":\"7\\n\\u001b\",\"public_key\":\"R\\\"W\"}\n";
        assert_eq!(facts(&f, Format::Json), json);
    }

    #[test]
    fn names_cannot_drive_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\n\tc"), "a\\u{1b}[2Jb\n\tc");
    }
}
