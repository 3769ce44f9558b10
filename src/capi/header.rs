//! Makes the headers in `include/` from the files beside this one. Not a part of the library:
//! `build.rs` (`make header`) uses it to write them, and `tests/header.rs` to compare.
//!
//! cbindgen reads each file in turn, so that types and functions of one noun stand together, and
//! an introduction goes in front. `lucet.h` is the core; whatever is a world of its own has a
//! header of its own, which includes it: see [`HEADERS`].

use cbindgen::{
    Builder, Config, DocumentationStyle, ExportConfig, FunctionConfig, Language, Style,
};
use std::fmt::Write;
use std::path::Path;

/// A header of the library.
pub struct Public {
    /// Its name in `include/`.
    pub file: &'static str,
    /// The macro that keeps it from being read twice.
    guard: &'static str,
    /// The file of `src/capi` that it begins with.
    intro: &'static str,
    /// Files of `src/capi` that declare something, in the order in which C can read them.
    sections: &'static [(&'static str, &'static str)],
}

/// All of them. The first one is what the others include.
pub const HEADERS: &[Public] = &[
    Public { file: "lucet.h", guard: "LUCET_H", intro: "intro.h", sections: CORE },
    Public {
        file: "lucet_wasi.h",
        guard: "LUCET_WASI_H",
        intro: "intro_wasi.h",
        sections: &[("wasi", "WASI")],
    },
    Public { file: "lucet_http.h", guard: "LUCET_HTTP_H", intro: "http_intro.h", sections: HTTP },
];

const CORE: &[(&str, &str)] = &[
    ("status", "statuses and outcomes"),
    ("val", "values"),
    ("library", "the library"),
    ("region", "regions"),
    ("module", "modules"),
    ("contract", "contracts"),
    ("trust", "trust"),
    ("instance", "instances"),
    ("module_ref", "replacing modules"),
    ("group", "groups"),
    ("growth", "growth"),
    ("stats", "statistics"),
    ("backtrace", "backtraces"),
    ("exception", "exceptions"),
    ("snapshot", "snapshots"),
    ("vmctx", "inside a host function"),
    ("fuel", "fuel"),
];

const HTTP: &[(&str, &str)] = &[("http_server", "what a server does"), ("http", "plugins")];

/// Types that stand in the file where they belong, and not in the first one with a function that
/// uses them.
const TYPES: [&str; 7] = [
    "lucet_outcome",
    "lucet_val_type",
    "lucet_val_of",
    "lucet_val",
    "lucet_http_server",
    "lucet_http_feature",
    "lucet_http_abi",
];

fn section(file: &Path) -> String {
    let config = Config {
        language: Language::C,
        style: Style::Both,
        cpp_compat: true,
        no_includes: true,
        documentation_style: DocumentationStyle::Doxy,
        usize_is_size_t: true,
        export: ExportConfig { include: TYPES.map(str::to_owned).into(), ..Default::default() },
        line_length: 100,
        tab_width: 2,
        function: FunctionConfig {
            must_use: Some("LUCET_NODISCARD".into()),
            ..FunctionConfig::default()
        },
        ..Config::default()
    };
    let mut text = Vec::new();
    Builder::new().with_config(config).with_src(file).generate().unwrap().write(&mut text);
    let text = String::from_utf8(text).unwrap();
    tidy(&text)
}

fn starts(line: &str, with: &str) -> bool {
    line.trim_start().starts_with(with)
}

/// Says by macros, which the header defines once, what makes an enumeration 32 bits wide.
fn enumerations(text: &str) -> String {
    let mut text = text.to_owned();
    let width = "\n#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L\n  : int32_t\n#endif \
                 // defined(__cplusplus) || __STDC_VERSION__ >= 202311L\n {";
    while let Some(at) = text.find(width) {
        let name = text[..at].rsplit(' ').next().unwrap_or_default().to_owned();
        let head = at - "enum ".len() - name.len();
        text.replace_range(head..at + width.len(), &format!("LUCET_ENUM({name}) {{"));
        let declared = format!(
            "#ifndef __cplusplus\n#if __STDC_VERSION__ >= 202311L\ntypedef enum {name} {name};\n\
             #else\ntypedef int32_t {name};\n#endif // __STDC_VERSION__ >= 202311L\n\
             #endif // __cplusplus\n"
        );
        assert!(text.contains(&declared), "cbindgen writes enumerations in another way: {text}");
        text = text.replacen(&declared, "", 1);
    }
    text
}

