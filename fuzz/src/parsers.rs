//! What reads bytes from outside: the module parser, binary and text, and the policy parser.
//! Nothing may panic, and a module is accepted exactly if it is valid.

use crate::differ::Engines;
use crate::features::one_thread;
use crate::generate;
use crate::rng::Rng;
use crate::tally::Tally;
use lucetc::Class;
use lucetc::policy::Policy;
use wasmparser::{Validator, WasmFeatures};

/// A finding and the input.
type Finding = (String, Vec<u8>);

/// Changes some bytes: single ones, runs, and pieces copied from elsewhere.
fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..=rng.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.below(bytes.len() as u64) as usize;
        let n = (1 + rng.below(8) as usize).min(bytes.len() - at);
        match rng.below(7) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.next() as u8,
            2 => bytes[at] = bytes[at].wrapping_add(if rng.one_in(2) { 1 } else { 255 }),
            3 => drop(bytes.drain(at..at + n)),
            4 => {
                let new = rng.bytes(n);
                bytes.splice(at..at, new);
            }
            5 => {
                let piece = bytes[at..at + n].to_vec();
                let to = rng.below(bytes.len() as u64) as usize;
                bytes.splice(to..to, piece);
            }
            _ => bytes.truncate(at),
        }
    }
}

impl Engines {
    /// Whether lucetc's answer to a binary is the one that it has to be.
    fn judge(&self, wasm: &[u8], tally: &mut Tally) -> Result<(), String> {
        let answer = lucetc::compile(wasm, &one_thread());
        let valid =
            |f: WasmFeatures| Validator::new_with_features(f).validate_all(wasm).map(|_| ());
        let ours = valid(self.features.accepted());
        match (answer, ours) {
            (Ok(artifact), Ok(())) => {
                tally.accepted += 1;
                let config = lucet::ModuleConfig {
                    allow_unsigned: true,
                    linkable: true,
                    ..Default::default()
                };
                lucet::Module::load_bytes(&artifact, &config)
                    .map(drop)
                    .map_err(|e| format!("the artifact of a valid module is not loaded: {e}"))
            }
            (Ok(_), Err(e)) => Err(format!("accepted, but wasmparser says {e}")),
            (Err(e), valid_for_us) => match e.class() {
                Class::Limit | Class::Policy => Ok(()),
                // Valid with the proposal that atomics come with, but refused on purpose.
                Class::Unsupported if e.to_string().contains("shared-memory") => Ok(()),
                // None of these is about a module.
                Class::Internal | Class::Usage | Class::Untrusted => Err(format!("{e}")),
                _ if valid_for_us.is_ok() => Err(format!("valid, but refused: {e}")),
                Class::Unsupported => Ok(()),
                Class::Malformed | Class::Invalid => Ok(()),
            },
        }
    }

    /// A module from wasm-smith with some bytes changed, or bytes that never were a module.
    pub fn mutant(&self, seed: u64, tally: &mut Tally) -> Result<(), Finding> {
        let mut rng = Rng::new(seed, 2);
        let mut wasm = if rng.one_in(8) {
            let n = 1 + rng.below(200) as usize;
            [b"\0asm\x01\0\0\0".to_vec(), rng.bytes(n)].concat()
        } else {
            match generate::program(&mut rng, self.features) {
                Some((wasm, ..)) => wasm,
                None => return Ok(()),
            }
        };
        mutate(&mut rng, &mut wasm);
        tally.mutants += 1;
        if !wasm.starts_with(b"\0asm") || wasmparser::Parser::is_component(&wasm) {
            let _ = lucetc::compile(&wasm, &one_thread());
            return Ok(());
        }
        self.judge(&wasm, tally).map_err(|e| (e, wasm))
    }

