//! Sections and segments that are right by themselves and lie where they must not: over one
//! another, in another order, twice, or not at all; and bytes that belong to nothing.

use super::super::Cases;
use super::super::elf::{Built, PAGE, get, put, section};
use lucet_artifact::container::{
    CONTRACT, DATA, EH_FRAME, EH_FRAME_HDR, HANDLERS, IMAGE, IMPORTS, INIT, PCMAP, REQUIRED,
    SHSTRTAB, STRTAB, SYMTAB, TEXT, TRAPS, TYPES,
};

/// Moves a section to an offset, with a size.
fn place(b: &mut Built, name: &str, at: u64, size: u64) {
    let h = b.section(name);
    put(&mut b.bytes, h + 24, at, 8);
    put(&mut b.bytes, h + 32, size, 8);
    if get(&b.bytes, h + 8, 8) & 2 != 0 {
        put(&mut b.bytes, h + 16, at, 8);
    }
}

pub fn cases(c: &mut Cases) {
    overlaps(c);
    orders(c);
    gaps(c);
}

fn overlaps(c: &mut Cases) {
    // The second name is where the first one is moved to.
    let pairs = [
        (CONTRACT, TEXT),
        (IMPORTS, TEXT),
        (DATA, TEXT),
        (INIT, CONTRACT),
        (TYPES, CONTRACT),
        (TRAPS, IMPORTS),
        (PCMAP, TYPES),
        (DATA, INIT),
        (STRTAB, SYMTAB),
        (SYMTAB, CONTRACT),
        (IMAGE, TEXT),
        (STRTAB, EH_FRAME),
        (EH_FRAME, EH_FRAME_HDR),
    ];
    for (name, over) in pairs {
        c.field(format!("{name} over {over}"), "sh_", |b| {
            let (at, size) = (b.range(over).start as u64, b.range(name).len() as u64);
            place(b, name, at, size);
        });
    }
    for (name, end) in [(CONTRACT, TYPES), (TYPES, IMPORTS), (INIT, DATA), (EH_FRAME_HDR, EH_FRAME)]
    {
        c.field(format!("{name} reaches into {end}"), "sh_", |b| {
            let (at, end) = (b.range(name).start as u64, b.range(end).start as u64 + 1);
            place(b, name, at, end - at);
        });
    }
    for name in [CONTRACT, DATA, STRTAB, SYMTAB] {
        c.field(format!("{name} over the file header"), "sh_offset", |b| {
            let size = b.range(name).len() as u64;
            place(b, name, 0, size);
        });
        c.field(format!("{name} over the section headers"), "sh_", |b| {
            let (at, size) = (get(&b.bytes, 40, 8), b.range(name).len() as u64);
            place(b, name, at, size);
        });
    }
    c.field("names of sections reach over the section headers", "sh_", |b| {
        let (r, shoff) = (b.range(SHSTRTAB), get(&b.bytes, 40, 8));
        place(b, SHSTRTAB, r.start as u64, shoff + 64 - r.start as u64);
    });
    c.field("the image over the section headers", "sh_", |b| {
        let at = get(&b.bytes, 40, 8) / PAGE as u64 * PAGE as u64;
        place(b, IMAGE, at, 2 * PAGE as u64);
    });
    c.field("code reaches into the contract", "p_filesz", |b| {
        let size = b.bytes.len() as u64;
        let h = b.segment(1);
        put(&mut b.bytes, h + 32, size, 8);
        put(&mut b.bytes, h + 40, size, 8);
    });
    c.field(
        "segment and section of code reach into the contract",
        "section .lucet.contract: sh_",
        |b| {
            let size = PAGE as u64 + 64;
            let (h, at) = (b.segment(1), b.range(TEXT).start as u64);
            put(&mut b.bytes, h + 32, size, 8);
            put(&mut b.bytes, h + 40, size, 8);
            place(b, TEXT, at, size);
        },
    );
    c.field("the contract on the last page of code", "on the last page of .text", |b| {
        let at = (b.range(TEXT).end as u64).next_multiple_of(8);
        let end = b.range(TEXT).end;
        let from = b.range(CONTRACT);
        let size = 64.min(PAGE as u64 - at % PAGE as u64);
        assert!(size > 0 && at < from.start as u64);
        b.bytes[end..at as usize].fill(0);
        b.bytes[from].fill(0);
        place(b, CONTRACT, at, size);
    });
    c.field("data reaches into code", "p_offset of code", |b| {
        let h = b.segment(0);
        put(&mut b.bytes, h + 32, PAGE as u64 + 8, 8);
        put(&mut b.bytes, h + 40, PAGE as u64 + 8, 8);
    });
    c.field("data not from the start", "p_offset of the first segment", |b| {
        let h = b.segment(0);
        let size = get(&b.bytes, h + 32, 8);
        for (at, v) in [(8, 8), (16, 8), (24, 8), (32, size - 8), (40, size - 8)] {
            put(&mut b.bytes, h + at, v, 8);
        }
    });
    // Where they are loaded, in the room before the code; the old ones become filler.
    c.field("section headers among the data", "e_shoff at file offset 0x28", |b| {
        let (from, n) = (get(&b.bytes, 40, 8) as usize, 64 * get(&b.bytes, 60, 2) as usize);
        let h = b.segment(0);
        let to = (get(&b.bytes, h + 32, 8) as usize).next_multiple_of(8);
        assert!(to + n <= PAGE);
        b.bytes.copy_within(from..from + n, to);
        b.bytes[from..from + n].fill(0);
        put(&mut b.bytes, 40, to as u64, 8);
        put(&mut b.bytes, h + 32, (to + n) as u64, 8);
        put(&mut b.bytes, h + 40, (to + n) as u64, 8);
    });
    c.field("data does not hold the headers", "p_filesz", |b| {
        let h = b.segment(0);
        put(&mut b.bytes, h + 32, 64, 8);
        put(&mut b.bytes, h + 40, 64, 8);
    });
    c.field("frames reach out of their segment", "sh_size", |b| {
        let h = b.segment(0);
        let size = get(&b.bytes, h + 32, 8) - 8;
        put(&mut b.bytes, h + 32, size, 8);
        put(&mut b.bytes, h + 40, size, 8);
    });
    c.field("code from its second page", "sh_", |b| {
        let h = b.segment(1);
        for at in [8, 16, 24] {
            put(&mut b.bytes, h + at, 2 * PAGE as u64, 8);
        }
    });
    c.field("code that is not on a page", "p_offset of code", |b| {
        let h = b.segment(1);
        for at in [8, 16, 24] {
            put(&mut b.bytes, h + at, PAGE as u64 + 32, 8);
        }
    });
    c.field("an image that is not on a page", "sh_offset", |b| {
        let r = b.range(IMAGE);
        let h = b.section(IMAGE);
        put(&mut b.bytes, h + 48, 8, 8);
        place(b, IMAGE, r.start as u64 + 8, r.len() as u64 - 8);
    });
    c.elf("an image of half a page", "sh_size", |e| e.find(IMAGE).bytes.truncate(PAGE / 2));
    c.elf("code of no bytes", "sh_size", |e| e.find(TEXT).bytes.clear());
    c.elf("code behind its section", "byte behind .text", |e| {
        let (text, tail) = (e.find(TEXT), 32);
        let n = text.bytes.len() - tail;
        text.size = Some(n as u64);
        e.segments[1].part = super::super::elf::Part::Fixed(PAGE as u64, n as u64);
        e.remove(SYMTAB);
    });
}

