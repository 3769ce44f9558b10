//! Unwind information: `.eh_frame` and the search table `.eh_frame_hdr`.
//!
//! ```text
//!  .eh_frame_hdr                              .eh_frame
//!  ┌────────────────────────────────┐         ┌──────────────────────────────┐
//!  │ 1, 0x1b, 0x03, 0x3b            │    ┌───►│ CIE                          │
//!  │ &.eh_frame - here              │────┘    ├──────────────────────────────┤
//!  │ count                          │    ┌───►│ FDE: length, CIE, pc - here, │
//!  │ pc - hdr, FDE - hdr  (sorted)  │────┘    │      size, instructions      │
//!  │ …                              │         ├──────────────────────────────┤
//!  └────────────────────────────────┘         │ 0 (end)                      │
//!                                             └──────────────────────────────┘
//! ```
//!
//! gdb, perf and libgcc find a function's frame description through the table. Every address is
//! relative, so that the file needs no relocation wherever it is mapped. gimli encodes the
//! entries; where `.text` will lie is not known yet at that time, so a [`Recorder`] notes the place
//! of each pc field, and [`Frames::place`] fills them in.

use super::internal;
use crate::error::Errors;
use crate::model::Compiled;
use cranelift_codegen::gimli::LittleEndian;
use cranelift_codegen::gimli::constants::{DW_EH_PE_pcrel, DW_EH_PE_sdata4, DwEhPe};
use cranelift_codegen::gimli::write::{
    Address, EhFrame, EndianVec, Error, FrameTable, Result as GimliResult, Writer,
};

/// Bytes of an FDE before its pc field: length and CIE pointer, 4 each in 32-bit DWARF.
const FDE_HEAD: usize = 8;
/// Bytes of `.eh_frame_hdr` before its table.
const HDR_HEAD: usize = 12;
/// Version; then the encodings of the pointer to `.eh_frame` (pcrel, sdata4), of the count
/// (udata4), and of the table (datarel, sdata4).
const HDR_START: [u8; 4] = [1, 0x1b, 0x03, 0x3b];

/// A pc field that waits for the address of `.text`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fixup {
    /// Offset of the field in `.eh_frame`.
    pub field: usize,
    /// Offset in `.text` of the code that the entry is for.
    pub text_offset: u32,
}

/// `.eh_frame` with open pc fields.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The section.
    pub bytes: Vec<u8>,
    /// One per entry, in the order of the code.
    pub fixups: Vec<Fixup>,
}

/// A gimli writer that, instead of a pc, writes zero and notes where.
struct Recorder {
    out: EndianVec<LittleEndian>,
    fixups: Vec<Fixup>,
}

impl Writer for Recorder {
    type Endian = LittleEndian;

    fn endian(&self) -> LittleEndian {
        LittleEndian
    }

    fn len(&self) -> usize {
        self.out.len()
    }

    fn write(&mut self, bytes: &[u8]) -> GimliResult<()> {
        self.out.write(bytes)
    }

    fn write_at(&mut self, offset: usize, bytes: &[u8]) -> GimliResult<()> {
        self.out.write_at(offset, bytes)
    }

    fn write_eh_pointer(&mut self, address: Address, pe: DwEhPe, _: u8) -> GimliResult<()> {
        // Only the entries' pcs come here: personality and language data are not used.
        let Address::Symbol { addend, .. } = address else { return Err(Error::InvalidAddress) };
        if pe != pcrel() {
            return Err(Error::UnsupportedPointerEncoding(pe));
        }
        let text_offset = u32::try_from(addend).map_err(|_| Error::ValueTooLarge)?;
        self.fixups.push(Fixup { field: self.len(), text_offset });
        self.write(&[0; 4])
    }
}

fn pcrel() -> DwEhPe {
    DwEhPe(DW_EH_PE_pcrel.0 | DW_EH_PE_sdata4.0)
}

impl Frames {
    /// Encodes the module's unwind information; empty if there is none.
    pub fn build(c: &Compiled) -> Result<Self, Errors> {
        if c.unwind.is_empty() {
            return Ok(Self::default());
        }
        let mut table = FrameTable::default();
        let mut cie = c.cie.clone();
        cie.fde_address_encoding = pcrel();
        let cie = table.add_cie(cie);
        let mut order: Vec<_> = c.unwind.iter().collect();
        order.sort_by_key(|(at, _)| *at);
        for (at, info) in order {
            let pc = Address::Symbol { symbol: 0, addend: i64::from(*at) };
            table.add_fde(cie, info.clone().to_fde(pc));
        }
        let recorder = Recorder { out: EndianVec::new(LittleEndian), fixups: Vec::new() };
        let mut section = EhFrame(recorder);
        table
            .write_eh_frame(&mut section)
            .map_err(|e| internal(format!("unwind information: {e}")))?;
        let Recorder { out, fixups } = section.0;
        let mut frames = Self { bytes: out.into_vec(), fixups };
        frames.verify(c.unwind.len())?;
        frames.bytes.extend_from_slice(&[0; 4]);
        Ok(frames)
    }

    /// Checks that each noted field is where the search table will say it is: its entry starts
    /// [`FDE_HEAD`] bytes earlier and points back to the one CIE, at offset 0.
    fn verify(&self, entries: usize) -> Result<(), Errors> {
        let ok = |f: &Fixup| {
            let start = f.field.checked_sub(FDE_HEAD)?;
            let (len, cie) = (self.word(start)?, self.word(start + 4)?);
            let end = start.checked_add(4)?.checked_add(len as usize)?;
            (cie as usize == start + 4 && end <= self.bytes.len()).then_some(())
        };
        if self.fixups.len() == entries && self.fixups.iter().all(|f| ok(f).is_some()) {
            Ok(())
        } else {
            Err(internal("unwind information has an unexpected form"))
        }
    }

    fn word(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    /// Size of `.eh_frame_hdr` in bytes.
    pub fn header_len(&self) -> usize {
        HDR_HEAD + 8 * self.fixups.len()
    }

    /// Fills in the pc fields and returns `.eh_frame_hdr` and `.eh_frame` for the given addresses
    /// of both and of `.text`.
    pub fn place(mut self, hdr: u64, frame: u64, text: u64) -> Result<(Vec<u8>, Vec<u8>), Errors> {
        let mut out = Vec::with_capacity(self.header_len());
        out.extend_from_slice(&HDR_START);
        out.extend_from_slice(&distance(frame, hdr + 4)?);
        out.extend_from_slice(&(self.fixups.len() as u32).to_le_bytes());
        for f in &self.fixups {
            let pc = text + u64::from(f.text_offset);
            let fde = frame + (f.field - FDE_HEAD) as u64;
            out.extend_from_slice(&distance(pc, hdr)?);
            out.extend_from_slice(&distance(fde, hdr)?);
            let field = self.bytes.get_mut(f.field..f.field + 4);
            let field = field.ok_or_else(|| internal("unwind entry outside its section"))?;
            field.copy_from_slice(&distance(pc, frame + f.field as u64)?);
        }
        Ok((out, self.bytes))
    }
}

/// `to - from` as a signed 32-bit number.
fn distance(to: u64, from: u64) -> Result<[u8; 4], Errors> {
    let d = to.wrapping_sub(from).cast_signed();
    let d = i32::try_from(d).map_err(|_| internal("unwind information is too far from code"))?;
    Ok(d.to_le_bytes())
}
