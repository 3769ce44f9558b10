//! The shapes: each makes a module of about the given number of bytes.

use crate::wasm::{END, F64, I32, I64, Module, body, leb, many, num, one, sleb, types, vector};

/// Largest body that a function may have, with some room.
const BODY: usize = 7_600_000;

/// A shape: its name, what it is made of, the options of lucetc that it wants.
pub struct Shape {
    /// Its name.
    pub name: &'static str,
    /// Makes it, of about so many bytes.
    pub make: fn(usize) -> Vec<u8>,
    /// Options for lucetc.
    pub options: &'static [&'static str],
}

const fn shape(name: &'static str, make: fn(usize) -> Vec<u8>) -> Shape {
    Shape { name, make, options: &[] }
}

const fn with(
    name: &'static str,
    make: fn(usize) -> Vec<u8>,
    options: &'static [&'static str],
) -> Shape {
    Shape { name, make, options }
}

/// All shapes.
pub const SHAPES: &[Shape] = &[
    shape("functions", functions),
    shape("functions with 50,000 locals", functions_with_locals),
    shape("functions with 1,000 parameters", functions_with_params),
    shape("large functions", large_functions),
    shape("distinct types", distinct_types),
    shape("large types", large_types),
    shape("equal types", equal_types),
    shape("imports", imports),
    shape("exports", exports),
    shape("names of 100 KB", long_names),
    shape("globals", globals),
    shape("long constant expressions", constants),
    shape("element items", element_items),
    shape("element expressions", element_expressions),
    shape("element segments", element_segments),
    shape("one data segment", one_data),
    shape("scattered data segments", scattered_data),
    shape("overlapping data segments", overlapping_data),
    shape("custom sections", custom_sections),
    shape("name section", name_section),
    shape("count that lies", lying_count),
    shape("straight code", straight),
    shape("arithmetic chain", chain),
    shape("doubling", doubling),
    shape("deep operand stack", deep_stack),
    shape("constants", distinct_constants),
    shape("float constants", float_constants),
    shape("nested blocks", nested_blocks),
    shape("nested loops", nested_loops),
    shape("nested ifs", nested_ifs),
    shape("nested loops with calls", loops_with_calls),
    with("nested loops with calls, fuel", loops_with_calls, &["--fuel"]),
    shape("loops nested a little, with calls", little_nests),
    with("loops nested a little, with calls, fuel", little_nests, &["--fuel"]),
    shape("many loops in a row", loops_in_a_row),
    shape("locals rotating in loops", rotating),
    with("locals rotating in loops, fuel", rotating, &["--fuel"]),
    shape("locals live across calls", live_locals),
    shape("locals times branches", locals_times_branches),
    shape("branches out of nested blocks", branches_out),
    shape("giant br_tables", br_tables),
    shape("br_tables with distinct targets", distinct_targets),
    shape("br_tables with operands", br_tables_with_operands),
    shape("loads and stores", accesses),
    with("loads and stores, compact", accesses, &["--memory", "compact"]),
    shape("calls", calls),
    with("calls, fuel", calls, &["--fuel"]),
    shape("indirect calls", indirect_calls),
    shape("divisions", divisions),
    shape("traps", traps),
    shape("bulk operations", bulk),
    shape("selects", selects),
    shape("globals set", global_sets),
    shape("dead code", dead_code),
    shape("calls of a thousand values", wide_calls),
    shape("vectors", vectors),
    shape("nested try_tables", nested_tries),
    with("nested try_tables, fuel", nested_tries, &["--fuel"]),
    shape("calls in nested try_tables", calls_in_tries),
    shape("try_tables with many clauses", clauses),
    shape("throws in a try_table", throws),
    shape("text: nested parentheses", text_parens),
    shape("text: nested expressions", text_expressions),
    shape("text: long comment", text_comment),
    shape("text: long names", text_names),
];

fn repeat(n: usize, unit: &[u8]) -> Vec<u8> {
    unit.repeat(n.min(BODY) / unit.len())
}

fn each(n: usize, bytes: usize, mut item: impl FnMut(usize, &mut Vec<u8>)) -> Vec<u8> {
    let n = n.min(BODY);
    let mut out = Vec::with_capacity(n + 64);
    let mut i = 0;
    while out.len() + bytes <= n {
        item(i, &mut out);
        i += 1;
    }
    out
}

