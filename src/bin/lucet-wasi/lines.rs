//! From an offset in a wasm file to file and line: the line-number table that compilers write with
//! `-g` (DWARF 5, section 6.2; versions 2 to 5 are read).
//!
//! ```text
//!  wasm file ──► section .debug_line ──► units ──► programs ──► rows (address, file, line)
//!       └─────► code section: addresses count from its first byte
//! ```
//!
//! Nothing is kept: whoever asks has a program that trapped, and time. The bytes are a stranger's,
//! so each read is checked, and what makes no sense is no answer.

/// Bytes that are read one after the other.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    /// A number of `n` bytes, at most 8.
    fn number(&mut self, n: usize) -> Option<u64> {
        let bytes = self.take(n)?;
        Some(bytes.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b)))
    }

    fn u8(&mut self) -> Option<u8> {
        self.number(1).map(|n| n as u8)
    }

    /// Unsigned LEB128; bits beyond the 64th are lost.
    fn uleb(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0u64, 0u32);
        loop {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            shift = shift.saturating_add(7);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
    }

    /// Signed LEB128.
    fn sleb(&mut self) -> Option<i64> {
        let (mut value, mut shift) = (0i64, 0u32);
        loop {
            let byte = self.u8()?;
            value |= i64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            shift = shift.saturating_add(7);
            if byte & 0x80 == 0 {
                let sign = byte & 0x40 != 0 && shift < 64;
                return Some(if sign { value | -1i64 << shift } else { value });
            }
        }
    }

    /// Up to the next NUL.
    fn text(&mut self) -> Option<&'a [u8]> {
        let at = self.0.iter().position(|b| *b == 0)?;
        let text = self.take(at)?;
        self.take(1)?;
        Some(text)
    }
}

/// The parts of a wasm file that are needed.
#[derive(Default)]
struct Sections<'a> {
    /// Offset of the code section's contents in the file.
    code: Option<usize>,
    line: &'a [u8],
    line_str: &'a [u8],
    str: &'a [u8],
}

fn sections(wasm: &[u8]) -> Option<Sections<'_>> {
    let mut rest = Bytes(wasm);
    let mut found = Sections::default();
    if rest.take(8)? != b"\0asm\x01\0\0\0" {
        return None;
    }
    while let Some(id) = rest.u8() {
        let len = usize::try_from(rest.uleb()?).ok()?;
        let start = wasm.len() - rest.0.len();
        let mut contents = Bytes(rest.take(len)?);
        match id {
            0 => {
                let len = usize::try_from(contents.uleb()?).ok()?;
                match contents.take(len)? {
                    b".debug_line" => found.line = contents.0,
                    b".debug_line_str" => found.line_str = contents.0,
                    b".debug_str" => found.str = contents.0,
                    _ => {}
                }
            }
            10 => found.code = Some(start),
            _ => {}
        }
    }
    Some(found)
}

/// The head of a unit.
struct Unit<'a> {
    version: u64,
    min_length: u64,
    line_base: i64,
    line_range: u64,
    /// How many operands each standard opcode has.
    operands: &'a [u8],
    directories: Vec<&'a [u8]>,
    /// Name and directory.
    files: Vec<(&'a [u8], u64)>,
    program: Bytes<'a>,
}

/// A file or directory in version 5: values by format.
fn entry<'a>(
    from: &mut Bytes<'a>,
    formats: &[(u64, u64)],
    all: &Sections<'a>,
) -> Option<(&'a [u8], u64)> {
    let at = |section: &'a [u8], offset: u64| {
        Bytes(section.get(usize::try_from(offset).ok()?..)?).text()
    };
    let (mut name, mut directory) = (&b""[..], 0);
    for (content, form) in formats {
        let (mut text, mut number) = (&b""[..], 0);
        match form {
            0x08 => text = from.text()?,
            0x1f => text = at(all.line_str, from.number(4)?)?,
            0x0e => text = at(all.str, from.number(4)?)?,
            0x0b => number = from.number(1)?,
            0x05 => number = from.number(2)?,
            0x06 => number = from.number(4)?,
            0x07 => number = from.number(8)?,
            0x0f => number = from.uleb()?,
            0x1e => drop(from.take(16)?),
            0x09 => {
                let len = usize::try_from(from.uleb()?).ok()?;
                from.take(len)?;
            }
            _ => return None,
        }
        match content {
            1 => name = text,
            2 => directory = number,
            _ => {}
        }
    }
    Some((name, directory))
}

