//! Host functions that an embedder offers, and the check of a module's imports against them.

use crate::error::{Error, Result, Status, brief};
use crate::sys::{Seed, reserve};
use crate::vmctx::{HostCode, Lent};
use lucet_artifact::{FuncType, ValType};
use std::collections::HashMap;
use std::sync::Arc;

/// A function offered to guests.
#[derive(Debug, Clone)]
pub(crate) struct HostFunction {
    pub ty: FuncType,
    pub code: HostCode,
    pub user_data: usize,
    /// Its results should differ from instance to instance.
    pub impure: bool,
}

/// Things by name.
type Named<T> = HashMap<String, T, Seed>;

/// The host functions that a module may import, by module and name. This is the whitelist: what is
/// not here cannot be reached, whatever the artifact says.
#[derive(Debug, Clone, Default)]
pub struct Imports {
    /// Shared with copies: loading a module makes one.
    functions: Arc<Named<Named<HostFunction>>>,
    /// What lives as long as these imports and whatever was loaded with them.
    lent: LentToAll,
}

impl HostFunction {
    /// This function, if its type is `ty` or differs from it only as [`same_for_host`] allows.
    ///
    /// # Errors
    /// `ImportTypeMismatch` with both types.
    pub(crate) fn check(self, module: &str, name: &str, ty: &FuncType) -> Result<Self> {
        if same_for_host(&self.ty, ty) {
            return Ok(self);
        }
        Err(Error::new(
            Status::ImportTypeMismatch,
            format!(
                "the module imports {}.{} as {}, the host offers it as {}",
                brief(module),
                brief(name),
                brief(&ty.to_string()),
                brief(&self.ty.to_string())
            ),
        ))
    }
}

/// What a configuration, its copies, and modules with their instances share.
pub(crate) type LentToAll = Arc<Vec<Arc<Lent>>>;

impl Imports {
    /// No functions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Offers `code` as `module.name` with the wasm type `ty`. `user_data` is passed to each call
    /// and must stay valid as long as modules loaded with these imports are used.
    ///
    /// # Errors
    /// `InvalidArgument` if that name is taken, or has a type that cannot cross the border.
    pub fn add(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        code: HostCode,
        user_data: usize,
    ) -> Result<()> {
        let no_memory = |_| Error::new(Status::OutOfMemory, "no memory for another host function");
        let functions = Arc::make_mut(&mut self.functions);
        reserve::plainly(|| functions.try_reserve(1)).map_err(no_memory)?;
        let names = functions.entry(module.to_owned()).or_default();
        reserve::plainly(|| names.try_reserve(1)).map_err(no_memory)?;
        if names.contains_key(name) {
            return Err(Error::new(
                Status::InvalidArgument,
                format!("host function {module}.{name} was added before"),
            ));
        }
        names.insert(name.to_owned(), HostFunction { ty, code, user_data, impure: false });
        Ok(())
    }

    /// Marks `module.name`, which was added before, as *impure*: it gives random numbers, the time,
    /// or other values that must not be the same in each instance of a snapshot. An instance that
    /// called it becomes a snapshot only if it can be reseeded.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no such function.
    pub fn mark_impure(&mut self, module: &str, name: &str) -> Result<()> {
        match Arc::make_mut(&mut self.functions).get_mut(module).and_then(|m| m.get_mut(name)) {
            Some(f) => {
                f.impure = true;
                Ok(())
            }
            None => Err(Error::new(
                Status::InvalidArgument,
                format!("host function {module}.{name} was not added{}", self.hint(module, name)),
            )),
        }
    }

    /// Keeps `lent` as long as these imports, their copies, and modules loaded with them exist,
    /// instances of those included.
    ///
    /// # Errors
    /// `OutOfMemory`; then it is not given back.
    pub(crate) fn keep(&mut self, lent: Lent) -> Result<()> {
        let all = Arc::make_mut(&mut self.lent);
        if reserve::plainly(|| all.try_reserve(1)).is_err() {
            lent.forget();
            return Err(Error::new(Status::OutOfMemory, "no memory to keep what was handed over"));
        }
        all.push(Arc::new(lent));
        Ok(())
    }

    pub(crate) fn lent(&self) -> &LentToAll {
        &self.lent
    }