// Modules.

fn functions(n: usize) -> Vec<u8> {
    let n = (n / 4).min(999_000);
    many(&vec![body(&[], &[]); n])
}

fn functions_with_locals(n: usize) -> Vec<u8> {
    let n = (n / 9).min(999_000);
    many(&vec![body(&[(50_000 - 2, I64)], &[0x20, 0, 0x1a]); n])
}

fn functions_with_params(n: usize) -> Vec<u8> {
    let n = (n / 5).min(999_000);
    let params = [I32; 1000];
    Module::new()
        .section(1, &types(&[(&params, &params)]))
        .section(3, &vector(n, |_, out| out.push(0)))
        .code(&vec![body(&[], &[0]); n])
        .bytes()
}

fn large_functions(n: usize) -> Vec<u8> {
    let code = each(n / 16, 8, |i, out| {
        out.extend([0x20, 0, 0x20, 1, 0x6a, 0x21, (i % 2) as u8, 0x01]);
    });
    many(&vec![body(&[], &code); 16])
}

fn distinct_types(n: usize) -> Vec<u8> {
    let kinds = [I32, I64, 0x7d, F64];
    let list = vector((n / 13).min(999_000), |i, out| {
        out.extend([0x60, 10]);
        out.extend((0..10).map(|d| kinds[(i >> (2 * d)) & 3]));
        out.push(0);
    });
    Module::new().section(1, &list).bytes()
}

fn large_types(n: usize) -> Vec<u8> {
    let list = vector((n / 2006).max(1), |i, out| {
        let mut values = [I32; 1000];
        for (d, v) in values.iter_mut().take(24).enumerate() {
            *v = if (i >> d) & 1 == 0 { I64 } else { F64 };
        }
        out.push(0x60);
        for _ in 0..2 {
            leb(out, 1000);
            out.extend(values);
        }
    });
    Module::new().section(1, &list).bytes()
}

fn equal_types(n: usize) -> Vec<u8> {
    let list = vector((n / 3).min(999_000), |_, out| out.extend([0x60, 0, 0]));
    Module::new().section(1, &list).bytes()
}

fn imports(n: usize) -> Vec<u8> {
    let list = vector((n / 10).min(999_000), |i, out| {
        out.extend([1, b'e', 5]);
        out.extend(format!("{i:05x}").as_bytes().get(..5).unwrap());
        out.extend([0, 0]);
    });
    Module::new().section(1, &types(&[(&[], &[])])).section(2, &list).bytes()
}

fn exports(n: usize) -> Vec<u8> {
    let list = vector((n / 8).min(999_000), |i, out| {
        out.push(5);
        out.extend(format!("{i:05x}").as_bytes());
        out.extend([0, 0]);
    });
    Module::new()
        .section(1, &types(&[(&[], &[])]))
        .section(3, &[1, 0])
        .section(7, &list)
        .code(&[body(&[], &[])])
        .bytes()
}

fn long_names(n: usize) -> Vec<u8> {
    let name = "é".repeat(49_990);
    let list = vector((n / 200_000).max(1), |i, out| {
        for part in ["m", &format!("{i:05}")] {
            leb(out, (name.len() + part.len()) as u64);
            out.extend(name.as_bytes());
            out.extend(part.as_bytes());
        }
        out.extend([0, 0]);
    });
    Module::new().section(1, &types(&[(&[], &[])])).section(2, &list).bytes()
}

fn globals(n: usize) -> Vec<u8> {
    let list = vector((n / 5).min(999_000), |_, out| out.extend([I32, 1, 0x41, 0, END]));
    Module::new().section(6, &list).bytes()
}

fn constants(n: usize) -> Vec<u8> {
    let mut expr = [0x41, 0].to_vec();
    while expr.len() + 3 < n {
        expr.extend([0x41, 1, 0x6a]);
    }
    let mut global = [1, I32, 0].to_vec();
    global.extend(&expr);
    global.push(END);
    Module::new().section(6, &global).bytes()
}

