//! What is known about `.text`: functions, trap sites, where exceptions are caught, the way back
//! from a pc to the wasm file, and hints for a verifier. Sections `.lucet.funcs`, `.lucet.traps`,
//! `.lucet.handlers`, `.lucet.pcmap`, `.lucet.hints`.

use crate::abi::TrapCode;
use crate::codec::{DecodeError, EncodeError, Reader, Writer};
use crate::limits;
use crate::types::NO_CODE;

/// "This function has no reference index": it can be called directly only.
pub const NO_REF: u32 = u32::MAX;

/// One function of the module's index space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FuncRecord {
    /// Offset in `.text`; for an imported function the offset of its *import stub* (a function in
    /// the guest's convention that calls the import), or [`NO_CODE`] if nothing refers to it.
    pub offset: u32,
    /// Bytes of code, constants and jump tables included; 0 without code.
    pub size: u32,
    /// Index into `.lucet.types`.
    pub ty: u32,
    /// Offset of the function's name in `.strtab`.
    pub name: u32,
    /// Dense index of its function descriptor, or [`NO_REF`].
    pub reference: u32,
    /// Hint for a verifier: bytes of stack the function allocates. Not trusted.
    pub frame: u32,
    /// Hint for a verifier: bytes of stack arguments it pops on return. Not trusted.
    pub pops: u32,
    /// Offset of its rows in the pc map.
    pub pcmap: u32,
}

/// Section `.lucet.funcs`: one 32-byte record per function, imported ones first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FuncTable {
    /// The records.
    pub funcs: Vec<FuncRecord>,
}

impl FuncTable {
    /// Number of function descriptors: one more than the largest reference index.
    #[must_use]
    pub fn references(&self) -> u32 {
        self.funcs.iter().filter(|f| f.reference != NO_REF).count() as u32
    }

    /// Encodes the section.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut w = Writer::new();
        w.count(self.funcs.len(), limits::MAX_FUNCTIONS, "number of functions")?;
        for f in &self.funcs {
            for v in [f.offset, f.size, f.ty, f.name, f.reference, f.frame, f.pops, f.pcmap] {
                w.u32(v);
            }
        }
        Ok(w.into_bytes())
    }

    /// Decodes the section: `text_len` bytes of code, `types` types, `pcmap_len` bytes of rows and
    /// `strtab_len` bytes of names. Defined functions must ascend without overlap; reference
    /// indices must be dense in function order.
    pub fn decode(
        bytes: &[u8],
        text_len: u64,
        types: usize,
        strtab_len: u64,
        pcmap_len: u64,
        imported: u32,
    ) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let n = r.count(limits::MAX_FUNCTIONS, 32, "number of functions")?;
        let mut funcs = Vec::with_capacity(n);
        let (mut refs, mut next) = (0u32, 0u64);
        for i in 0..n {
            let at = r.pos();
            let f = FuncRecord {
                offset: r.u32("function offset")?,
                size: r.u32("function size")?,
                ty: r.index(types, "function type")?,
                name: r.u32("function name")?,
                reference: r.u32("reference index")?,
                frame: r.u32("frame hint")?,
                pops: r.u32("pops hint")?,
                pcmap: r.u32("pc map offset")?,
            };
            let bad = |what, found| Err(DecodeError::Invalid { what, at, found });
            let import = (i as u64) < u64::from(imported);
            if f.offset == NO_CODE {
                if !import || f.size != 0 {
                    return bad("function without code", i as u64);
                }
            } else {
                let (start, end) = (u64::from(f.offset), u64::from(f.offset) + u64::from(f.size));
                if f.size == 0 || end > text_len || start % 32 != 0 || (!import && start < next) {
                    return bad("function offset", start);
                }
                if !import {
                    next = end;
                }
            }
            if u64::from(f.name) >= strtab_len.max(1) {
                return bad("function name", f.name.into());
            }
            if u64::from(f.pcmap) > pcmap_len {
                return bad("pc map offset", f.pcmap.into());
            }
            if f.reference != NO_REF {
                if f.reference != refs || f.offset == NO_CODE {
                    return bad("reference index", f.reference.into());
                }
                refs += 1;
            }
            funcs.push(f);
        }
        r.finish()?;
        Ok(Self { funcs })
    }
}