fn orders(c: &mut Cases) {
    let names: Vec<String> = c.good.sections.iter().map(|s| s.name.clone()).collect();
    for pair in names.windows(2) {
        let [a, b] = pair else { continue };
        let part = format!("section {a} is repeated or out of order");
        // Nothing but what is loaded lies before the code.
        let moved = if a == TEXT { "section .lucet.contract: sh_offset" } else { &part };
        c.elf(format!("{b} before {a}"), moved, |e| {
            let at = e.index(a);
            e.sections.swap(at, at + 1);
        });
        // In the table only: each stays where it lies.
        let names = a == SHSTRTAB || b == SHSTRTAB;
        let part = if names { "unknown section" } else { &part };
        c.field(format!("the header of {b} before that of {a}"), part, |f| {
            let (x, y) = (f.section(a), f.section(b));
            for k in 0..64 {
                f.bytes.swap(x + k, y + k);
            }
        });
    }
    for name in &names {
        let again = c.good.find(name).clone();
        c.elf(format!("{name} twice"), "is repeated or out of order", |e| {
            e.insert_behind(name, again)
        });
    }
    for name in REQUIRED.into_iter().filter(|n| *n != TEXT && *n != SHSTRTAB) {
        let missing = format!("section {name} is missing");
        let part = if name == STRTAB { "section .symtab: sh_link" } else { &missing };
        c.elf(format!("no {name}"), part, |e| e.remove(name));
    }
    c.elf("handlers that are no table", "section .lucet.handlers", |e| {
        e.find(HANDLERS).bytes = vec![0xff; 64];
    });
    c.elf("a snapshot's section", "this artifact is not a snapshot", |e| {
        e.insert_behind(DATA, section(".lucet.snapshot", 1, 0, vec![0, 0, 0, 0, 0, 0]));
    });
    c.elf("all sections backwards", "is repeated or out of order", |e| e.sections.reverse());
}

fn gaps(c: &mut Cases) {
    let good = c.good.build();
    let mut used: Vec<(usize, usize, String)> =
        good.names.iter().map(|n| (good.range(n).start, good.range(n).end, n.clone())).collect();
    used.push((0, 64 + 56 * 4, "the program headers".into()));
    let shoff = get(&good.bytes, 40, 8) as usize;
    used.push((shoff, shoff + 64 * (good.names.len() + 1), "the section headers".into()));
    used.sort_unstable();
    let ends: Vec<_> = used.windows(2).filter(|w| w[0].1 < w[1].0).collect();
    for w in ends {
        let (from, to, name) = (w[0].1, w[1].0, &w[0].2);
        let part = if name == TEXT { "byte behind .text" } else { "byte between sections" };
        c.field(format!("a byte behind {name}"), part, |b| b.bytes[from] = 0xc3);
        if to - from > 1 {
            c.field(format!("the last byte behind {name}"), part, |b| b.bytes[to - 1] = 0x90);
        }
    }
    for more in [1, 8, PAGE, 3 * PAGE] {
        c.field(format!("{more} bytes behind everything"), "unused bytes follow", |b| {
            b.bytes.resize(b.bytes.len() + more, 0);
        });
    }
    c.field("another trailer behind everything", "unused bytes follow", |b| {
        b.bytes = super::super::with_trailer(std::mem::take(&mut b.bytes));
    });
    c.field("another artifact behind everything", "unused bytes follow", |b| {
        let again = b.bytes.clone();
        b.bytes.extend(again);
    });
    c.field("cut in the middle of the image", "section .lucet.image: sh_size", |b| {
        b.bytes.truncate(b.bytes.len() - 1)
    });
    c.field("cut behind the first section header", "e_shoff", |b| b.bytes.truncate(shoff + 64));
    c.field("only a file header", "e_shoff", |b| b.bytes.truncate(64));
}