/// What they stand for.
const ENUM: &str = "
/* An enumeration of 32 bits. Older C cannot say so: there its values are an int32_t. */
#if defined(__cplusplus)
#define LUCET_ENUM(name) enum name : int32_t
#elif __STDC_VERSION__ >= 202311L
#define LUCET_ENUM(name) enum name : int32_t; typedef enum name name; enum name : int32_t
#else
#define LUCET_ENUM(name) typedef int32_t name; enum name
#endif
";

/// cbindgen's text the way a person would have written it.
fn tidy(text: &str) -> String {
    // One pair of these stands around the whole header.
    let text = text
        .replace("#ifdef __cplusplus\nextern \"C\" {\n#endif // __cplusplus\n", "")
        .replace("#ifdef __cplusplus\n}  // extern \"C\"\n#endif  // __cplusplus\n", "")
        .replace("#ifdef __cplusplus\n} // extern \"C\"\n#endif // __cplusplus\n", "");
    let text = enumerations(&text);
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let indent = &line[..line.len() - line.trim_start().len()];
        if line.trim() == "/**" {
            let first = lines.next().unwrap_or_default();
            let words = first.trim().trim_start_matches("* ");
            let short = indent.len() + words.len() + 7 <= 100;
            if short && lines.next_if(|l| l.trim() == "*/").is_some() {
                writeln!(out, "{indent}/** {words} */").unwrap();
            } else {
                writeln!(out, "{line}\n{first}").unwrap();
            }
        } else if ["typedef struct", "typedef union", "* "].iter().any(|s| starts(line, s)) {
            writeln!(out, "{line}").unwrap();
        } else {
            // Every struct and union has a typedef.
            let plain = line.replace("struct lucet_", "lucet_").replace("union lucet_", "lucet_");
            writeln!(out, "{plain}").unwrap();
        }
    }
    declarations(&out)
}

/// Functions on as few lines as they need, and one empty line where cbindgen leaves two.
fn declarations(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() && out.ends_with("\n\n") {
            continue;
        }
        // The end of a comment stands behind its last words.
        let last = out.trim_end().len() - out.trim_end().rfind('\n').map_or(0, |at| at + 1);
        if line.trim() == "*/" && last + 3 <= 100 {
            out.truncate(out.trim_end().len());
            out += " */\n";
            continue;
        }
        let begins = line == "LUCET_NODISCARD" || line.ends_with(',') && line.contains('(');
        let code = !line.starts_with([' ', '/', '*', '#', '}']);
        if !(code && begins && !line.ends_with(';')) {
            writeln!(out, "{line}").unwrap();
            continue;
        }
        let mut all = line.to_owned();
        while !all.ends_with(';') {
            let next = lines.next().expect("a declaration ends");
            write!(all, " {}", next.trim_start()).unwrap();
        }
        let mut width = 0;
        for word in all.split_inclusive(", ").flat_map(|w| w.split_inclusive("NODISCARD ")) {
            if width > 0 && width + word.trim_end().len() > 100 {
                out.truncate(out.trim_end().len());
                out += "\n    ";
                width = 4;
            }
            out += word;
            width += word.len();
        }
        out.push('\n');
    }
    out
}

/// What the core says before anything else.
fn preamble(version: &str) -> String {
    let mut out = "#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n\n".to_owned();
    let version: Vec<&str> = version.split(['.', '-']).collect();
    for (name, n) in ["MAJOR", "MINOR", "PATCH"].iter().zip(&version) {
        writeln!(out, "#define LUCET_VERSION_{name} {n}").unwrap();
    }
    out += "\n/* Ignoring what such a function returns is a mistake. */\n\
        #if defined(__GNUC__)\n#define LUCET_NODISCARD __attribute__((warn_unused_result))\n\
        #else\n#define LUCET_NODISCARD\n#endif\n";
    out + ENUM
}

/// The text of a header. `root` is the folder of `Cargo.toml`, `version` the package's.
pub fn header(root: &Path, version: &str, public: &Public) -> String {
    let capi = root.join("src/capi");
    let guard = public.guard;
    let mut out = std::fs::read_to_string(capi.join(public.intro)).unwrap();
    write!(out, "#ifndef {guard}\n#define {guard}\n\n").unwrap();
    out += &match public.file == HEADERS[0].file {
        true => preamble(version),
        false => format!("#include <{}>\n", HEADERS[0].file),
    };
    out += "\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n";
    for &(file, title) in public.sections {
        let dashes = "-".repeat(88 - title.len());
        write!(out, "\n/* ---- {title} {dashes} */\n\n").unwrap();
        out += section(&capi.join(file).with_extension("rs")).trim();
        out.push('\n');
    }
    out += "\n#ifdef __cplusplus\n} /* extern \"C\" */\n#endif\n\n";
    writeln!(out, "#endif /* {guard} */").unwrap();
    out
}
