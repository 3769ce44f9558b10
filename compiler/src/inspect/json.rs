//! A description for programs: one JSON object. Keys are never renamed and never removed; what is
//! absent is `null` or an empty list. Hashes are hexadecimal, sizes bytes or pages as the key says.

use super::{Description, hex, names};
use lucet_artifact::contract::{MemoryDecl, cpu, feature};
use lucet_artifact::types::MemoryShape;
use serde_json::{Value, json};
use std::fmt::Write as _;

impl Description {
    /// The description as JSON, with a line feed at the end.
    #[must_use]
    pub fn json(&self) -> String {
        let c = &self.contract;
        let no_policy = c.policy_hash == [0; 32];
        let signature = |s: &super::Signer| json!({ "key": s.key, "comment": s.comment });
        let snapshot = self.parent.map(|parent| {
            json!({
                "parent": hex(&parent),
                "impure": self.snapshot.is_some_and(|s| s.impure),
                "reseed": self.snapshot.and_then(|s| s.reseed),
            })
        });
        let labels = c.labels.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
        let value = json!({
            "format": self.format,
            "abi": c.abi_version,
            "compiler": c.compiler,
            "codegen": c.codegen,
            "source_hash": hex(&c.source_hash),
            "policy_hash": (!no_policy).then(|| hex(&c.policy_hash)),
            "hash": hex(&self.hash),
            "signature": self.signer.as_ref().map(signature),
            "snapshot": snapshot,
            "file_bytes": self.sizes.file,
            "code_bytes": self.sizes.code,
            "image_bytes": self.sizes.image,
            "data_bytes": self.sizes.data,
            "min_stack_bytes": c.min_stack,
            "instance_data_bytes": c.instance_data,
            "cpu": names(c.cpu, &cpu::NAMES),
            "features": names(c.features, &feature::NAMES),
            "fuel": c.fuel,
            "functions": c.functions,
            "start": c.start,
            "labels": Value::Object(labels),
            "imports": self.imports.imports.iter().map(|i| json!({
                "module": i.module,
                "name": i.name,
                "kind": i.kind.word(),
                "type": self.import_type(i),
            })).collect::<Vec<_>>(),
            "exports": self.exports.exports.iter().map(|e| json!({
                "name": e.name,
                "kind": e.kind.word(),
                "index": e.index,
                "type": self.export_type(e),
            })).collect::<Vec<_>>(),
            "memories": c.memories.iter().map(memory).collect::<Vec<_>>(),
            "tables": c.tables.iter().map(|t| json!({
                "element": t.elem.to_string(),
                "initial": t.min,
                "maximum": t.max,
                "index_bits": if t.is64 { 64 } else { 32 },
            })).collect::<Vec<_>>(),
            "globals": c.globals.iter().map(|g| json!({
                "type": g.ty.to_string(),
                "mutable": g.mutable,
            })).collect::<Vec<_>>(),
            "tags": c.tags.iter().map(|t| self.tag_type(*t)).collect::<Vec<_>>(),
            "types": self.types.types.iter().map(|t| t.ty.to_string()).collect::<Vec<_>>(),
        });
        printable(&format!("{value:#}")) + "\n"
    }
}

fn memory(m: &MemoryDecl) -> Value {
    let shape = match m.shape {
        _ if m.is_imported() => "imported",
        MemoryShape::Guarded => "guarded",
        MemoryShape::Compact => "compact",
    };
    json!({
        "initial_pages": m.ty.min,
        "maximum_pages": m.ty.max,
        "index_bits": if m.ty.is64 { 64 } else { 32 },
        "shape": shape,
        "reserved_bytes": m.reserve_bytes,
        "guard_bytes": m.guard_bytes,
    })
}

/// The text with everything escaped that is no printable character. Outside of strings there are
/// none, and inside the escape means the same (RFC 8259, section 7).
fn printable(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        let plain = c == '\n' || c == '\\' || c == '"' || c == '\'' || c.escape_debug().len() == 1;
        if plain {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_mean_the_same() {
        let text = "a\u{9b}\u{7f}\u{202e}\u{e0001}ü\u{1f600}'\"\\";
        let escaped = printable(&json!(text).to_string());
        assert_eq!(escaped, "\"a\\u009b\\u007f\\u202e\\udb40\\udc01ü\u{1f600}'\\\"\\\\\"");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
    }
}