/// Section `.lucet.traps`: every pc at which a trap may be raised, ascending, with its code.
///
/// Encoded as a count, then all offsets (`u32`), then all codes (`u8`), so that the signal handler
/// searches it in place without allocating.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrapTable {
    /// `(offset in .text, code)`, offsets strictly ascending.
    pub sites: Vec<(u32, TrapCode)>,
}

impl TrapTable {
    /// Encodes the section.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut w = Writer::new();
        w.count(self.sites.len(), limits::MAX_TRAP_SITES, "number of trap sites")?;
        for (at, _) in &self.sites {
            w.u32(*at);
        }
        for (_, code) in &self.sites {
            w.u8(*code as u8);
        }
        Ok(w.into_bytes())
    }

    /// Decodes the section for a `.text` of `text_len` bytes.
    pub fn decode(bytes: &[u8], text_len: u64) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let n = r.count(limits::MAX_TRAP_SITES, 5, "number of trap sites")?;
        let mut sites = Vec::with_capacity(n);
        let offsets_at = r.pos();
        let offsets = r.take(n * 4, "trap sites")?;
        let codes_at = r.pos();
        let codes = r.take(n, "trap codes")?;
        let mut last = None;
        for (i, (o, c)) in offsets.chunks_exact(4).zip(codes).enumerate() {
            let o = u32::from_le_bytes([o[0], o[1], o[2], o[3]]);
            if u64::from(o) >= text_len || last.is_some_and(|l| l >= o) {
                let (what, at) = ("trap site", offsets_at + 4 * i);
                return Err(DecodeError::Invalid { what, at, found: o.into() });
            }
            last = Some(o);
            let code = TrapCode::from_u8(*c).ok_or(DecodeError::Invalid {
                what: "trap code",
                at: codes_at + i,
                found: u64::from(*c),
            })?;
            sites.push((o, code));
        }
        r.finish()?;
        Ok(Self { sites })
    }
}

/// A call that may be left by an exception which its function catches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handler {
    /// Offset in `.text` of the call's return address.
    pub call: u32,
    /// Offset in `.text` where the function goes on if the call is left by an exception.
    pub target: u32,
    /// Distance from the function's frame pointer down to its stack pointer, in bytes.
    pub frame: u32,
}

/// Section `.lucet.handlers`: all such calls, ascending. The unwinder looks return addresses up in
/// it. Encoded as a count, then 12 bytes each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HandlerTable {
    /// The calls, return addresses strictly ascending.
    pub handlers: Vec<Handler>,
}

impl HandlerTable {
    /// Encodes the section.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut w = Writer::new();
        w.count(self.handlers.len(), limits::MAX_HANDLERS, "number of handlers")?;
        for h in &self.handlers {
            w.u32(h.call);
            w.u32(h.target);
            w.u32(h.frame);
        }
        Ok(w.into_bytes())
    }

    /// Decodes the section. Both addresses of each handler must lie in the same one of the own
    /// functions of `funcs`, of which `imported` are imported: nothing else catches.
    pub fn decode(bytes: &[u8], funcs: &FuncTable, imported: usize) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let n = r.count(limits::MAX_HANDLERS, 12, "number of handlers")?;
        let mut handlers = Vec::with_capacity(n);
        let mut own = funcs.funcs.get(imported..).unwrap_or_default();
        let mut last = 0;
        for _ in 0..n {
            let at = r.pos();
            let bad =
                |what, found: u32| Err(DecodeError::Invalid { what, at, found: found.into() });
            let h = Handler {
                call: r.u32("call with a handler")?,
                target: r.u32("handler")?,
                frame: r.u32("frame of a handler")?,
            };
            // Functions ascend as calls do: the first one that ends behind the call holds it.
            let end = |f: &FuncRecord| u64::from(f.offset) + u64::from(f.size);
            while own.first().is_some_and(|f| end(f) <= h.call.into()) {
                own = own.get(1..).unwrap_or_default();
            }
            // Behind a call lies at least what it returns to, and before it at least the call.
            let inside =
                |f: &&FuncRecord, offset: u32| f.offset < offset && u64::from(offset) < end(f);
            let f = own.first().filter(|f| inside(f, h.call));
            if h.call <= last || f.is_none() {
                return bad("call with a handler", h.call);
            }
            if f.is_none_or(|f| !inside(&f, h.target)) {
                return bad("handler", h.target);
            }
            if !h.frame.is_multiple_of(8) {
                return bad("frame of a handler", h.frame);
            }
            last = h.call;
            handlers.push(h);
        }
        r.finish()?;
        Ok(Self { handlers })
    }
}