    /// The function offered as `module.name`.
    pub(crate) fn get(&self, module: &str, name: &str) -> Option<&HostFunction> {
        self.functions.get(module).and_then(|m| m.get(name))
    }

    /// Why a function of type `ty` cannot be imported that is not offered.
    pub(crate) fn missing(&self, module: &str, name: &str, ty: &FuncType) -> Error {
        let of_wasi = crate::wasi::function(module, name).is_some();
        let hint = if of_wasi {
            "; it is one of WASI's: lucet_module_config_set_wasi offers them".into()
        } else {
            self.hint(module, name)
        };
        Error::new(
            Status::MissingImport,
            format!(
                "the module imports function {}.{} of type {}, which the host does not offer{hint}",
                brief(module),
                brief(name),
                brief(&ty.to_string()),
            ),
        )
    }

    fn hint(&self, module: &str, name: &str) -> String {
        if let Some(names) = self.functions.get(module) {
            let mut known: Vec<_> = names.keys().map(String::as_str).collect();
            known.sort_unstable();
            known.truncate(8);
            return format!(" (it offers {module}.{{{}}})", known.join(", "));
        }
        let other = self.functions.iter().find(|(_, names)| names.contains_key(name));
        other.map_or(String::new(), |(m, _)| format!(" (it offers {m}.{name})"))
    }
}

/// Whether two function types are the same to the host, which knows `funcref`, `externref` and
/// `exnref` only: one of these stands for each reference type of its kind. What the host gives for
/// a narrower one is checked each time.
pub(crate) fn same_for_host(a: &FuncType, b: &FuncType) -> bool {
    let same = |a: &[ValType], b: &[ValType]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.byte() == b.byte())
    };
    same(&a.params, &b.params) && same(&a.results, &b.results)
}

/// Parses a function type as text: `(i32, i64) -> f32`, `() -> ()`, `(i32) -> (i32, i32)`.
///
/// # Errors
/// `InvalidArgument` that says where the text stops making sense.
pub fn parse_signature(text: &str) -> Result<FuncType> {
    let bad = |what: &str| {
        Error::new(
            Status::InvalidArgument,
            format!("signature \"{text}\": {what}; write it like \"(i32, i64) -> f32\""),
        )
    };
    let (params, results) = text.split_once("->").ok_or_else(|| bad("there is no \"->\""))?;
    let list = |part: &str, bare: bool| -> Result<Vec<ValType>> {
        let part = part.trim();
        let inner = match part.strip_prefix('(').and_then(|p| p.strip_suffix(')')) {
            Some(inner) => inner,
            None if bare && !part.is_empty() => part,
            None => return Err(bad("types stand in parentheses")),
        };
        if inner.trim().is_empty() {
            return Ok(Vec::new());
        }
        inner
            .split(',')
            .map(|t| {
                Ok(match t.trim() {
                    "i32" => ValType::I32,
                    "i64" => ValType::I64,
                    "f32" => ValType::F32,
                    "f64" => ValType::F64,
                    "v128" => ValType::V128,
                    "funcref" => ValType::FUNCREF,
                    "externref" => ValType::EXTERNREF,
                    "exnref" => ValType::EXNREF,
                    other => return Err(bad(&format!("\"{other}\" is not a value type"))),
                })
            })
            .collect()
    };
    Ok(FuncType { params: list(params, false)?, results: list(results, true)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_round_trip() {
        for s in ["() -> ()", "(i32, i64) -> f32", "(f64) -> (i32, externref)", "(funcref) -> ()"] {
            assert_eq!(parse_signature(s).unwrap().to_string(), s);
        }
        assert_eq!(parse_signature("(i32)->(i64)").unwrap().to_string(), "(i32) -> i64");
    }

    #[test]
    fn bad_signatures_say_why() {
        for (s, word) in [
            ("i32", "->"),
            ("i32 -> i32", "parentheses"),
            ("(int) -> ()", "int"),
            ("() -> ", "parentheses"),
            ("(i32,) -> ()", "\"\""),
        ] {
            let e = parse_signature(s).unwrap_err();
            assert_eq!(e.status(), Status::InvalidArgument);
            assert!(e.message().contains(word), "{e}");
        }
    }
}