fn with_elements(elements: &[u8]) -> Vec<u8> {
    Module::new()
        .section(1, &types(&[(&[], &[])]))
        .section(3, &[1, 0])
        .section(4, &[1, 0x70, 0, 10])
        .section(9, elements)
        .code(&[body(&[], &[])])
        .bytes()
}

fn element_items(n: usize) -> Vec<u8> {
    let mut list = [1, 1, 0].to_vec();
    list.extend(vector(n.min(9_990_000), |_, out| out.push(0)));
    with_elements(&list)
}

fn element_expressions(n: usize) -> Vec<u8> {
    let mut list = [1, 5, 0x70].to_vec();
    list.extend(vector(n / 3, |_, out| out.extend([0xd2, 0, END])));
    with_elements(&list)
}

fn element_segments(n: usize) -> Vec<u8> {
    let segment = [0, 0x41, 0, END, 1, 0];
    with_elements(&vector((n / 6).min(99_000), |_, out| out.extend(segment)))
}

fn with_data(pages: u64, datas: &[u8]) -> Vec<u8> {
    let mut memory = [1, 0].to_vec();
    leb(&mut memory, pages);
    Module::new().section(5, &memory).section(11, datas).bytes()
}

fn one_data(n: usize) -> Vec<u8> {
    let mut list = [1, 0, 0x41, 0, END].to_vec();
    list.extend(vector(n, |i, out| out.push(i as u8 | 1)));
    with_data(200, &list)
}

fn data(list: &mut Vec<u8>, at: u32, bytes: &[u8]) {
    list.extend([0, 0x41]);
    sleb(list, i64::from(at as i32));
    list.push(END);
    leb(list, bytes.len() as u64);
    list.extend(bytes);
}

fn scattered_data(n: usize) -> Vec<u8> {
    let n = (n / 10).min(99_000);
    let step = (65_536 * 65_536 / n as u64) as u32;
    with_data(65_536, &vector(n, |i, out| data(out, i as u32 * step, b"x")))
}

fn overlapping_data(n: usize) -> Vec<u8> {
    let bytes = vec![7; 65_000];
    with_data(1, &vector((n / 65_010).max(1), |_, out| data(out, 0, &bytes)))
}

fn custom_sections(n: usize) -> Vec<u8> {
    let mut m = Module::new();
    for _ in 0..n / 5 {
        m = m.custom("ab", &[]);
    }
    m.bytes()
}

fn name_section(n: usize) -> Vec<u8> {
    let names = vector(n / 6, |i, out| {
        leb(out, i as u64);
        out.extend([3, b'a', b'b', b'c']);
    });
    let mut section = [1].to_vec();
    leb(&mut section, names.len() as u64);
    section.extend(names);
    Module::new().custom("name", &section).bytes()
}

fn lying_count(n: usize) -> Vec<u8> {
    let mut list = num(u64::from(u32::MAX));
    list.extend(vec![0x60; n]);
    Module::new().section(1, &list).bytes()
}

// Functions.

fn straight(n: usize) -> Vec<u8> {
    one(&[], &repeat(n, &[0x20, 0, 0x20, 1, 0x6a, 0x21, 0]))
}

fn chain(n: usize) -> Vec<u8> {
    let mut code = [0x20, 0].to_vec();
    code.extend(each(n, 6, |i, out| {
        out.extend([0x41, (i % 60) as u8, [0x6a, 0x6c, 0x73, 0x6b][i % 4], 0x45, 0x67]);
    }));
    code.extend([0x21, 0]);
    one(&[], &code)
}

fn doubling(n: usize) -> Vec<u8> {
    one(&[], &repeat(n, &[0x20, 0, 0x20, 0, 0x6a, 0x22, 1, 0x20, 1, 0x6c, 0x21, 0]))
}

fn deep_stack(n: usize) -> Vec<u8> {
    let n = n.min(BODY) / 4;
    let mut code = Vec::with_capacity(n * 4);
    for _ in 0..n {
        code.extend([0x23, 0]);
    }
    code.extend(vec![0x6a; n - 1]);
    code.extend([0x24, 0]);
    one(&[], &code)
}

fn distinct_constants(n: usize) -> Vec<u8> {
    let mut code = [0x42, 0].to_vec();
    code.extend(each(n, 14, |i, out| {
        out.push(0x42);
        sleb(out, (i as i64).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64));
        out.push([0x85, 0x7c, 0x7e][i % 3]);
    }));
    code.extend([0xa7, 0x24, 0]);
    one(&[], &code)
}

