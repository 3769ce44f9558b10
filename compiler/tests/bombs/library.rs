//! Limits as the library keeps them, and what the command adds: each limit refuses one more than it
//! allows and names itself; time and memory end in an error in a process that lives on.

use crate::wasm::{END, I32, Module, body, many, num, one, types, vector};
use crate::{directory, run, run_with, shapes};
use lucetc::limits::{Limit, Limits};
use lucetc::{Class, Options, Text};

fn options(limit: Limit, value: u64) -> Options {
    let mut limits = Limits::default();
    limits.set(limit, value);
    Options { limits, ..Options::default() }
}

/// A module that has exactly `n` of what the limit counts.
fn module(limit: Limit, n: usize) -> Vec<u8> {
    let nested = |open: u8, n: usize| -> Vec<u8> {
        let mut code = [open, 0x40].repeat(n);
        code.extend(vec![END; n]);
        code
    };
    match limit {
        Limit::ModuleSize => Module::new().custom("x", &vec![0; n - 12]).bytes(),
        Limit::Functions => many(&vec![body(&[], &[]); n - 1]),
        Limit::Types => Module::new().section(1, &vec![(&[][..], &[][..]); n].types()).bytes(),
        Limit::Imports => {
            let imports = vector(n, |_, out| out.extend([1, b'e', 1, b'f', 0, 0]));
            Module::new().section(1, &types(&[(&[], &[])])).section(2, &imports).bytes()
        }
        Limit::Exports => {
            let exports = vector(n, |i, out| {
                out.extend([3, b'a' + (i / 100) as u8, b'0' + (i / 10 % 10) as u8]);
                out.extend([b'0' + (i % 10) as u8, 2, 0]);
            });
            Module::new().section(5, &[1, 0, 1]).section(7, &exports).bytes()
        }
        Limit::Globals => {
            let globals = vector(n, |_, out| out.extend([I32, 0, 0x41, 0, END]));
            Module::new().section(6, &globals).bytes()
        }
        Limit::ElementItems => {
            let mut list = [1, 0, 0x41, 0, END].to_vec();
            list.extend(vector(n, |_, out| out.push(0)));
            Module::new()
                .section(1, &types(&[(&[], &[])]))
                .section(3, &[1, 0])
                .section(4, &[1, 0x70, 0, 0x7f])
                .section(9, &list)
                .code(&[body(&[], &[])])
                .bytes()
        }
        Limit::Image => {
            let mut list = [1, 0, 0x41, 0, END].to_vec();
            list.extend(vector(n, |_, out| out.push(1)));
            Module::new().section(5, &[1, 0, 10]).section(11, &list).bytes()
        }
        // Number of local groups and `end` are two bytes.
        Limit::FunctionSize => one(&[], &vec![1; n - 2]),
        // Two are parameters.
        Limit::Locals => one(&[(n as u64 - 2, I32)], &[]),
        Limit::Nesting => one(&[], &nested(0x02, n - 1)),
        Limit::LoopNesting => one(&[], &nested(0x03, n)),
        Limit::BrTable => one(&[], &br_table(n)),
        // Its default is a target too.
        Limit::BranchTargets => one(&[], &br_table(n - 1)),
        other => panic!("{other:?}"),
    }
}

fn br_table(n: usize) -> Vec<u8> {
    let mut code = [0x20, 0, 0x0e].to_vec();
    code.extend(num(n as u64));
    code.extend(vec![0; n + 1]);
    code
}

trait Types {
    fn types(&self) -> Vec<u8>;
}

impl Types for Vec<(&[u8], &[u8])> {
    fn types(&self) -> Vec<u8> {
        types(self)
    }
}

#[track_caller]
fn refused(module: &[u8], options: &Options, limit: Limit) {
    let errors = lucetc::compile(module, options).expect_err(limit.row().name);
    assert_eq!(errors.class(), Class::Limit, "{errors}");
    let text = errors.to_string();
    assert!(text.contains(limit.row().what), "{text}");
    assert!(text.contains(limit.row().name) || text.contains("cannot be raised"), "{text}");
    let in_function = (limit as usize) >= (Limit::FunctionSize as usize);
    assert_eq!(errors.0[0].function.is_some(), in_function, "{text}");
    assert_eq!(errors.0[0].offset.is_some(), in_function, "{text}");
}

