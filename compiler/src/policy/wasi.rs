//! The imports of WASI, for `--wasi` and `lucetc-wasi`: what preview 1 is made of, function by
//! function, so that a module that asks for another type learns it here and not when it is loaded.

use super::{ImportEntry, ImportRule, Policy, TypePattern};

/// The modules that the functions are imported from: preview 1, and the name of the snapshot before
/// it, which programs of 2019 use.
pub const MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// Functions that mean something else in the older one, or are not there.
pub const NOT_IN_THE_OLDER: [&str; 5] =
    ["fd_filestat_get", "fd_seek", "path_filestat_get", "poll_oneoff", "sock_accept"];

/// The functions, with their types as the policy compares them.
pub const FUNCTIONS: [(&str, &str); 46] = [
    ("args_get", "(i32, i32) -> i32"),
    ("args_sizes_get", "(i32, i32) -> i32"),
    ("clock_res_get", "(i32, i32) -> i32"),
    ("clock_time_get", "(i32, i64, i32) -> i32"),
    ("environ_get", "(i32, i32) -> i32"),
    ("environ_sizes_get", "(i32, i32) -> i32"),
    ("fd_advise", "(i32, i64, i64, i32) -> i32"),
    ("fd_allocate", "(i32, i64, i64) -> i32"),
    ("fd_close", "(i32) -> i32"),
    ("fd_datasync", "(i32) -> i32"),
    ("fd_fdstat_get", "(i32, i32) -> i32"),
    ("fd_fdstat_set_flags", "(i32, i32) -> i32"),
    ("fd_fdstat_set_rights", "(i32, i64, i64) -> i32"),
    ("fd_filestat_get", "(i32, i32) -> i32"),
    ("fd_filestat_set_size", "(i32, i64) -> i32"),
    ("fd_filestat_set_times", "(i32, i64, i64, i32) -> i32"),
    ("fd_pread", "(i32, i32, i32, i64, i32) -> i32"),
    ("fd_prestat_dir_name", "(i32, i32, i32) -> i32"),
    ("fd_prestat_get", "(i32, i32) -> i32"),
    ("fd_pwrite", "(i32, i32, i32, i64, i32) -> i32"),
    ("fd_read", "(i32, i32, i32, i32) -> i32"),
    ("fd_readdir", "(i32, i32, i32, i64, i32) -> i32"),
    ("fd_renumber", "(i32, i32) -> i32"),
    ("fd_seek", "(i32, i64, i32, i32) -> i32"),
    ("fd_sync", "(i32) -> i32"),
    ("fd_tell", "(i32, i32) -> i32"),
    ("fd_write", "(i32, i32, i32, i32) -> i32"),
    ("path_create_directory", "(i32, i32, i32) -> i32"),
    ("path_filestat_get", "(i32, i32, i32, i32, i32) -> i32"),
    ("path_filestat_set_times", "(i32, i32, i32, i32, i64, i64, i32) -> i32"),
    ("path_link", "(i32, i32, i32, i32, i32, i32, i32) -> i32"),
    ("path_open", "(i32, i32, i32, i32, i32, i64, i64, i32, i32) -> i32"),
    ("path_readlink", "(i32, i32, i32, i32, i32, i32) -> i32"),
    ("path_remove_directory", "(i32, i32, i32) -> i32"),
    ("path_rename", "(i32, i32, i32, i32, i32, i32) -> i32"),
    ("path_symlink", "(i32, i32, i32, i32, i32) -> i32"),
    ("path_unlink_file", "(i32, i32, i32) -> i32"),
    ("poll_oneoff", "(i32, i32, i32, i32) -> i32"),
    ("proc_exit", "(i32) -> ()"),
    ("proc_raise", "(i32) -> i32"),
    ("random_get", "(i32, i32) -> i32"),
    ("sched_yield", "() -> i32"),
    ("sock_accept", "(i32, i32, i32) -> i32"),
    ("sock_recv", "(i32, i32, i32, i32, i32, i32) -> i32"),
    ("sock_send", "(i32, i32, i32, i32, i32) -> i32"),
    ("sock_shutdown", "(i32, i32) -> i32"),
];

impl Policy {
    /// Allows the imports of WASI besides what is allowed; a policy that has no rules for imports,
    /// and so allows all, stays as it is.
    pub fn allow_wasi(&mut self) {
        let Some(rules) = &mut self.imports else { return };
        let entry = |(name, ty): &(&str, &str)| ImportEntry {
            ty: TypePattern::parse(ty).ok(),
            ..ImportEntry::named(name)
        };
        let [preview1, older] = MODULES.map(str::to_owned);
        let entries: Vec<_> = FUNCTIONS.iter().map(entry).collect();
        let same = |e: &&ImportEntry| !NOT_IN_THE_OLDER.contains(&e.name.as_str());
        let entries_of_older = entries.iter().filter(same).cloned().collect();
        rules.push(ImportRule { module: preview1, entries });
        rules.push(ImportRule { module: older, entries: entries_of_older });
    }

    /// A policy that allows the imports of WASI and no others.
    #[must_use]
    pub fn wasi() -> Self {
        let mut policy = Self { imports: Some(Vec::new()), ..Self::default() };
        policy.allow_wasi();
        policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_one() {
        for (name, ty) in FUNCTIONS {
            assert!(TypePattern::parse(ty).is_ok_and(|t| t.matches(ty)), "{name}");
        }
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.0 < b.0));
        let rules = Policy::wasi().imports.unwrap();
        assert!(rules.iter().all(|r| r.entries.iter().all(|e| e.ty.is_some())));
    }

    #[test]
    fn what_allows_everything_still_does() {
        let mut policy = Policy::default();
        policy.allow_wasi();
        assert_eq!(policy, Policy::default());
    }
}
