//! A description for people: one fact per line, lists under their headings.
//!
//! Everything that comes from the file is escaped: names are quoted as Rust quotes strings, so that
//! no character drives the terminal or reverses the line.

use super::{Description, hex, names};
use lucet_artifact::contract::{MemoryDecl, cpu, feature};
use lucet_artifact::types::MemoryShape;
use std::fmt::{self, Display};

struct Page<'f, 'g>(&'f mut fmt::Formatter<'g>);

impl Page<'_, '_> {
    fn fact(&mut self, name: &str, value: impl Display) -> fmt::Result {
        writeln!(self.0, "{name:<15}{value}")
    }

    fn list<T>(
        &mut self,
        title: &str,
        items: &[T],
        mut line: impl FnMut(&mut fmt::Formatter<'_>, usize, &T) -> fmt::Result,
    ) -> fmt::Result {
        if items.is_empty() {
            return Ok(());
        }
        writeln!(self.0, "\n{title} ({})", items.len())?;
        for (i, item) in items.iter().enumerate() {
            self.0.write_str("  ")?;
            line(self.0, i, item)?;
            self.0.write_str("\n")?;
        }
        Ok(())
    }
}

impl Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut page = Page(f);
        self.head(&mut page)?;
        self.needs(&mut page)?;
        self.lists(&mut page)
    }
}

impl Description {
    fn head(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let c = &self.contract;
        let what = if self.parent.is_some() { "snapshot" } else { "artifact" };
        page.fact("kind", what)?;
        page.fact("format", format_args!("{} (ABI {})", self.format, c.abi_version))?;
        let (compiler, codegen) = (c.compiler.escape_debug(), c.codegen.escape_debug());
        page.fact("compiler", format_args!("lucetc {compiler}, {codegen}"))?;
        page.fact("source", hex(&c.source_hash))?;
        match c.policy_hash {
            hash if hash == [0; 32] => page.fact("policy", "none")?,
            hash => page.fact("policy", hex(&hash))?,
        }
        page.fact("hash", hex(&self.hash))?;
        if let Some(parent) = self.parent {
            page.fact("parent", hex(&parent))?;
        }
        if let Some(s) = self.snapshot {
            let reseed = s.reseed.map_or("none".to_owned(), |f| format!("function {f}"));
            let random = if s.impure { "read before it was taken" } else { "not read" };
            page.fact("randomness", format_args!("{random}; reseeded by: {reseed}"))?;
        }
        match &self.signer {
            Some(s) => {
                page.fact("signature", format_args!("key {} (not checked here)", s.key))?;
                page.fact("  comment", format_args!("{:?}", s.comment))?;
            }
            None => page.fact("signature", "none")?,
        }
        let s = self.sizes;
        page.fact(
            "bytes",
            format_args!("{} (code {}, image {}, data {})", s.file, s.code, s.image, s.data),
        )
    }

    fn needs(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let c = &self.contract;
        page.fact("stack", format_args!("{} bytes at least", c.min_stack))?;
        page.fact("instance data", format_args!("{} bytes", c.instance_data))?;
        let level = match c.cpu {
            cpu::X86_64_V2 => " (x86-64-v2)",
            cpu::X86_64_V3 => " (x86-64-v3)",
            _ => "",
        };
        page.fact("cpu", format_args!("{}{level}", listed(&names(c.cpu, &cpu::NAMES))))?;
        page.fact("features", listed(&names(c.features, &feature::NAMES)))?;
        page.fact("fuel", if c.fuel { "counted" } else { "not counted" })?;
        page.fact("functions", c.functions)?;
        match c.start {
            Some(start) => page.fact("start", format_args!("function {start}")),
            None => page.fact("start", "none"),
        }
    }

    fn lists(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let c = &self.contract;
        page.list("labels", &c.labels, |f, _, (name, value)| write!(f, "{name:?} = {value:?}"))?;
        page.list("imports", &self.imports.imports, |f, _, i| {
            let ty = self.import_type(i);
            write!(f, "{:<9}{:?} {:?}  {ty}", i.kind.word(), i.module, i.name)
        })?;
        page.list("exports", &self.exports.exports, |f, _, e| {
            write!(f, "{:<9}{:?}  {}", e.kind.word(), e.name, self.export_type(e))
        })?;
        page.list("memories", &c.memories, |f, i, m| write!(f, "{i:<5}{}  {}", m.ty, place(m)))?;
        page.list("tables", &c.tables, |f, i, t| write!(f, "{i:<5}{t}"))?;
        page.list("globals", &c.globals, |f, i, g| write!(f, "{i:<5}{g}"))?;
        page.list("tags", &c.tags, |f, i, t| write!(f, "{i:<5}{}", self.tag_type(*t)))?;
        page.list("types", &self.types.types, |f, i, t| write!(f, "{i:<5}{}", t.ty))
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Shape, reservation and guard of a memory.
fn place(m: &MemoryDecl) -> String {
    if m.is_imported() {
        return "imported".to_owned();
    }
    let shape = match m.shape {
        MemoryShape::Guarded => "guarded",
        MemoryShape::Compact => "compact",
    };
    format!("{shape}, {} bytes reserved, {} of guard", m.reserve_bytes, m.guard_bytes)
}
