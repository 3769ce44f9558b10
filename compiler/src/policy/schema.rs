//! The keys of a policy file: one table, from which the file is read, the JSON Schema that
//! `lucetc --print policy-schema` prints is made, and against which `docs/policy.md` is tested.
//!
//! JSON Schema is what editors understand for TOML: with the schema beside a policy they complete
//! keys, show their descriptions and mark mistakes while one types.

use super::pattern::KINDS;
use lucet_artifact::contract::feature;
use lucet_artifact::limits;
use serde_json::{Value, json};

/// A number that a policy can lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Max {
    /// Pages of each memory.
    MemoryPages,
    /// Pages of all own memories together.
    TotalMemoryPages,
    /// Memories.
    Memories,
    /// Elements of each table.
    TableElements,
    /// Tables.
    Tables,
    /// Globals.
    Globals,
    /// Functions.
    Functions,
    /// Bytes of instance data.
    InstanceDataBytes,
    /// Bytes of the stack frame of each function.
    FrameBytes,
    /// Bytes of machine code.
    CodeBytes,
}

/// What there is to know about a maximum.
#[derive(Debug)]
pub struct MaxRow {
    /// Which.
    pub max: Max,
    /// Its key in `[limits]`.
    pub key: &'static str,
    /// What the artifact format allows: the default, and the largest value.
    pub most: u64,
    /// What it limits.
    pub what: &'static str,
}

const fn row(max: Max, key: &'static str, most: u64, what: &'static str) -> MaxRow {
    MaxRow { max, key, most, what }
}

/// Pages that all memories of a module can have.
const TOTAL_PAGES: u64 =
    (limits::MAX_FURTHER_RESERVE + limits::MAX_MEMORY_BYTES) / limits::WASM_PAGE;

/// All maxima, in the order of [`Max`].
pub const MAXIMA: [MaxRow; 10] = [
    row(
        Max::MemoryPages,
        "max_memory_pages",
        limits::MAX_MEMORY32_PAGES,
        "pages of 64 KiB that each memory may grow to",
    ),
    row(
        Max::TotalMemoryPages,
        "max_total_memory_pages",
        TOTAL_PAGES,
        "pages that all memories of the module's own may grow to together",
    ),
    row(
        Max::Memories,
        "max_memories",
        limits::MAX_MEMORIES as u64,
        "number of memories, imported ones included",
    ),
    row(
        Max::TableElements,
        "max_table_elements",
        limits::MAX_TABLE_ELEMENTS,
        "elements that each table may grow to",
    ),
    row(
        Max::Tables,
        "max_tables",
        limits::MAX_TABLES as u64,
        "number of tables, imported ones included",
    ),
    row(
        Max::Globals,
        "max_globals",
        limits::MAX_GLOBALS as u64,
        "number of globals, imported ones included",
    ),
    row(
        Max::Functions,
        "max_functions",
        limits::MAX_FUNCTIONS as u64,
        "number of functions, imported ones included",
    ),
    row(
        Max::InstanceDataBytes,
        "max_instance_data_bytes",
        limits::MAX_INSTANCE_DATA as u64,
        "bytes of instance data (globals, tables of imports), which every instance has",
    ),
    row(
        Max::FrameBytes,
        "max_frame_bytes",
        u32::MAX as u64,
        "bytes of stack that one call of any function may take",
    ),
    row(Max::CodeBytes, "max_code_bytes", limits::MAX_TEXT_BYTES, "bytes of machine code"),
];

/// What the value of a key looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A list of names, or of tables with the keys of [`IMPORT`].
    Imports,
    /// A number up to that of [`MAXIMA`].
    Number(Max),
    /// `true` or `false`.
    Flag,
    /// A list of language features.
    Features,
    /// A list of texts.
    Texts,
    /// A table of names with types.
    Types,
    /// A text.
    Text,
    /// A word of [`KINDS`].
    Kind,
    /// A type, or a pattern of types.
    Type,
}

/// A key.
#[derive(Debug)]
pub struct Key {
    /// The table that it stands in.
    pub table: &'static str,
    /// The key; in capital letters if anything may stand there.
    pub name: &'static str,
    /// Its value.
    pub form: Form,
    /// What it means.
    pub what: &'static str,
}

const fn key(table: &'static str, name: &'static str, form: Form, what: &'static str) -> Key {
    Key { table, name, form, what }
}

const fn maximum(i: usize) -> Key {
    let MaxRow { max, key: name, what, .. } = MAXIMA[i];
    key("limits", name, Form::Number(max), what)
}