fn float_constants(n: usize) -> Vec<u8> {
    let mut code = [0x20, 0, 0xb7].to_vec();
    code.extend(each(n, 11, |i, out| {
        out.push(0x44);
        out.extend((i as f64 + 0.5).to_le_bytes());
        out.push([0xa0, 0xa2][i % 2]);
    }));
    code.extend([0xaa, 0x24, 0]);
    one(&[], &code)
}

fn nest(n: usize, open: &[u8], inside: &[u8]) -> Vec<u8> {
    let depth = n.min(BODY) / (open.len() + 1);
    let mut code = open.repeat(depth);
    code.extend(inside);
    code.extend(vec![END; depth]);
    code
}

fn nested_blocks(n: usize) -> Vec<u8> {
    one(&[], &nest(n, &[0x02, 0x40], &[]))
}

fn nested_loops(n: usize) -> Vec<u8> {
    one(&[], &nest(n, &[0x03, 0x40], &[0x20, 0, 0x0d, 0]))
}

fn nested_ifs(n: usize) -> Vec<u8> {
    one(&[], &nest(n, &[0x20, 0, 0x04, 0x40], &[]))
}

fn loops_with_calls(n: usize) -> Vec<u8> {
    let unit = 2 + 7 + 5;
    let depth = n.min(BODY) / unit;
    let mut code = Vec::with_capacity(n);
    for _ in 0..depth {
        code.extend([0x03, 0x40, 0x20, 0, 0x04, 0x40, 0x10, 0, END]);
    }
    for _ in 0..depth {
        code.extend([0x20, 1, 0x0d, 0, END]);
    }
    one(&[], &code)
}

fn little_nests(n: usize) -> Vec<u8> {
    let depth = 30;
    let mut nest = Vec::new();
    for _ in 0..depth {
        nest.extend([0x03, 0x40, 0x20, 0, 0x04, 0x40, 0x10, 0, END]);
    }
    for _ in 0..depth {
        nest.extend([0x20, 1, 0x0d, 0, END]);
    }
    one(&[], &repeat(n, &nest))
}

fn loops_in_a_row(n: usize) -> Vec<u8> {
    let unit = [0x03, 0x40, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, END];
    one(&[], &repeat(n, &unit))
}

fn rotating(n: usize) -> Vec<u8> {
    let locals = 500;
    let code = each(n, 24, |i, out| {
        out.extend([0x03, 0x40, 0x20]);
        leb(out, (i % locals) as u64 + 2);
        out.push(0x21);
        leb(out, ((i * 7 + 1) % locals) as u64 + 2);
        out.extend([0x20, 0, 0x0d, 0, 0x20, 1, 0x04, 0x40, 0x20, 0, 0x21]);
        leb(out, ((i * 3) % locals) as u64 + 2);
        out.extend([END, END]);
    });
    one(&[(locals as u64, I32)], &code)
}

fn live_locals(n: usize) -> Vec<u8> {
    let locals = (n / 20).min(49_000);
    let mut code = Vec::new();
    for i in 0..locals {
        code.extend([0x23, 0, 0x21]);
        leb(&mut code, i as u64 + 2);
        code.extend([0x10, 0]);
    }
    let rest = n.min(BODY).saturating_sub(code.len());
    code.extend(each(rest, 12, |i, out| {
        out.extend([0x10, 0, 0x20]);
        leb(out, (i % locals) as u64 + 2);
        out.extend([0x24, 0]);
    }));
    one(&[(locals as u64, I32)], &code)
}

fn locals_times_branches(n: usize) -> Vec<u8> {
    let locals = 49_000;
    let code = each(n, 22, |i, out| {
        out.extend([0x20, 0, 0x04, 0x40, 0x23, 0, 0x21]);
        leb(out, (i * 31 % locals) as u64 + 2);
        out.extend([0x05, 0x23, 0, 0x21]);
        leb(out, (i * 17 % locals) as u64 + 2);
        out.push(END);
    });
    one(&[(locals as u64, I32)], &code)
}

