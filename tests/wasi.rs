//! The two tables of WASI's functions, the runtime's and the compiler's, are one.

use lucet_wasi::{MODULE, MODULE_UNSTABLE, NAMES, NOT_IN_UNSTABLE};
use lucetc::policy::wasi;

macro_rules! types {
    ($($name:ident($($arg:ident: $ty:ident),*) -> $result:tt;)*) => {
        fn types() -> Vec<(&'static str, String)> {
            vec![$((stringify!($name), {
                let params: &[&str] = &[$(stringify!($ty)),*];
                format!("({}) -> {}", params.join(", "), stringify!($result))
            })),*]
        }
    };
}
lucet_wasi::for_each_function!(types);

#[test]
fn the_compiler_allows_what_the_runtime_offers() {
    let mut offered = types();
    assert_eq!(offered.len(), NAMES.len());
    offered.sort();
    let allowed = wasi::FUNCTIONS.map(|(name, ty)| (name, ty.to_owned()));
    assert_eq!(offered, allowed);
    assert_eq!(wasi::MODULES, [MODULE, MODULE_UNSTABLE]);
    let mut not: Vec<_> = NOT_IN_UNSTABLE.to_vec();
    not.sort_unstable();
    assert_eq!(not, wasi::NOT_IN_THE_OLDER);
}
