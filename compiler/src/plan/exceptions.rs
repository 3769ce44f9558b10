//! What a module's exceptions need besides its functions: a look at the operators, before the first
//! function is compiled.

use crate::error::Diagnostic;
use std::collections::BTreeSet;
use wasmparser::{FunctionBody, Operator};

/// Glue that exceptions need.
#[derive(Debug, Default)]
pub struct Exceptions {
    /// Whether something throws, or lets an exception go on.
    pub throws: bool,
    /// Imported functions that are called where exceptions are caught: through their stubs.
    pub stubs: BTreeSet<u32>,
}

// Opcodes: a body without any of these bytes is not looked at.
const THROW: u8 = 0x08;
const THROW_REF: u8 = 0x0a;
const TRY_TABLE: u8 = 0x1f;

/// Looks at all bodies.
pub(super) fn scan(
    bodies: &[FunctionBody<'_>],
    tags: bool,
    imported: u32,
) -> Result<Exceptions, Diagnostic> {
    let mut found = Exceptions::default();
    for body in bodies {
        let looks = |b: &u8| match *b {
            THROW => tags && !found.throws,
            THROW_REF => !found.throws,
            b => b == TRY_TABLE,
        };
        if body.as_bytes().iter().any(looks) {
            scan_body(body, imported, &mut found)?;
        }
    }
    Ok(found)
}

fn scan_body(
    body: &FunctionBody<'_>,
    imported: u32,
    found: &mut Exceptions,
) -> Result<(), Diagnostic> {
    let mut catches = false;
    let mut ops = body.get_operators_reader()?;
    while !ops.eof() {
        match ops.read()? {
            Operator::Throw { .. } | Operator::ThrowRef => found.throws = true,
            Operator::TryTable { .. } => {
                found.throws = true;
                catches = true;
            }
            Operator::Call { function_index } if catches && function_index < imported => {
                found.stubs.insert(function_index);
            }
            _ => {}
        }
    }
    Ok(())
}