/// All keys.
pub const KEYS: [Key; 17] = [
    key(
        "imports",
        "MODULE",
        Form::Imports,
        "imports that are allowed; without the table all are, with an empty one none is",
    ),
    maximum(0),
    maximum(1),
    maximum(2),
    maximum(3),
    maximum(4),
    maximum(5),
    maximum(6),
    maximum(7),
    maximum(8),
    maximum(9),
    key(
        "limits",
        "fuel",
        Form::Flag,
        "the module counts its steps, so that the host can limit them: as lucetc --fuel",
    ),
    key("features", "allow", Form::Features, "the only language features that are allowed"),
    key("features", "deny", Form::Features, "language features that are not allowed"),
    key("require", "labels", Form::Texts, "labels that the artifact must have, not empty"),
    key("require", "exports", Form::Types, "what the module must export, with its types"),
    key("labels", "NAME", Form::Text, "free text for the contract: a name, a version, a tenant"),
];

/// Keys of an import that is written as a table.
pub const IMPORT: [Key; 3] = [
    key("imports.MODULE", "name", Form::Text, "name of the import; * stands for any characters"),
    key("imports.MODULE", "kind", Form::Kind, "what it must be; any without it"),
    key("imports.MODULE", "type", Form::Type, "its type; * stands for any characters"),
];

impl Max {
    /// What there is to know about it.
    #[must_use]
    pub fn row(self) -> &'static MaxRow {
        &MAXIMA[self as usize]
    }
}

/// Names of the tables, in order.
pub fn tables() -> Vec<&'static str> {
    let mut names: Vec<_> = KEYS.iter().map(|k| k.table).collect();
    names.dedup();
    names
}

/// The JSON Schema (2020-12), as text.
#[must_use]
pub fn json_schema() -> String {
    let table = |name: &str| {
        let keys = || KEYS.iter().filter(move |k| k.table == name);
        let named = keys().filter(|k| !k.is_free()).map(|k| (k.name.to_owned(), k.schema()));
        match keys().find(|k| k.is_free()) {
            Some(free) => json!({
                "type": "object",
                "description": free.what,
                "additionalProperties": free.schema(),
            }),
            None => json!({
                "type": "object",
                "additionalProperties": false,
                "properties": Value::Object(named.collect()),
            }),
        }
    };
    let properties = tables().into_iter().map(|t| (t.to_owned(), table(t))).collect();
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Policy of lucetc",
        "description": "What a WebAssembly module may import and how large it may be.",
        "type": "object",
        "additionalProperties": false,
        "properties": Value::Object(properties),
    });
    format!("{schema:#}\n")
}

impl Key {
    /// Whether any name may stand for this key.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.name.bytes().all(|b| b.is_ascii_uppercase())
    }

    fn schema(&self) -> Value {
        let mut schema = self.form.schema();
        if let Value::Object(fields) = &mut schema {
            fields.insert("description".to_owned(), self.what.into());
        }
        schema
    }
}

impl Form {
    fn schema(self) -> Value {
        let names = |list: Vec<&str>| json!({ "enum": list });
        match self {
            Self::Imports => {
                let keys = IMPORT.iter().map(|k| (k.name.to_owned(), k.schema())).collect();
                json!({
                    "type": "array",
                    "items": { "oneOf": [
                        { "type": "string" },
                        {
                            "type": "object",
                            "additionalProperties": false,
                            "required": ["name"],
                            "properties": Value::Object(keys),
                        },
                    ]},
                })
            }
            Self::Number(max) => {
                let most = max.row().most;
                json!({ "type": "integer", "minimum": 0, "maximum": most, "default": most })
            }
            Self::Flag => json!({ "type": "boolean", "default": false }),
            Self::Features => json!({
                "type": "array",
                "items": names(feature::NAMES.iter().map(|(_, n)| *n).collect()),
            }),
            Self::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Self::Types => json!({
                "type": "object",
                "additionalProperties": { "type": "string" },
            }),
            Self::Text => json!({ "type": "string", "maxLength": limits::MAX_LABEL_BYTES }),
            Self::Kind => names(KINDS.iter().map(|(_, w)| *w).collect()),
            Self::Type => json!({ "type": "string" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order() {
        for (i, row) in MAXIMA.iter().enumerate() {
            assert_eq!(row.max as usize, i);
            assert!(KEYS.iter().any(|k| k.form == Form::Number(row.max) && k.name == row.key));
        }
    }

    #[test]
    fn the_schema_has_every_key() {
        let text = json_schema();
        let schema: Value = serde_json::from_str(&text).unwrap();
        for k in &KEYS {
            let table = &schema["properties"][k.table];
            let found = if k.is_free() {
                &table["additionalProperties"]
            } else {
                assert_eq!(table["additionalProperties"], false, "{}", k.table);
                &table["properties"][k.name]
            };
            assert_eq!(found["description"], k.what, "{} {}", k.table, k.name);
        }
        let items = &schema["properties"]["imports"]["additionalProperties"]["items"]["oneOf"][1];
        for k in &IMPORT {
            assert_eq!(items["properties"][k.name]["description"], k.what, "{}", k.name);
        }
        let pages = &schema["properties"]["limits"]["properties"]["max_memory_pages"];
        assert_eq!((&pages["maximum"], &pages["type"]), (&json!(65536), &json!("integer")));
    }
}