#[test]
fn compile_limits_are_exact() {
    for limit in [
        Limit::ModuleSize,
        Limit::Functions,
        Limit::Types,
        Limit::Imports,
        Limit::Exports,
        Limit::Globals,
        Limit::ElementItems,
        Limit::FunctionSize,
        Limit::Locals,
        Limit::Nesting,
        Limit::LoopNesting,
        Limit::BrTable,
        Limit::BranchTargets,
    ] {
        let o = options(limit, 100);
        let done = lucetc::compile(&module(limit, 100), &o);
        assert!(done.is_ok(), "{limit:?}: {}", done.unwrap_err());
        refused(&module(limit, 101), &o, limit);
    }
    let o = options(Limit::Image, 8192);
    assert!(lucetc::compile(&module(Limit::Image, 8192), &o).is_ok());
    let errors = lucetc::compile(&module(Limit::Image, 8193), &o).unwrap_err();
    assert!(errors.to_string().contains("bytes of initial memory"), "{errors}");
}

#[test]
fn limits_of_intermediate_code() {
    for (limit, shape) in [
        (Limit::Values, "constants"),
        (Limit::Blocks, "nested ifs"),
        (Limit::Calls, "calls"),
        (Limit::Carried, "br_tables with operands"),
        (Limit::Merges, "locals rotating in loops"),
    ] {
        let shape = shapes::SHAPES.iter().find(|s| s.name == shape).unwrap();
        let module = (shape.make)(20_000);
        let mut o = Options::default();
        assert!(lucetc::compile(&module, &o).is_ok(), "{}", shape.name);
        o.limits.set(limit, 1000);
        refused(&module, &o, limit);
    }
}

#[test]
fn many_distinct_offsets() {
    // Flags of memory accesses are a table in the code generator with 65,535 entries: they must
    // not depend on the offset.
    let mut code = Vec::new();
    for i in 0..100_000_u64 {
        code.extend([0x20, 0, 0x20, 1, if i % 2 == 0 { 0x36 } else { 0x3a }, 0]);
        code.extend(num(i * 40));
    }
    let done = lucetc::compile(&one(&[], &code), &Options::default());
    assert!(done.is_ok(), "{}", done.unwrap_err());
}

#[test]
fn the_library_looks_at_the_clock() {
    // Trampolines for thousands of large types: minutes, a few milliseconds each.
    let shape = shapes::SHAPES.iter().find(|s| s.name == "large types").unwrap();
    let errors = lucetc::compile(&(shape.make)(10_000_000), &options(Limit::Time, 1)).unwrap_err();
    assert_eq!((errors.class(), errors.0.len()), (Class::Limit, 1), "{errors}");
    assert!(errors.to_string().contains("not compiled within 1 s"), "{errors}");
}

/// A module whose validation compares 2,000 types for each two bytes, and one that compares 1,000
/// for each byte. Only their last functions are invalid.
fn slow_to_validate(n: usize) -> [Vec<u8>; 2] {
    let wide = [I32; 1000];
    let head = || {
        Module::new()
            .section(1, &types(&[(&[], &[]), (&[], &wide), (&wide, &wide)]))
            .section(2, &vector(2, |i, out| out.extend([1, b'e', 1, b'f', 0, i as u8 + 1])))
            .section(3, &vector(5, |_, out| out.push(0)))
    };
    let calls = [[0x10, 0].to_vec(), [0x10, 1].repeat(n / 8), [0x1a].repeat(1000)].concat();
    let targets = 60_000;
    let mut tables = [0x02, 1].to_vec();
    while tables.len() + targets < n / 4 {
        tables.extend([0x10, 0, 0x41, 0, 0x0e]);
        tables.extend(num(targets as u64));
        tables.extend(vec![0; targets + 1]);
    }
    tables.extend([0x00, END]);
    tables.extend([0x1a].repeat(1000));
    [calls, tables].map(|code| {
        let mut bodies = vec![body(&[], &code); 4];
        bodies.push(body(&[], &[0x1a]));
        head().code(&bodies).bytes()
    })
}

