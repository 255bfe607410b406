//! One call: a sandbox is made, used and dropped.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant as Stopwatch;

use serde_json::value::RawValue;
use wasmtime::{Store, Trap};

use super::bindings::airlock::script::types::{Call as Request, Cause, ScriptError as Raised};
use super::bindings::{Script, ScriptPre};
use super::call::{Call, Stopped};
use super::engine::{self, Engine, HardDeadline};
use super::failure::{Failure, LimitHit};
use super::limits::Limit;
use super::outcome::{Outcome, ScriptError, Status};
use super::stack;
use super::warm::Snapshot;
use crate::compile::artifact::{self, Description, NotAnArtifact};
use crate::spelling::closest;
use crate::tenant::quota::Quota;

/// A script that is ready to be called.
#[derive(Clone)]
pub struct Program {
    pre: ScriptPre<Call>,
    snapshot: Arc<Snapshot>,
    description: Arc<Description>,
}

/// What one host call may make the host allocate for its arguments, in bytes:
/// more than the largest that any limit admits, so that the limits answer first.
const HOSTCALL_BYTES: usize = 32 << 20;

/// No sandbox was free in time.
#[derive(Debug, thiserror::Error)]
#[error("no sandbox was free within {}; the setting sandboxes.count has more of them", humantime::format_duration(*.0))]
pub struct Busy(pub std::time::Duration);

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    NotAnArtifact(#[from] NotAnArtifact),
    #[error("{0:#}")]
    Host(#[from] anyhow::Error),
}

impl Program {
    /// Loads an artifact's bytes.
    pub fn load(engine: &Engine, artifact: &[u8]) -> Result<Program, LoadError> {
        let (snapshot, description) = artifact::disassemble(artifact)?;
        Ok(Program::from_snapshot(engine, &snapshot, description)?)
    }

    /// Loads what this host has compiled itself.
    pub fn from_snapshot(engine: &Engine, snapshot: &[u8], description: Description) -> anyhow::Result<Program> {
        let snapshot = engine.snapshot(snapshot)?;
        let pre = engine.link(&snapshot)?;
        Ok(Program { pre, snapshot: Arc::new(snapshot), description: Arc::new(description) })
    }

    pub fn description(&self) -> &Description {
        &self.description
    }
}

/// Runs one entry with a JSON argument in a sandbox of its own.
pub async fn run(
    engine: &Engine,
    program: &Program,
    call: Call,
    entry: Option<&str>,
    input: Option<String>,
) -> Result<Outcome, Busy> {
    let control = call.control.clone();
    let waiting = Stopwatch::now();
    let turn = engine.turns.turn(call.account.tenant(), call.account.get(Quota::ConcurrentCalls));
    let turn = tokio::select! {
        biased;
        turn = tokio::time::timeout(engine.wait, turn) => turn.map_err(|_| Busy(engine.wait)),
        () = control.cancelled() => return Ok(Outcome::cancelled()),
        () = control.recalled() => Err(Busy(waiting.elapsed())),
    };
    control.waited(waiting.elapsed());
    let _turn = turn?;
    // Waiting for a sandbox does not count against the script.
    let mut call = call;
    call.restart_clock();
    engine.warm.called(&program.snapshot);
    let mut sandbox = Sandbox::new(engine, call);
    let result = tokio::select! {
        biased;
        result = sandbox.invoke(program, entry, input) => result,
        () = control.cancelled() => {
            let cancelled = Outcome::cancelled();
            let outcome = sandbox.finish(Err(cancelled.error.clone().unwrap_or_default()));
            return Ok(Outcome { status: cancelled.status, ..outcome });
        }
    };
    Ok(sandbox.finish(result))
}

/// A sandbox that is open. Calls of the host use one each; what a second call in
/// the same one would find is what the first left. Benchmarks measure that.
pub struct Sandbox {
    store: Store<Call>,
    script: Option<Script>,
    started: Stopwatch,
    /// What it was given.
    fuel: u64,
    /// What the tenant was charged for.
    charged: u64,
}

impl Sandbox {
    pub fn new(engine: &Engine, call: Call) -> Sandbox {
        let limits = call.limits.clone();
        let mut store = Store::new(&engine.wasmtime, call);
        store.limiter(|call| call);
        // No more than the tenant has left, and 0 would be no limit.
        let left = store.data().account.left(Quota::FuelPerMinute).map(|left| left.max(1));
        let limit = [Some(limits.fuel).filter(|limit| *limit > 0), left].into_iter().flatten().min();
        // Fuel is configured, so it can be set.
        let fuel = engine::fuel(&mut store, limit.unwrap_or_default()).unwrap_or_default();
        store.set_hostcall_fuel(HOSTCALL_BYTES.max(limits.output_bytes.saturating_mul(2) as usize));
        Sandbox { store, script: None, started: Stopwatch::now(), fuel, charged: 0 }
    }

    /// Runs one entry; answers the returned value as JSON.
    pub async fn invoke(
        &mut self,
        program: &Program,
        entry: Option<&str>,
        input: Option<String>,
    ) -> Result<Box<RawValue>, ScriptError> {
        let limits = self.store.data().limits.clone();
        if let Err(failure) = limits.check(Limit::InputBytes, input.as_ref().map_or(0, |input| input.len() as u64)) {
            self.store.data_mut().hits_of(&failure);
            return Err(raised(failure.name, failure.message, failure.limit));
        }
        let request =
            Request { entry: entry.map(str::to_owned), input, memory: limits.memory, output: limits.output_bytes };
        let deadline = self.store.data().hard_deadline;
        match engine::until(deadline, self.call(program, &request)).await {
            Ok(Ok(text)) => RawValue::from_string(text).map_err(|_| internal("the engine's answer is not JSON")),
            Ok(Err(error)) => Err(self.explain(program, entry, error)),
            Err(trap) => Err(self.trapped(trap)),
        }
    }

    async fn call(&mut self, program: &Program, request: &Request) -> wasmtime::Result<Result<String, Raised>> {
        if self.script.is_none() {
            self.script = Some(program.pre.instantiate_async(&mut self.store).await?);
        }
        match &self.script {
            Some(script) => script.call_invoke(&mut self.store, request).await,
            None => Err(wasmtime::Error::msg("there is no instance")),
        }
    }

    /// An error that the engine reported.
    fn explain(&self, program: &Program, entry: Option<&str>, error: Raised) -> ScriptError {
        let call = self.store.data();
        let limits = &call.limits;
        let limited = |limit: Limit, used: u64| {
            let value = limits.get(limit);
            raised("LimitError".into(), limit.message(value, used), Some(limit.hit(value, used)))
        };
        match error.cause {
            Cause::Thrown | Cause::Output => {
                let mut described = stack::script_error(error.name, error.message, &error.stack);
                described.retry = error.permanent.then_some(false);
                // Only a limit that the host itself refused for counts as one.
                described.limit =
                    error.limit.and_then(|name| call.hits.iter().find(|hit| hit.name == name).cloned()).map(Into::into);
                described
            }
            Cause::Timeout => {
                let value = limits.timeout;
                ScriptError {
                    name: error.name,
                    message: error.message,
                    limit: Some(Limit::Timeout.hit(value, value).into()),
                    ..ScriptError::default()
                }
            }
            Cause::Memory => {
                let used = call.memory.wanted().max(error.used);
                let mut described = limited(Limit::Memory, used);
                if used <= limits.memory {
                    // One value was to take more than is left, and was refused unmade.
                    let (limit, setting) = (Limit::Memory.show(limits.memory), Limit::Memory.setting());
                    described.message = format!(
                        "the limit on memory is {limit}, and a value needs more than is left of it; the setting {setting} changes it"
                    );
                }
                let place = stack::script_error(String::new(), String::new(), &error.stack);
                (described.stack, described.line, described.column) = (place.stack, place.line, place.column);
                described
            }
            Cause::OutputSize => limited(Limit::OutputBytes, error.used),
            Cause::Input => ScriptError {
                name: "SyntaxError".into(),
                message: match error.name.as_str() {
                    "RangeError" => "the input is nested too deeply to be read".into(),
                    _ => format!("the input is not JSON: {}", error.message),
                },
                ..ScriptError::default()
            },
            Cause::Entry => no_entry(program.description(), entry),
            Cause::Unsettled => ScriptError {
                name: "Error".into(),
                message: format!(
                    "the promise that {} returned can never settle: nothing is under way that could settle it; \
                     look for a `new Promise` whose resolve is never called",
                    error.message
                ),
                ..ScriptError::default()
            },
        }
    }

    /// What has been burnt.
    fn used(&self) -> u64 {
        self.fuel - self.store.get_fuel().unwrap_or(self.fuel)
    }

    /// Charges the tenant for what has been burnt since the last time.
    fn settle(&mut self) {
        let used = self.used();
        self.store.data().account.charge(Quota::FuelPerMinute, used - self.charged);
        self.charged = used;
    }

    /// The sandbox was stopped from outside.
    fn trapped(&mut self, trap: wasmtime::Error) -> ScriptError {
        self.settle();
        let call = self.store.data();
        let limits = &call.limits;
        let limited = |name: &str, limit: Limit, used: u64| {
            let value = limits.get(limit);
            raised(name.into(), limit.message(value, used), Some(limit.hit(value, used)))
        };
        if trap.is::<HardDeadline>() {
            return limited("TimeoutError", Limit::Timeout, limits.timeout + limits.grace);
        }
        if trap.is::<Stopped>()
            && let Some(hit) = call.hits.last()
            && let Some(limit) = Limit::named(&hit.name)
        {
            return limited("LimitError", limit, hit.used);
        }
        match trap.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) if self.fuel == limits.fuel => {
                return limited("LimitError", Limit::Fuel, limits.fuel);
            }
            Some(Trap::OutOfFuel) => {
                let failure = Failure::from(call.account.exhausted(Quota::FuelPerMinute));
                return raised(failure.name, failure.message, failure.limit);
            }
            Some(Trap::StackOverflow) => return stack::overflow(),
            _ => {}
        }
        if call.memory.refused.is_some() {
            return limited("LimitError", Limit::Memory, call.memory.wanted());
        }
        tracing::error!(execution_id = %call.identity.execution.id, reason = format!("{trap:#}"), "a sandbox stopped unexpectedly");
        internal("the sandbox stopped unexpectedly; the host's log has the reason")
    }

    fn finish(mut self, result: Result<Box<RawValue>, ScriptError>) -> Outcome {
        let fuel = self.used();
        let duration = self.started.elapsed();
        let call = self.store.data_mut();
        let memory_bytes = call.memory.peak as u64;
        let host_calls = call.counted(Limit::HostCalls);
        let mut shows_secret = false;
        let (status, result, error) = match result {
            Ok(result) => {
                let redactor = &call.held.log.redactor;
                if !redactor.is_empty() && matches!(redactor.redact(result.get()), Cow::Owned(_)) {
                    call.control.shows_secret();
                    shows_secret = true;
                }
                (Status::Completed, Some(result), None)
            }
            Err(mut error) => {
                let redactor = &call.held.log.redactor;
                for text in [&mut error.name, &mut error.message, &mut error.stack] {
                    if let Cow::Owned(redacted) = redactor.redact(text) {
                        *text = redacted;
                    }
                }
                let status = match &error.limit {
                    None => Status::Failed,
                    Some(limit) if limit.name == Limit::Timeout.name() => Status::Timeout,
                    Some(_) => Status::Limit,
                };
                (status, None, Some(error))
            }
        };
        let logs = std::mem::take(&mut call.held.log).into_lines();
        Outcome { status, result, error, logs, fuel, duration, memory_bytes, host_calls, shows_secret }
    }
}

impl Drop for Sandbox {
    /// Also of a call whose caller went away: leaving early is not free.
    fn drop(&mut self) {
        self.settle();
        let call = self.store.data();
        call.control.used(self.charged, call.memory.peak as u64, call.counted(Limit::HostCalls));
    }
}

fn raised(name: String, message: String, limit: Option<LimitHit>) -> ScriptError {
    ScriptError { name, message, limit: limit.map(Into::into), ..ScriptError::default() }
}

fn internal(message: &str) -> ScriptError {
    ScriptError { name: "InternalError".into(), message: message.into(), ..ScriptError::default() }
}

/// The entry that was asked for does not exist; says which do.
pub fn no_entry(description: &Description, wanted: Option<&str>) -> ScriptError {
    let entries = description.entries.join(", ");
    let message = match wanted {
        Some(wanted) => {
            let near = closest(wanted, &description.entries);
            let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            format!("{} has no entry {wanted}; it has {entries}{hint}", description.file)
        }
        None => format!(
            "{} has several functions and none is called main: say which one to run of {entries}",
            description.file
        ),
    };
    ScriptError { name: "NoSuchEntry".into(), message, ..ScriptError::default() }
}
