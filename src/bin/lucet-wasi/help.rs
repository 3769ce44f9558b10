//! What `--help` prints.

/// The help text.
pub const HELP: &str = "\
lucet-wasi runs a WebAssembly program that uses WASI preview 1.

Usage: lucet-wasi [OPTIONS] PROGRAM [ARGUMENTS...]

  PROGRAM is an artifact that lucetc-wasi made, or a .wasm or .wat file, which is compiled first by
  the lucetc-wasi beside this program or on the PATH. ARGUMENTS are the program's own. It reads and
  writes the standard input and outputs of this process, and sees nothing else of the system but
  what the options give it.

What the program gets:
  -d, --dir HOST::GUEST[:ro]  the directory HOST, under the name GUEST; with :ro it can only read.
                              HOST alone has the same name on both sides; may be repeated
  -e, --env NAME=VALUE        an environment variable; NAME alone has the value that it has here;
                              may be repeated
      --inherit-env           all variables of this process
      --argv0 NAME            the program's name for itself [default: PROGRAM]
      --deterministic SEED    random numbers and clocks follow from this number

What it may take:
      --timeout TIME          seconds, or 200ms, 2m, 1h: then it is ended
      --max-memory BYTES      memory that it may grow to, also 64M, 1G [default: what it declares]
      --max-stack BYTES       stack of compiled code [default: 16M]

What is called:
      --invoke NAME           this export instead of _start; ARGUMENTS are its numbers, and its
                              results are printed, one on a line
      --initialize yes|no     call _initialize before it [default: yes, if it is there]

Other:
  -p, --public-key KEY        run only what this key signed (see docs/signing.md): a file; may be
                              repeated. Without it artifacts are trusted as programs are
      --lucetc FILE           the compiler for .wasm files
      --backtrace             when the program traps, say where it was, function by function
  -q, --quiet                 do not say why a program ended badly
  -V, --version               print the version
  -h, --help                  print this help

Exit codes: the program's own; 124 it took longer than --timeout; 125 wrong command line, or
lucet-wasi could not do its part; 126 PROGRAM cannot be run (it does not compile, is no artifact,
is not trusted, or imports what is not there); 127 there is no PROGRAM; 130, 143, 129 it was ended
by Ctrl-C, SIGTERM, SIGHUP; after a trap what a shell says of native programs: 134 unreachable
(which abort() is), 136 division by zero and other arithmetic, 139 memory, stack, tables, calls.

Examples:
  lucet-wasi hello.so world
  lucet-wasi --dir data::/data:ro --timeout 10 report.wasm /data/today.csv
  lucet-wasi --invoke add plugin.so 2 3
";