#[test]
fn the_library_looks_at_the_clock_while_it_validates() {
    // Validated to the end, which takes many seconds, they would be invalid.
    for module in slow_to_validate(2_000_000) {
        let errors = lucetc::compile(&module, &options(Limit::Time, 1)).unwrap_err();
        assert!(errors.to_string().contains("not compiled within 1 s"), "{errors}");
    }
}

#[test]
fn branches_are_counted_before_they_are_compared() {
    // It is invalid as well, which would be found first.
    let wide = [I32; 1000];
    let mut code = [0x02, 1, 0x10, 0, 0x41, 0, 0x0e].to_vec();
    code.extend(num(70_000));
    code.extend(vec![0; 70_000]);
    // The last target does not exist.
    code.extend([9, END]);
    code.extend([0x1a].repeat(1000));
    let module = Module::new()
        .section(1, &types(&[(&[], &[]), (&[], &wide)]))
        .section(2, &[1, 1, b'e', 1, b'f', 0, 1])
        .section(3, &[1, 0])
        .code(&[body(&[], &code)])
        .bytes();
    refused(&module, &Options::default(), Limit::BrTable);
}

#[test]
fn functions_of_vectors_take_turns() {
    // Each takes 100 MB, by far more than scalar code of this size. All at once take 350 MB; the
    // limit lets one go on at a time, of which what is freed has to be given back.
    let directory = directory("vectors");
    let (input, output) = (directory.join("m.wasm"), directory.join("m.so"));
    let mut code = [0x20, 2, 0x20, 0, 0xfd, 0x6b, 0x21, 2].repeat(20_000);
    code.extend([0x20, 2, 0xfd, 0x1b, 0, 0x24, 0]);
    std::fs::write(&input, many(&vec![body(&[(1, 0x7b)], &code); 6])).unwrap();
    let options = ["-j6", "--in-process", "--limit", "memory=256M"];
    let done = run_with(&input, &output, &options, &[("MALLOC_TRIM_THRESHOLD_", "4194304")]);
    assert_eq!(done.code, Some(0), "{}", done.said);
    assert!(done.peak_kib < 256 << 10, "{} KiB", done.peak_kib);
}

#[test]
fn code_as_text_has_limits_too() {
    let calls = many(&[body(&[], &[0x10, 0].repeat(2000))]);
    for what in [Text::Clif, Text::Asm] {
        for (limit, value, part) in [
            (Limit::Calls, 100, "too many calls and traps in a function: the limit is 100"),
            (Limit::Memory, 20_000, "the result takes more than 0 MiB of memory"),
        ] {
            let errors = lucetc::compile_to_text(&calls, &options(limit, value), what).unwrap_err();
            assert!(errors.to_string().contains(part), "{errors}");
        }
    }
}

#[test]
fn the_command_survives_want_of_memory() {
    let directory = directory("memory");
    let (input, output) = (directory.join("m.wasm"), directory.join("m.so"));
    std::fs::write(&input, many(&vec![body(&[], &[]); 300_000])).unwrap();
    let limited = run(&input, &output, &["--limit", "memory=64M"]);
    assert_eq!(limited.code, Some(1), "{}", limited.said);
    let start = "error[limit]: compiling the module takes more than 64 MiB of memory\n  help: ";
    assert!(limited.said.starts_with(start), "{}", limited.said);
    assert_eq!(limited.said.lines().count(), 3, "{}", limited.said);
    let names: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(names, [input], "something was left behind");
}

#[test]
fn limits_on_the_command_line() {
    let directory = directory("line");
    let (input, output) = (directory.join("m.wasm"), directory.join("m.so"));
    std::fs::write(&input, many(&vec![body(&[], &[]); 20])).unwrap();
    let said = run(&input, &output, &["--limit", "functions=20", "--limit=values=5000000"]).said;
    let want = "error[limit]: too many functions in the module: the limit is 20\n  help: make it \
                smaller, or raise the limit with --limit functions=N, up to 1000000\n";
    assert!(said.starts_with(want), "{said}");
    for options in [&["--limit", "functions=21"][..], &["--in-process"], &["--limit", "time=0"]] {
        assert_eq!(run(&input, &output, options).code, Some(0), "{options:?}");
    }
}
