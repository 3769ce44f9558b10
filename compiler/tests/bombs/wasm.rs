//! Writes wasm modules by hand: what a bomb is made of, no assembler would write.

/// Appends an unsigned LEB128 number.
pub fn leb(out: &mut Vec<u8>, mut n: u64) {
    loop {
        let byte = (n & 0x7f) as u8;
        n >>= 7;
        out.push(if n == 0 { byte } else { byte | 0x80 });
        if n == 0 {
            return;
        }
    }
}

/// An unsigned LEB128 number.
pub fn num(n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    leb(&mut out, n);
    out
}

/// Appends a signed LEB128 number.
pub fn sleb(out: &mut Vec<u8>, mut n: i64) {
    loop {
        let byte = (n & 0x7f) as u8;
        n >>= 7;
        let done = (n == 0 && byte & 0x40 == 0) || (n == -1 && byte & 0x40 != 0);
        out.push(if done { byte } else { byte | 0x80 });
        if done {
            return;
        }
    }
}

/// A vector of `n` items: their number, then `item(i)` each.
pub fn vector(n: usize, mut item: impl FnMut(usize, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = num(n as u64);
    for i in 0..n {
        item(i, &mut out);
    }
    out
}

/// A module of sections.
#[derive(Clone)]
pub struct Module(Vec<u8>);

impl Module {
    /// An empty module.
    pub fn new() -> Self {
        Self(b"\0asm\x01\0\0\0".to_vec())
    }

    /// Adds a section.
    pub fn section(mut self, id: u8, contents: &[u8]) -> Self {
        self.0.push(id);
        leb(&mut self.0, contents.len() as u64);
        self.0.extend_from_slice(contents);
        self
    }

    /// Adds a custom section.
    pub fn custom(self, name: &str, contents: &[u8]) -> Self {
        let mut all = num(name.len() as u64);
        all.extend_from_slice(name.as_bytes());
        all.extend_from_slice(contents);
        self.section(0, &all)
    }

    /// Adds a code section with these bodies.
    pub fn code(self, bodies: &[Vec<u8>]) -> Self {
        let contents = vector(bodies.len(), |i, out| {
            leb(out, bodies[i].len() as u64);
            out.extend_from_slice(&bodies[i]);
        });
        self.section(10, &contents)
    }

    /// The bytes.
    pub fn bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A body: groups of locals `(number, type)`, then code, to which `end` is added.
pub fn body(locals: &[(u64, u8)], code: &[u8]) -> Vec<u8> {
    let mut out = vector(locals.len(), |i, out| {
        leb(out, locals[i].0);
        out.push(locals[i].1);
    });
    out.extend_from_slice(code);
    out.push(END);
    out
}

pub const I32: u8 = 0x7f;
pub const I64: u8 = 0x7e;
pub const F64: u8 = 0x7c;
pub const END: u8 = 0x0b;

/// The type section of functions with these parameters and results.
pub fn types(list: &[(&[u8], &[u8])]) -> Vec<u8> {
    vector(list.len(), |i, out| {
        out.push(0x60);
        for part in [list[i].0, list[i].1] {
            leb(out, part.len() as u64);
            out.extend_from_slice(part);
        }
    })
}

/// A module with one function `(param i32 i32) (result)` of these locals and this code. There are
/// an imported function 0 `() -> ()` before it, a memory, a table and a global `(mut i32)`.
pub fn one(locals: &[(u64, u8)], code: &[u8]) -> Vec<u8> {
    many(&[body(locals, code)])
}

/// The same with several functions.
pub fn many(bodies: &[Vec<u8>]) -> Vec<u8> {
    let functions = vector(bodies.len(), |_, out| out.push(1));
    Module::new()
        .section(1, &types(&[(&[], &[]), (&[I32, I32], &[])]))
        .section(2, &[1, 1, b'e', 1, b'f', 0, 0])
        .section(3, &functions)
        .section(4, &[1, 0x70, 0, 10])
        .section(5, &[1, 0, 1])
        .section(6, &[1, I32, 1, 0x41, 0, END])
        .code(bodies)
        .bytes()
}
