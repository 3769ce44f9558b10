//! The counters that the compiler puts on every edge of the code.
//!
//! Each object file that was compiled with them hands its array over before `main`, through a
//! function whose name LLVM chose (SanitizerCoverage, "inline 8-bit counters").

use std::sync::Mutex;

/// Where arrays begin, and how long they are.
static ARRAYS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Called by constructors that the compiler makes.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, end: *mut u8) {
    let array = (start.expose_provenance(), end.addr() - start.addr());
    if let Ok(mut all) = ARRAYS.lock()
        && !all.contains(&array)
    {
        all.push(array);
    }
}

fn each(mut f: impl FnMut(usize, *mut u8)) {
    let mut n = 0;
    for (start, len) in ARRAYS.lock().expect("no thread panics with it").iter() {
        for at in *start..start + len {
            f(n, std::ptr::with_exposed_provenance_mut(at));
            n += 1;
        }
    }
}

/// How many there are.
pub fn number() -> usize {
    ARRAYS.lock().expect("no thread panics with it").iter().map(|(_, len)| len).sum()
}

/// Sets all to 0.
pub fn clear() {
    // SAFETY: the address lies in an array that is there as long as the program.
    each(|_, counter| unsafe { counter.write_volatile(0) });
}

/// What any artifact has reached, by edge: a bit for each order of magnitude of its count.
#[derive(Default)]
pub struct Seen(Vec<u8>);

impl Seen {
    /// Whether the counters say something new since they were cleared; it is remembered.
    pub fn anything_new(&mut self) -> bool {
        self.0.resize(number(), 0);
        let mut new = false;
        each(|n, counter| {
            // SAFETY: as above.
            let count = unsafe { counter.read_volatile() };
            let bit = match count {
                0 => 0,
                1 => 1,
                2 => 2,
                3 => 4,
                4..8 => 8,
                8..16 => 16,
                16..32 => 32,
                32..128 => 64,
                _ => 128,
            };
            new |= self.0[n] & bit != bit;
            self.0[n] |= bit;
        });
        new
    }

    /// How many edges were reached.
    pub fn edges(&self) -> usize {
        self.0.iter().filter(|b| **b != 0).count()
    }
}
