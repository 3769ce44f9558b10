//! Reading and writing of little-endian, length-prefixed data without panics.
//!
//! Integers are fixed-width little-endian, except where a section says ULEB128. Sequences are a
//! `u32` count followed by the items. Strings are a `u32` byte length followed by UTF-8.
//!
//! [`Reader`] checks every count against a limit *and* against the bytes that are left before it
//! allocates, so a decoder's memory use is bounded by a small multiple of its input.

use crate::minisign::MinisignError;
use std::fmt;

/// Why a section could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// The section ended inside a value.
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Offset inside the section.
        at: usize,
    },
    /// A count, length or size exceeds a limit.
    Limit {
        /// What was being read.
        what: &'static str,
        /// Offset inside the section.
        at: usize,
        /// The value found.
        found: u64,
        /// The largest value allowed.
        max: u64,
    },
    /// A value is not one of those allowed.
    Invalid {
        /// What was being read.
        what: &'static str,
        /// Offset inside the section.
        at: usize,
        /// The value found.
        found: u64,
    },
    /// A string is not UTF-8.
    NotUtf8 {
        /// What was being read.
        what: &'static str,
        /// Offset inside the section.
        at: usize,
    },
    /// What stands in the place of a signature is none.
    Signature {
        /// Offset of the signature.
        at: usize,
        /// What is wrong with it.
        why: MinisignError,
    },
    /// Bytes follow the last value.
    Trailing {
        /// Offset inside the section of the first byte too many.
        at: usize,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { what, at } => write!(f, "ends inside {what} at offset {at:#x}"),
            Self::Limit { what, at, found, max } => {
                write!(f, "{what} at offset {at:#x} is {found}, the limit is {max}")
            }
            Self::Invalid { what, at, found } => {
                write!(f, "{what} at offset {at:#x} has the invalid value {found:#x}")
            }
            Self::NotUtf8 { what, at } => write!(f, "{what} at offset {at:#x} is not UTF-8"),
            Self::Signature { at, why } => write!(f, "signature at offset {at:#x}: {why}"),
            Self::Trailing { at } => write!(f, "unexpected bytes follow at offset {at:#x}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Why a value could not be encoded: it exceeds a limit of the format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeError {
    /// What was being written.
    pub what: &'static str,
    /// The value that is too large.
    pub found: u64,
    /// The largest value allowed.
    pub max: u64,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, the artifact format's limit is {}", self.what, self.found, self.max)
    }
}

impl std::error::Error for EncodeError {}