/// One row of the pc map: from `pc` (relative to the function) on, code belongs to the operator at
/// `wasm` (offset in the wasm file).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PcRow {
    /// Offset from the start of the function.
    pub pc: u32,
    /// Offset in the wasm file, or [`NO_CODE`] for code that belongs to no operator.
    pub wasm: u32,
}

/// Section `.lucet.pcmap`: per function a row count and its rows, delta-encoded in LEB128 (about
/// two bytes a row). Rows are only looked at after a trap or for a backtrace, so a bad row costs a
/// wrong offset in a message and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PcMap {
    bytes: Vec<u8>,
}

impl PcMap {
    /// An empty map.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a function's rows, ascending by `pc`; returns the offset for its record.
    pub fn push(&mut self, rows: &[PcRow]) -> u32 {
        let at = self.bytes.len() as u32;
        let mut w = Writer::new();
        w.uleb32(rows.len() as u32);
        let (mut pc, mut wasm) = (0u32, 0u32);
        for row in rows {
            w.uleb32(row.pc.wrapping_sub(pc));
            w.sleb32(row.wasm.wrapping_sub(wasm) as i32);
            (pc, wasm) = (row.pc, row.wasm);
        }
        self.bytes.extend_from_slice(&w.into_bytes());
        at
    }

    /// The encoded section.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The wasm offset of `pc` in the function whose rows start at `at` of the encoded `section`.
    /// Looks at no more rows than there are bytes of code before `pc`, whatever their number says.
    #[must_use]
    pub fn lookup(section: &[u8], at: u32, pc: u32) -> Option<u32> {
        let mut r = Reader::new(section.get(at as usize..)?);
        let n = r.uleb32("row count").ok()?;
        let (mut row_pc, mut wasm, mut found) = (0u32, 0u32, None);
        for i in 0..n {
            let more = r.uleb32("pc").ok()?;
            if i > 0 && more == 0 {
                return None;
            }
            row_pc = row_pc.checked_add(more)?;
            wasm = wasm.wrapping_add(r.sleb32("wasm offset").ok()? as u32);
            if row_pc > pc {
                break;
            }
            found = Some(wasm);
        }
        found.filter(|w| *w != NO_CODE)
    }
}

/// Section `.lucet.hints`: ranges inside functions that hold constants or jump tables instead of
/// instructions. A verifier must not trust them; nothing else reads them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hints {
    /// `(offset in .text, length)`, ascending without overlap.
    pub data: Vec<(u32, u32)>,
}

impl Hints {
    /// Encodes the section.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut w = Writer::new();
        w.count(self.data.len(), limits::MAX_HINTS, "number of hints")?;
        for (at, len) in &self.data {
            w.u32(*at);
            w.u32(*len);
        }
        Ok(w.into_bytes())
    }

    /// Decodes the section for a `.text` of `text_len` bytes.
    pub fn decode(bytes: &[u8], text_len: u64) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let n = r.count(limits::MAX_HINTS, 8, "number of hints")?;
        let mut data = Vec::with_capacity(n);
        let mut next = 0u64;
        for _ in 0..n {
            let pos = r.pos();
            let (at, len) = (r.u32("hint")?, r.u32("hint length")?);
            let end = u64::from(at) + u64::from(len);
            if u64::from(at) < next || end > text_len {
                let what = "hint";
                return Err(DecodeError::Invalid { what, at: pos, found: at.into() });
            }
            next = end;
            data.push((at, len));
        }
        r.finish()?;
        Ok(Self { data })
    }
}
