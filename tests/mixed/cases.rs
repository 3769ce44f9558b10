//! Single cases in which one feature met another.

use super::kit::{OK, call_from_c, guest, kind};
use lucet::{Instance, OutcomeKind, Region, RegionConfig};
use lucet_artifact::types::MemoryShape::Guarded;

/// A call on the shortest path does not look up the instance's stack: whoever walks it later must
/// still find it, also after a reset.
#[test]
fn backtraces_of_short_calls_after_a_reset() {
    let config = RegionConfig { slots: 2, backtrace: true, ..RegionConfig::default() };
    let region = Region::new(config).unwrap();
    let module = guest(Guarded, false, false);
    let i = Instance::new(&region, &module).unwrap();
    for round in 0..3 {
        let (f, y) = (module.find("oob", None).unwrap(), module.find("yield", None).unwrap());
        assert_eq!(call_from_c(*i, f, None, 0).1, kind(OutcomeKind::Trapped));
        let names: Vec<_> = i.backtrace().unwrap().frames.into_iter().map(|f| f.function).collect();
        assert_eq!(names.len(), 1, "round {round}: {names:?}");
        i.reset().unwrap();
        let (status, ended, _) = call_from_c(*i, y, None, 1);
        assert_eq!((status, ended), (OK, kind(OutcomeKind::Yielded)), "round {round}");
        let waits = i.backtrace().unwrap().frames;
        assert_eq!(waits.len(), 2, "round {round}: {waits:?}");
        i.reset().unwrap();
    }
}
