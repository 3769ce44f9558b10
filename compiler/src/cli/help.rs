//! What `--help` and `--version` print.

use lucetc::limits::{Limit, ROWS, Row};

/// What `lucetc --help` prints.
pub fn help() -> String {
    HELP.replace("{commands}", super::commands::list().trim_end())
}

/// The help text, with a place for the commands. Options are found by their spelling here in
/// `docs` and tests.
pub const HELP: &str = "\
lucetc compiles a WebAssembly module ahead of time to an artifact that liblucet loads.

Usage: lucetc [OPTIONS] INPUT
       lucetc COMMAND ...

  INPUT is a .wasm or .wat file, or - for standard input; a file that is called like a command is
  written ./NAME.

Commands:
{commands}

Output:
  -o, --output FILE         where to write; - for standard output
                            [default: INPUT with the extension .so, .o, .clif or .s]
      --emit KIND           so: artifact [default]; obj: the same as an object to link into a
                            program (see docs/design/linked-modules.md);
                            clif, asm: intermediate code or machine code as text
      --symbol NAME         obj: what C calls it [default: lucet_artifact_ and the output's name]

Code:
  -O LEVEL                  0 or none: compile fast, slow code; 1, 2 or speed: run fast [default];
                            s or size: run fast, small code
      --memory SHAPE        guarded: 4 GiB of address space per instance, fastest [default];
                            compact: only the maximum, explicit checks, most instances
      --target-cpu CPU      x86-64-v2 [default], x86-64-v3, or native: this machine's CPU
      --fuel                count steps, so that the host can say after how many a run stops;
                            slower (see docs/design/fuel.md)
  -j, --jobs N              threads; 0 is one per CPU [default]; the output does not depend on it
      --paranoid            check intermediate code and register allocation; slower

Contract:
      --policy FILE         what the module may import, how large it may be and what it must have
                            (TOML, see docs/policy.md)
      --wasi                the imports of WASI preview 1 are allowed, besides the policy's;
                            without a policy, no others are; lucetc-wasi is lucetc --wasi
      --print policy-schema print the JSON Schema of policy files, for editors
      --label NAME=VALUE    add a label; may be repeated
      --sign FILE           sign with this secret key, as lucetc keygen or minisign -G wrote it
      --password-file FILE  a file whose first line is its password [default: it is asked for]

Limits:
      --limit NAME=VALUE    what the module and compiling it may take, for example
                            --limit time=20 (seconds) or --limit memory=1G; may be repeated
      --print limits        list the names, with defaults and maxima
      --in-process          no process of its own to compile in, for debuggers: when memory runs
                            out, lucetc dies instead of saying so

Other:
      --message-format FMT  text [default], or json: one object per line on standard error
  -V, --version             print the version
  -h, --help                print this help

Exit codes: 0 done; 1 the module is malformed, invalid, unsupported, against the policy, too
large or too slow to compile; 2 wrong command line, or a file cannot be read or written; 70 a bug
in lucetc.

Examples:
  lucetc hello.wasm                        writes hello.so
  lucetc hello.wat --policy p.toml -o out/hello.so
  lucetc hello.wasm --sign plugins.key     see docs/signing.md
  lucetc-wasi hello.wasm                   a program for lucet-wasi, see docs/wasi.md
";

/// What `--print limits` prints.
pub fn limits() -> String {
    let mut out = format!("{:<16}{:>12}{:>16}  what\n", "name", "default", "maximum");
    for Row { limit, name, default, max, what } in &ROWS {
        let (default, what) = match limit {
            Limit::Memory => ("0".to_owned(), format!("{what} [1]")),
            Limit::Time => ("0".to_owned(), format!("{what} [2]")),
            _ => (default.to_string(), (*what).to_owned()),
        };
        out.push_str(&format!("{name:<16}{default:>12}{max:>16}  {what}\n"));
    }
    out.push_str(
        "\n[1] if 0: 2 GiB, and 64 MiB more for each MiB of the module beyond ten\n\
         [2] if 0: 55 s, and 20 s more for each MiB of the module beyond ten\n",
    );
    out
}

/// Version of the program and of what its output must agree with.
pub fn version() -> String {
    format!(
        "lucetc {} (artifact format {}, ABI {})\n",
        env!("CARGO_PKG_VERSION"),
        lucet_artifact::FORMAT_VERSION,
        lucet_artifact::ABI_VERSION
    )
}