fn table<'a>(from: &mut Bytes<'a>, all: &Sections<'a>) -> Option<Vec<(&'a [u8], u64)>> {
    let mut formats = Vec::new();
    for _ in 0..from.u8()? {
        formats.push((from.uleb()?, from.uleb()?));
    }
    let count = from.uleb()?;
    if formats.is_empty() || count > from.0.len() as u64 {
        return (count == 0).then(Vec::new);
    }
    (0..count).map(|_| entry(from, &formats, all)).collect()
}

/// The next unit: its head and its program.
fn unit<'a>(rest: &mut Bytes<'a>, all: &Sections<'a>) -> Option<Option<Unit<'a>>> {
    let len = rest.number(4)?;
    // The long form is for files of more than 4 GiB.
    let mut from = Bytes(rest.take(usize::try_from(len).ok()?)?);
    Some(head(&mut from, all))
}

fn head<'a>(from: &mut Bytes<'a>, all: &Sections<'a>) -> Option<Unit<'a>> {
    let version = from.number(2)?;
    if !(2..=5).contains(&version) {
        return None;
    }
    if version == 5 {
        from.take(2)?;
    }
    let len = usize::try_from(from.number(4)?).ok()?;
    let mut header = Bytes(from.take(len)?);
    let h = &mut header;
    let min_length = h.number(1)?;
    if version >= 4 {
        h.u8()?;
    }
    h.u8()?;
    let line_base = i64::from(h.u8()? as i8);
    let line_range = h.number(1)?;
    let operands = usize::from(h.u8()?).checked_sub(1).filter(|_| line_range != 0)?;
    let operands = h.take(operands)?;
    let (mut directories, mut files) = (Vec::new(), Vec::new());
    if version == 5 {
        directories = table(h, all)?.into_iter().map(|(name, _)| name).collect();
        files = table(h, all)?;
    } else {
        // Number 0 is where the compiler ran, which stands elsewhere.
        directories.push(&b""[..]);
        files.push((&b""[..], 0));
        while let Some(name) = Some(h.text()?).filter(|n| !n.is_empty()) {
            directories.push(name);
        }
        while let Some(name) = Some(h.text()?).filter(|n| !n.is_empty()) {
            files.push((name, h.uleb()?));
            h.uleb()?;
            h.uleb()?;
        }
    }
    let program = *from;
    Some(Unit { version, min_length, line_base, line_range, operands, directories, files, program })
}

/// One row of the table.
#[derive(Clone, Copy)]
struct Row {
    address: u64,
    file: u64,
    line: i64,
}

impl Unit<'_> {
    /// File and line of the code at `target`.
    fn find(&self, target: u64) -> Option<(u64, i64)> {
        const BEGIN: Row = Row { address: 0, file: 1, line: 1 };
        let opcode_base = self.operands.len() as u64 + 1;
        let mut p = self.program;
        let (mut now, mut before): (Row, Option<Row>) = (BEGIN, None);
        let advance = |by: u64| by.wrapping_mul(self.min_length);
        while let Some(op) = p.u8() {
            let mut row = false;
            let mut end = false;
            match u64::from(op) {
                0 => {
                    let len = usize::try_from(p.uleb()?).ok()?;
                    let mut x = Bytes(p.take(len)?);
                    match x.u8() {
                        Some(1) => (row, end) = (true, true),
                        Some(2) => now.address = x.number(x.0.len().min(8))?,
                        _ => {}
                    }
                }
                op if op >= opcode_base => {
                    let by = op - opcode_base;
                    now.address = now.address.wrapping_add(advance(by / self.line_range));
                    let lines = self.line_base + (by % self.line_range) as i64;
                    now.line = now.line.wrapping_add(lines);
                    row = true;
                }
                1 => row = true,
                2 => now.address = now.address.wrapping_add(advance(p.uleb()?)),
                3 => now.line = now.line.wrapping_add(p.sleb()?),
                4 => now.file = p.uleb()?,
                8 => {
                    let by = advance((255 - opcode_base) / self.line_range);
                    now.address = now.address.wrapping_add(by);
                }
                9 => now.address = now.address.wrapping_add(p.number(2)?),
                op => {
                    for _ in 0..self.operands.get(op as usize - 1).copied().unwrap_or(0) {
                        p.uleb()?;
                    }
                }
            }
            if row {
                // What begins at 0 is code that the linker left out.
                if let Some(b) = before.filter(|b| b.address != 0)
                    && (b.address..now.address).contains(&target)
                {
                    return Some((b.file, b.line));
                }
                before = Some(now);
            }
            if end {
                (now, before) = (BEGIN, None);
            }
        }
        None
    }

    /// The name of a file, with its directory as far as it is known.
    fn name(&self, file: u64) -> Option<String> {
        let (name, directory) = *self.files.get(usize::try_from(file).ok()?)?;
        let directory = self.directories.get(usize::try_from(directory).ok()?).copied();
        // In version 5 as well, number 0 is where the compiler ran: nobody needs to read that.
        let zero = directory == self.directories.first().copied() && self.version == 5;
        let whole = match directory {
            Some(d) if !d.is_empty() && !zero && !name.starts_with(b"/") => {
                [d, &b"/"[..], name].concat()
            }
            _ => name.to_vec(),
        };
        let shown = String::from_utf8_lossy(&whole);
        let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        Some(shown.chars().map(printable).take(1000).collect())
    }
}

