//! Function names for messages and symbols. Custom sections are advice: what is wrong with the name
//! section is ignored, never an error (core spec, 7.4.1).

use lucet_artifact::limits;
use std::collections::BTreeMap;
use wasmparser::{KnownCustom, Name, NameMap, Parser, Payload};

/// The function names of the name section.
pub fn function_names(wasm: &[u8]) -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload {
            Ok(Payload::CustomSection(section)) => {
                if let KnownCustom::Name(subsections) = section.as_known() {
                    for sub in subsections {
                        match sub {
                            Ok(Name::Function(map)) => collect(map, &mut names),
                            Ok(_) => {}
                            Err(_) => break,
                        }
                    }
                }
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    names
}

/// Adds the entries of one name map.
pub fn collect(map: NameMap<'_>, names: &mut BTreeMap<u32, String>) {
    for entry in map {
        let Ok(entry) = entry else { break };
        if names.len() >= limits::MAX_FUNCTIONS {
            break;
        }
        names.entry(entry.index).or_insert_with(|| shorten(entry.name).to_owned());
    }
}

/// Cuts a name to the artifact's limit, at a character boundary.
fn shorten(name: &str) -> &str {
    let mut end = name.len().min(limits::MAX_NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default()
}