fn branches_out(n: usize) -> Vec<u8> {
    let depth = n.min(BODY) / 12;
    let mut code = [0x02, 0x40].repeat(depth);
    for i in 0..depth {
        code.extend([0x20, 0, 0x0d]);
        leb(&mut code, (i * 7919 % depth) as u64);
    }
    for _ in 0..depth {
        code.extend([0x10, 0, END]);
    }
    one(&[], &code)
}

fn br_tables(n: usize) -> Vec<u8> {
    let targets = 60_000.min(n - 100);
    let mut code = Vec::new();
    while code.len() + targets + 100 < n.min(BODY) {
        code.extend([0x02, 0x40, 0x02, 0x40, 0x20, 0, 0x0e]);
        leb(&mut code, targets as u64);
        code.extend((0..targets).map(|i| (i % 2) as u8));
        code.extend([0, END, END]);
    }
    one(&[], &code)
}

fn distinct_targets(n: usize) -> Vec<u8> {
    let depth = (n.min(BODY) / 7).min(50_000);
    let mut code = [0x02, 0x40].repeat(depth);
    let rest = n.min(BODY).saturating_sub(7 * depth);
    for _ in 0..1 + rest / (4 * depth + 10) {
        code.extend([0x20, 1, 0x04, 0x40, 0x20, 0, 0x0e]);
        leb(&mut code, depth as u64);
        (0..=depth).for_each(|i| leb(&mut code, i as u64));
        code.push(END);
    }
    for _ in 0..depth {
        code.extend([0x10, 0, END]);
    }
    one(&[], &code)
}

fn br_tables_with_operands(n: usize) -> Vec<u8> {
    let wide = [I32; 100];
    let depth = 500;
    let mut code = [0x02, 2].repeat(depth);
    while code.len() + 2000 < n.min(BODY) {
        code.extend([0x20, 0, 0x04, 2]);
        (0..100).for_each(|_| code.extend([0x20, 1]));
        code.extend([0x20, 0, 0x0e]);
        leb(&mut code, depth as u64);
        (0..=depth).for_each(|i| leb(&mut code, i as u64));
        code.push(0x05);
        (0..100).for_each(|_| code.extend([0x20, 1]));
        code.push(END);
        code.extend([0x1a].repeat(100));
    }
    code.push(0);
    for _ in 0..depth {
        code.extend([0x1a].repeat(100));
        code.push(0);
        code.push(END);
    }
    code.extend([0x1a].repeat(100));
    Module::new()
        .section(1, &types(&[(&[], &[]), (&[I32, I32], &[]), (&[], &wide)]))
        .section(3, &[1, 1])
        .code(&[body(&[], &code)])
        .bytes()
}

fn accesses(n: usize) -> Vec<u8> {
    one(
        &[],
        &each(n, 16, |i, out| {
            out.extend([0x20, 0, 0x20, 1, 0x28, 2]);
            leb(out, i as u64 * 8);
            out.extend([0x36, 2]);
            leb(out, i as u64 * 12);
        }),
    )
}

fn calls(n: usize) -> Vec<u8> {
    one(&[], &repeat(n, &[0x10, 0]))
}

fn indirect_calls(n: usize) -> Vec<u8> {
    one(&[], &repeat(n, &[0x20, 0, 0x20, 1, 0x20, 0, 0x11, 1, 0]))
}

fn divisions(n: usize) -> Vec<u8> {
    one(&[], &repeat(n, &[0x20, 0, 0x20, 1, 0x6d, 0x22, 0, 0x20, 1, 0x6f, 0x21, 1]))
}

fn traps(n: usize) -> Vec<u8> {
    one(&[], &repeat(n, &[0x20, 0, 0x04, 0x40, 0x00, END]))
}

fn bulk(n: usize) -> Vec<u8> {
    one(&[], &repeat(n, &[0x20, 0, 0x20, 1, 0x20, 0, 0xfc, 0x0b, 0]))
}

fn selects(n: usize) -> Vec<u8> {
    one(&[], &repeat(n, &[0x20, 0, 0x20, 1, 0x20, 0, 0x20, 1, 0x48, 0x1b, 0x21, 0]))
}