/// `file:line` of what stands at `offset` in a wasm file, if the file says so.
pub fn find(wasm: &[u8], offset: u32) -> Option<String> {
    let all = sections(wasm)?;
    let target = u64::from(offset).checked_sub(all.code? as u64)?;
    let mut rest = Bytes(all.line);
    while let Some(unit) = unit(&mut rest, &all) {
        let Some(unit) = unit else { continue };
        if let Some((file, line)) = unit.find(target).filter(|(_, line)| *line > 0) {
            return Some(format!("{}:{line}", unit.name(file)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code at 0x10 of line 10, at 0x14 of line 11, to 0x1c.
    const PROGRAM: [u8; 18] =
        [0, 5, 2, 0x10, 0, 0, 0, 3, 9, 1, 13 + 6 + 14 * 4, 2, 8, 0, 1, 1, 0, 0];

    /// A table of this version, of which the header ends with `tables`.
    fn table(version: u16, tables: &[u8]) -> Vec<u8> {
        let address = if version == 5 { &[4, 0][..] } else { &[] };
        let fixed = [1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];
        let fixed = if version < 4 { [&fixed[..1], &fixed[2..]].concat() } else { fixed.to_vec() };
        let header = [&fixed, tables].concat();
        let program = &PROGRAM[..16];
        let len = header.len() as u32;
        let unit =
            [&version.to_le_bytes()[..], address, &len.to_le_bytes(), &header, program].concat();
        [&(unit.len() as u32).to_le_bytes()[..], &unit].concat()
    }

    /// A module with 100 bytes of code and this table; offset of the code.
    fn module(table: &[u8]) -> (Vec<u8>, u32) {
        let mut wasm = b"\0asm\x01\0\0\0".to_vec();
        wasm.extend([10, 100]);
        let code = wasm.len() as u32;
        wasm.extend([0; 100]);
        wasm.extend([0, 12 + table.len() as u8, 11]);
        wasm.extend(b".debug_line");
        wasm.extend(table);
        (wasm, code)
    }

    const OLD: &[u8] = b"src\0\0a.c\0\x01\0\0\0";
    const NEW: &[u8] = b"\x01\x01\x08\x01/comp\0\x02\x01\x08\x02\x0b\x02z.c\0\0a.c\0\0";

    #[test]
    fn addresses_have_lines() {
        for (version, tables, name) in
            [(2, OLD, "src/a.c"), (3, OLD, "src/a.c"), (4, OLD, "src/a.c"), (5, NEW, "a.c")]
        {
            let (wasm, code) = module(&table(version, tables));
            let at = |address: u32| find(&wasm, code + address);
            assert_eq!(at(0x0f), None);
            assert_eq!(at(0x10), Some(format!("{name}:10")), "version {version}");
            assert_eq!(at(0x13), Some(format!("{name}:10")));
            assert_eq!(at(0x14), Some(format!("{name}:11")));
            assert_eq!(at(0x1b), Some(format!("{name}:11")));
            assert_eq!(at(0x1c), None);
            assert_eq!(find(&wasm, 0), None);
            assert_eq!(find(&wasm, u32::MAX), None);
        }
    }

    #[test]
    fn damaged_tables_are_no_answer() {
        for (version, tables) in [(4, OLD), (5, NEW)] {
            let whole = table(version, tables);
            for n in 0..whole.len() {
                let (wasm, code) = module(&whole[..n]);
                assert_eq!(find(&wasm, code + 0x10), None);
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut changed = whole.clone();
                    changed[n] = value;
                    let (wasm, code) = module(&changed);
                    // Any answer will do, but there is one.
                    let _ = find(&wasm, code + 0x10);
                }
            }
        }
        for n in 0..60 {
            let (wasm, code) = module(&table(4, OLD));
            let _ = find(&wasm[..wasm.len() - n], code + 0x10);
            let _ = find(&wasm[..n], code + 0x10);
        }
    }
}