    /// A text: of a generated module with some bytes changed, or words of the format in any order.
    pub fn text(&self, seed: u64, tally: &mut Tally) -> Result<(), Finding> {
        let mut rng = Rng::new(seed, 3);
        let mut text = if rng.one_in(4) {
            words(&mut rng)
        } else {
            let Some((wasm, ..)) = generate::program(&mut rng, self.features) else {
                return Ok(());
            };
            match wasmprinter::print_bytes(&wasm) {
                Ok(text) => text.into_bytes(),
                Err(e) => return Err((format!("not printed: {e}"), wasm)),
            }
        };
        mutate(&mut rng, &mut text);
        tally.texts += 1;
        let compiled = lucetc::compile(&text, &one_thread());
        let verdict = match (wat::parse_bytes(&text), compiled) {
            (Ok(wasm), _) => self.judge(&wasm, tally),
            (Err(_), Err(e)) if e.class() == Class::Malformed => Ok(()),
            (Err(e), Err(ours)) => Err(format!("{ours}, but the text does not parse: {e}")),
            (Err(e), Ok(_)) => Err(format!("compiled, but the text does not parse: {e}")),
        };
        verdict.map_err(|e| (e, text))
    }

    /// A policy file.
    pub fn policy(&self, seed: u64, tally: &mut Tally) -> Result<(), Finding> {
        const WHOLE: &str = "[imports]\nenv = [\"host_log\", { name = \"clock_*\", \
            type = \"(i32, *) -> i64\" }, { name = \"m\", kind = \"memory\" }]\n\
            \"wasi_*\" = [\"*\"]\n\
            [limits]\nmax_memory_pages = 1024\nmax_total_memory_pages = 2048\n\
            max_memories = 2\nmax_table_elements = 10000\nmax_tables = 0x2\nmax_globals = 8\n\
            max_functions = 9\nmax_instance_data_bytes = 400\nmax_frame_bytes = 4_096\n\
            max_code_bytes = 10000\nfuel = true\n\
            [features]\ndeny = [\"simd\", \"atomics\"]\n\
            [require]\nlabels = [\"name\"]\n\
            [require.exports]\nf = \"() -> ()\"\nm = \"memory 1..*\"\n\
            [labels]\nname = \"hello\"\nteam = \"edge\"\n";
        const PROGRAM: &[u8] = b"(module (import \"env\" \"host_log\" (func)) (memory 1)
            (table 3 funcref) (func (export \"f\")) (export \"m\" (memory 0)))";
        let mut rng = Rng::new(seed, 4);
        let mut bytes = if rng.one_in(8) { rng.bytes(40) } else { WHOLE.as_bytes().to_vec() };
        mutate(&mut rng, &mut bytes);
        tally.policies += 1;
        let text = String::from_utf8_lossy(&bytes);
        match Policy::parse(&text, "fuzz.toml") {
            Ok(policy) => {
                // The canonical form is one text for each meaning, whatever the file looks like.
                let again = Policy::parse(&format!("{text}\n# again\n"), "fuzz.toml");
                if again.map(|p| p.hash()) != Ok(policy.hash()) {
                    return Err(("a comment changes the hash".into(), bytes));
                }
                let options = lucetc::Options { policy, ..one_thread() };
                match lucetc::compile(PROGRAM, &options) {
                    Err(e) if !matches!(e.class(), Class::Policy | Class::Limit) => {
                        Err((format!("under this policy: {e}"), bytes))
                    }
                    _ => Ok(()),
                }
            }
            Err(e) if e.class() == Class::Usage => Ok(()),
            Err(e) => Err((format!("not a usage error: {e}"), bytes)),
        }
    }
}

/// Words of the text format in any order.
fn words(rng: &mut Rng) -> Vec<u8> {
    const WORDS: [&str; 40] = [
        "(",
        ")",
        "(",
        ")",
        "(module",
        "(func",
        "(param",
        "(result",
        "(type",
        "(memory",
        "(table",
        "(global",
        "(export",
        "(import",
        "(data",
        "(elem",
        "(local",
        "i32",
        "i64",
        "f32",
        "f64",
        "v128",
        "funcref",
        "(ref",
        "null",
        "$a",
        "$b",
        "\"\"",
        "\"a\\ff\"",
        "0",
        "-1",
        "0xffffffffffffffff",
        "nan:0x1",
        "i32.const",
        "local.get",
        "block",
        "end",
        "br_table",
        "(;",
        ";;\n",
    ];
    let mut text = String::from("(module ");
    for _ in 0..rng.below(60) {
        text.push_str(rng.pick::<&str>(&WORDS));
        text.push(' ');
    }
    text.into_bytes()
}