fn global_sets(n: usize) -> Vec<u8> {
    one(&[], &repeat(n, &[0x23, 0, 0x41, 1, 0x6a, 0x24, 0]))
}

fn dead_code(n: usize) -> Vec<u8> {
    let mut code = [0x00].to_vec();
    code.extend(nest(n - 1, &[0x02, 0x40], &[]));
    one(&[], &code)
}

fn wide_calls(n: usize) -> Vec<u8> {
    let wide = [I32; 1000];
    let code = [[0x10, 0].to_vec(), repeat(n, &[0x10, 1]), [0x1a].repeat(1000)].concat();
    Module::new()
        .section(1, &types(&[(&[], &[]), (&[], &wide), (&wide, &wide)]))
        .section(2, &vector(2, |i, out| out.extend([1, b'e', 1, b'f', 0, i as u8 + 1])))
        .section(3, &[1, 0])
        .code(&[body(&[], &code)])
        .bytes()
}

fn vectors(n: usize) -> Vec<u8> {
    // Shifts of bytes and saturating conversions, whose results are used.
    let unit = [0x20, 2, 0x20, 0, 0xfd, 0x6b, 0xfd, 0xf9, 0x01, 0x21, 2];
    let code = [repeat(n, &unit), [0x20, 2, 0xfd, 0x1b, 0, 0x24, 0].to_vec()].concat();
    one(&[(1, 0x7b)], &code)
}

// Exceptions: tag 0 is that of the module, without values.

fn with_tag(code: &[u8]) -> Vec<u8> {
    Module::new()
        .section(1, &types(&[(&[], &[]), (&[I32, I32], &[])]))
        .section(2, &[1, 1, b'e', 1, b'f', 0, 0])
        .section(3, &[1, 1])
        .section(13, &[1, 0, 0])
        .code(&[body(&[], code)])
        .bytes()
}

fn nested_tries(n: usize) -> Vec<u8> {
    // Each is left to the one around it, unless the tag is its own.
    let open = [0x02, 0x40, 0x1f, 0x40, 1, 0, 0, 0, 0x10, 0];
    let depth = (n.min(BODY) / (open.len() + 2)).min(24_000);
    with_tag(&[open.repeat(depth), vec![END; 2 * depth]].concat())
}

fn calls_in_tries(n: usize) -> Vec<u8> {
    let depth = (n.min(BODY) / 8).min(49_000);
    let open = [0x1f, 0x40, 0].repeat(depth);
    let rest = n.min(BODY).saturating_sub(4 * depth);
    with_tag(&[open, [0x10, 0].repeat(rest / 2), vec![END; depth]].concat())
}

fn clauses(n: usize) -> Vec<u8> {
    let number = 9_999;
    let mut unit = [0x02, 0x40, 0x1f, 0x40].to_vec();
    leb(&mut unit, number as u64);
    unit.extend([0, 0, 0].repeat(number));
    unit.extend([0x10, 0, END, END]);
    with_tag(&repeat(n.max(unit.len()), &unit))
}

fn throws(n: usize) -> Vec<u8> {
    let inside = repeat(n, &[0x20, 0, 0x04, 0x40, 0x08, 0, END]);
    with_tag(&[&[0x02, 0x40, 0x1f, 0x40, 1, 2, 0][..], &inside, &[END, END]].concat())
}

// Texts.

fn text_parens(n: usize) -> Vec<u8> {
    let mut text = b"(module ".to_vec();
    text.extend(b"(func ".repeat(n / 6));
    text
}

fn text_expressions(n: usize) -> Vec<u8> {
    let depth = n / 11;
    format!(
        "(module (func (drop {}(i32.const 0){})))",
        "(i32.eqz ".repeat(depth),
        ")".repeat(depth)
    )
    .into_bytes()
}

fn text_comment(n: usize) -> Vec<u8> {
    let depth = n / 4;
    format!("(module {}{})", "(;".repeat(depth), ";)".repeat(depth)).into_bytes()
}

fn text_names(n: usize) -> Vec<u8> {
    let mut text = String::from("(module ");
    let mut i = 0;
    while text.len() + 40 < n {
        text.push_str(&format!("(func $f{i} (export \"{i}\") call $f{i})"));
        i += 1;
    }
    text.push(')');
    text.into_bytes()
}