/// A cursor over the bytes of one section.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, pos: 0 }
    }

    /// Offset of the next byte.
    #[must_use]
    pub fn pos(&self) -> usize {
        self.pos
    }

    /// Bytes not yet read.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.pos
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let rest = self.bytes.get(self.pos..).unwrap_or_default();
        let out = rest.get(..n).ok_or(DecodeError::Truncated { what, at: self.pos })?;
        self.pos += n;
        Ok(out)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let at = self.pos;
        self.take(N, what)?.try_into().map_err(|_| DecodeError::Truncated { what, at })
    }

    /// One byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(self.array::<1>(what)?[0])
    }

    /// A `u32`.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// A `u64`.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// Sixteen bytes.
    pub fn u128(&mut self, what: &'static str) -> Result<u128, DecodeError> {
        Ok(u128::from_le_bytes(self.array(what)?))
    }

    /// A `u64` that may be at most `max`.
    pub fn u64_max(&mut self, max: u64, what: &'static str) -> Result<u64, DecodeError> {
        let at = self.pos;
        let found = self.u64(what)?;
        if found > max {
            return Err(DecodeError::Limit { what, at, found, max });
        }
        Ok(found)
    }

    /// A `u32` that must be less than `end` (an index into something with `end` items).
    pub fn index(&mut self, end: usize, what: &'static str) -> Result<u32, DecodeError> {
        let at = self.pos;
        let found = self.u32(what)?;
        if found as usize >= end {
            return Err(DecodeError::Invalid { what, at, found: found.into() });
        }
        Ok(found)
    }

    /// A flag: 0 or 1.
    pub fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        let at = self.pos;
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(DecodeError::Invalid { what, at, found: found.into() }),
        }
    }

    /// A `u32` count of items of at least `item` bytes each, at most `max`.
    pub fn count(
        &mut self,
        max: usize,
        item: usize,
        what: &'static str,
    ) -> Result<usize, DecodeError> {
        let at = self.pos;
        let found = self.u32(what)? as usize;
        if found > max {
            return Err(DecodeError::Limit { what, at, found: found as u64, max: max as u64 });
        }
        if found.saturating_mul(item) > self.remaining() {
            return Err(DecodeError::Truncated { what, at });
        }
        Ok(found)
    }

    /// A string of at most `max` bytes.
    pub fn str(&mut self, max: usize, what: &'static str) -> Result<&'a str, DecodeError> {
        let at = self.pos;
        let n = self.count(max, 1, what)?;
        let bytes = self.take(n, what)?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8 { what, at })
    }

    /// An unsigned LEB128 number of at most 32 bits.
    pub fn uleb32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        let at = self.pos;
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8(what)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| DecodeError::Invalid {
                    what,
                    at,
                    found: value,
                });
            }
        }
        Err(DecodeError::Invalid { what, at, found: value })
    }

    /// A signed number in zigzag LEB128 of at most 32 bits.
    pub fn sleb32(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        let z = self.uleb32(what)?;
        Ok(((z >> 1) as i32) ^ -((z & 1) as i32))
    }

    /// Succeeds only at the end of the section.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.remaining() == 0 { Ok(()) } else { Err(DecodeError::Trailing { at: self.pos }) }
    }
}

/// Collects the bytes of one section.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty section.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The finished section.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Raw bytes.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// One byte.
    pub fn u8(&mut self, v: u8) {
        self.bytes.push(v);
    }

    /// A flag: 0 or 1.
    pub fn flag(&mut self, v: bool) {
        self.bytes.push(v.into());
    }

    /// A `u32`.
    pub fn u32(&mut self, v: u32) {
        self.raw(&v.to_le_bytes());
    }

    /// A `u64`.
    pub fn u64(&mut self, v: u64) {
        self.raw(&v.to_le_bytes());
    }

    /// Sixteen bytes.
    pub fn u128(&mut self, v: u128) {
        self.raw(&v.to_le_bytes());
    }

    /// A `u64` of at most `max`.
    pub fn u64_max(&mut self, v: u64, max: u64, what: &'static str) -> Result<(), EncodeError> {
        if v > max {
            return Err(EncodeError { what, found: v, max });
        }
        self.u64(v);
        Ok(())
    }

    /// A count of at most `max` items.
    pub fn count(&mut self, n: usize, max: usize, what: &'static str) -> Result<(), EncodeError> {
        if n > max || n > u32::MAX as usize {
            return Err(EncodeError { what, found: n as u64, max: max as u64 });
        }
        self.u32(n as u32);
        Ok(())
    }

    /// A string of at most `max` bytes.
    pub fn str(&mut self, s: &str, max: usize, what: &'static str) -> Result<(), EncodeError> {
        self.count(s.len(), max, what)?;
        self.raw(s.as_bytes());
        Ok(())
    }

    /// An unsigned LEB128 number.
    pub fn uleb32(&mut self, mut v: u32) {
        loop {
            let byte = (v & 0x7f) as u8;
            v >>= 7;
            if v == 0 {
                self.bytes.push(byte);
                return;
            }
            self.bytes.push(byte | 0x80);
        }
    }

    /// A signed number in zigzag LEB128.
    pub fn sleb32(&mut self, v: i32) {
        self.uleb32(((v << 1) ^ (v >> 31)) as u32);
    }
}
