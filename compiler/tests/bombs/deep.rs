//! Nothing recurses on the depth of the input: 100,000 levels compile on a caller's stack of
//! 256 KiB, and on the compiler's own threads, which have 2 MiB: 21 bytes a level.

use crate::wasm::{END, one};
use lucetc::limits::Limit;
use lucetc::{Errors, Options, Text};

const DEPTH: usize = 100_000;
const STACK: usize = 256 << 10;

/// Runs on a thread with a small stack.
fn on_small_stack<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap()
}

fn compile(what: &'static str, module: Vec<u8>, options: Options) {
    on_small_stack(move || {
        let done: Result<_, Errors> = lucetc::compile(&module, &options);
        assert!(done.is_ok(), "{what}: {}", done.unwrap_err());
    });
}

/// `open` as often as the depth, then as many `end`s, each with `close` before it.
fn nested(open: &[u8], inside: &[u8], close: &[u8]) -> Vec<u8> {
    // The body of a function is one level too.
    let depth = DEPTH - 1;
    let mut code = open.repeat(depth);
    code.extend(inside);
    for _ in 0..depth {
        code.extend(close);
        code.push(END);
    }
    one(&[], &code)
}

/// Options that allow the depth.
fn options() -> Options {
    let mut o = Options::default();
    o.limits.set(Limit::Nesting, DEPTH as u64);
    o.limits.set(Limit::LoopNesting, DEPTH as u64);
    o.limits.set(Limit::Time, 600);
    o
}

#[test]
fn deep_control() {
    for (what, open, inside, close) in [
        ("blocks", &[0x02, 0x40][..], &[][..], &[][..]),
        ("blocks that are left", &[0x02, 0x40, 0x20, 0, 0x0d, 0], &[], &[0x10, 0]),
        ("loops", &[0x03, 0x40], &[0x20, 0, 0x0d, 0], &[]),
        ("loops that repeat", &[0x03, 0x40], &[], &[0x23, 0, 0x0d, 0]),
        ("ifs", &[0x20, 0, 0x04, 0x40], &[0x10, 0], &[]),
        ("elses", &[0x20, 0, 0x04, 0x40, 0x10, 0, 0x05], &[], &[0x10, 0]),
        ("dead blocks", &[0x00, 0x02, 0x40], &[], &[]),
    ] {
        compile(what, nested(open, inside, close), options());
    }
}

#[test]
fn deep_data_flow() {
    // f(f(f(…))) in one block: what optimises expressions must not follow them by recursion. At
    // half the depth they are small enough to be optimised, at the whole they are not.
    for depth in [DEPTH / 2, DEPTH * 3] {
        let start = |code: Vec<u8>| [&[0x20, 0][..], &code, &[0x24, 0]].concat();
        let loads = start([0x28, 2, 0].repeat(depth));
        let sum = start([[0x20, 1].repeat(depth), [0x6a].repeat(depth)].concat());
        let selects = start([0x20, 1, 0x23, 0, 0x1b].repeat(depth));
        for (what, code) in [("loads", loads), ("a sum", sum), ("selects", selects)] {
            compile(what, one(&[], &code), Options::default());
        }
    }
}

#[test]
fn deep_text() {
    let text = |open: &str, close: &str, depth: usize| {
        format!("(module (func {} {}))", open.repeat(depth), close.repeat(depth)).into_bytes()
    };
    compile("folded blocks", text("(block ", ")", DEPTH - 1), options());
    let operands = format!(
        "(module (global $g (mut i32) (i32.const 0)) (func (global.set $g {}(i32.const 1){})))",
        "(i32.eqz ".repeat(DEPTH),
        ")".repeat(DEPTH)
    );
    compile("folded operands", operands.into_bytes(), Options::default());
    compile("comments", text("(;", ";)", DEPTH), Options::default());
    // What the text format cannot nest must be refused, not overflow.
    for open in ["(func ", "(module ", "(type ", "(import ", "(@a ", "(", "(then ", "(param "] {
        on_small_stack(move || {
            let text = format!("(module {}", open.repeat(DEPTH));
            assert!(lucetc::compile(text.as_bytes(), &Options::default()).is_err(), "{open}");
        });
    }
}

#[test]
fn deep_code_as_text() {
    let module = nested(&[0x03, 0x40], &[0x20, 0, 0x0d, 0], &[]);
    for what in [Text::Clif, Text::Asm] {
        let module = module.clone();
        let text =
            on_small_stack(move || lucetc::compile_to_text(&module, &options(), what).unwrap());
        assert!(!text.is_empty());
    }
}
