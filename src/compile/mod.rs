//! From a source text to an artifact.
//!
//! The script's top level is tenant code, so it runs in a sandbox with the same
//! limits as a call, and with no host to speak to. The memory that it leaves is
//! the snapshot.

pub mod artifact;
mod declaration;
pub mod frame;
pub mod image;
pub mod source;

use std::time::Duration;

use serde::Deserialize;
use sha2::Digest;
use tokio::time::Instant;
use wasmtime::{Linker, Store};

use self::artifact::Description;
use self::source::{Source, SyntaxError};
use crate::hexadecimal;
use crate::runtime;
use crate::runtime::call::MemoryMeter;
use crate::runtime::engine::{Engine, HardDeadline, STACK_TOP};
use crate::runtime::limits::{Limit, Limits};
use crate::runtime::outcome::{LimitInfo, ScriptError, Status};
use crate::runtime::stack;

/// The longest source text, in bytes: more than any hand-written script and most
/// bundles. Parsing may take half a gigabyte of stack for a hostile one (see
/// [`source`]), for a moment.
pub const MAX_SOURCE: usize = 1 << 20;

/// Why a source does not compile.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    #[error("{}", .0.frame)]
    Syntax(SyntaxError),
    #[error("{message}")]
    Refused { message: String },
    /// The script's top level threw.
    #[error("{}: {}", .0.name, .0.message)]
    Threw(Box<ScriptError>),
    /// A limit stopped the script's top level.
    #[error("{message}")]
    Limit { message: String, limit: LimitInfo },
    /// Not the source's fault.
    #[error("{0:#}")]
    Host(anyhow::Error),
}

impl CompileError {
    /// In the form of an outcome, as `airlock run --json` prints it.
    pub fn outcome(&self) -> serde_json::Value {
        let (status, error) = match self {
            CompileError::Syntax(syntax) => {
                let error = ScriptError {
                    name: "SyntaxError".into(),
                    message: syntax.message.clone(),
                    line: Some(syntax.line),
                    column: Some(syntax.column),
                    ..ScriptError::default()
                };
                (Status::Failed, error)
            }
            CompileError::Threw(error) => (Status::Failed, ScriptError::clone(error)),
            CompileError::Limit { message, limit } => {
                let status = if limit.name == Limit::Timeout.name() { Status::Timeout } else { Status::Limit };
                (
                    status,
                    ScriptError {
                        name: "LimitError".into(),
                        message: message.clone(),
                        limit: Some(limit.clone()),
                        ..ScriptError::default()
                    },
                )
            }
            other => (
                Status::Failed,
                ScriptError { name: "CompileError".into(), message: other.to_string(), ..ScriptError::default() },
            ),
        };
        serde_json::json!({
            "status": status, "result": null, "error": error, "logs": [],
            "fuel": 0, "duration_ms": 0, "memory_bytes": 0, "host_calls": 0,
        })
    }
}

impl From<anyhow::Error> for CompileError {
    fn from(error: anyhow::Error) -> Self {
        CompileError::Host(error)
    }
}

impl From<wasmtime::Error> for CompileError {
    fn from(error: wasmtime::Error) -> Self {
        CompileError::Host(error.into())
    }
}

/// A compiled script.
#[derive(Debug)]
pub struct Compiled {
    /// The snapshot module, which is all that differs between artifacts.
    pub snapshot: Vec<u8>,
    pub description: Description,
    /// Bytes of the memory that are not zero.
    pub resident: usize,
}

impl Compiled {
    /// The self-contained component.
    pub fn artifact(&self) -> Vec<u8> {
        artifact::assemble(&self.snapshot)
    }
}

#[derive(Deserialize)]
struct Loaded {
    entries: Option<Vec<String>>,
    error: Option<LoadError>,
}

#[derive(Deserialize)]
struct LoadError {
    cause: String,
    name: String,
    message: String,
    stack: String,
}

struct Loading {
    limits: Limits,
    memory: MemoryMeter,
}

impl wasmtime::ResourceLimiter for Loading {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.memory.grow(desired, self.limits.memory))
    }

    fn table_growing(&mut self, _current: usize, _desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

/// Compiles a source under limits. `file` names it in errors and stacks.
pub async fn compile(engine: &Engine, file: &str, text: &str, limits: &Limits) -> Result<Compiled, CompileError> {
    let refused = |message: String| Err(CompileError::Refused { message });
    if text.len() > MAX_SOURCE {
        return refused(format!("{file} has {} bytes, and a script may have {MAX_SOURCE}", text.len()));
    }
    if let Some(at) = text.find('\0') {
        let (line, column) = frame::position(text, at);
        return refused(format!(
            "{file}:{line}:{column}: there is a NUL character, so this is not the text of a script"
        ));
    }
    let _slot = engine.compilers.acquire().await.map_err(|error| CompileError::Host(error.into()))?;
    let source = source::read(file, text)
        .await
        .map_err(|error| CompileError::Host(error.into()))?
        .map_err(CompileError::Syntax)?;
    let mut store = Store::new(&engine.wasmtime, Loading { limits: limits.clone(), memory: MemoryMeter::default() });
    store.limiter(|loading| loading);
    runtime::engine::fuel(&mut store, limits.fuel)?;
    let deadline = Instant::now() + Duration::from_millis(limits.timeout);
    match runtime::engine::until(deadline, load(engine, &mut store, file, text, &source)).await {
        Ok(compiled) => compiled,
        Err(trap) => Err(stopped(&store, limits, trap)),
    }
}

/// Runs the top level. The outer error is a trap.
async fn load(
    engine: &Engine,
    store: &mut Store<Loading>,
    file: &str,
    text: &str,
    source: &Source,
) -> wasmtime::Result<Result<Compiled, CompileError>> {
    let mut linker = Linker::new(&engine.wasmtime);
    let base = linker.instantiate_async(&mut *store, &engine.base).await?;
    linker.instance(&mut *store, "snapshot", base)?;
    // There is no host at compile time; the engine says so before it would call.
    linker.define_unknown_imports_as_traps(&engine.module)?;
    let instance = linker.instantiate_async(&mut *store, &engine.module).await?;
    let memory =
        base.get_memory(&mut *store, image::MEMORY).ok_or_else(|| wasmtime::Error::msg("the base has no memory"))?;

    if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut *store, "_initialize") {
        initialize.call_async(&mut *store, ()).await?;
    }
    let request = serde_json::json!({
        "name": file,
        "kind": source.form.name(),
        "source": text,
        "entries": source.functions,
        "memory": store.data().limits.memory,
    })
    .to_string();
    let alloc = instance.get_typed_func::<u32, u32>(&mut *store, "airlock_alloc")?;
    let place = alloc.call_async(&mut *store, request.len() as u32).await?;
    memory.write(&mut *store, place as usize, request.as_bytes())?;
    let run = instance.get_typed_func::<(u32, u32), u32>(&mut *store, "airlock_load")?;
    let answer = run.call_async(&mut *store, (place, request.len() as u32)).await? as usize;

    let bytes = memory.data(&*store);
    let damaged = || wasmtime::Error::msg("the engine's answer is damaged");
    let length = bytes.get(answer..answer + 4).ok_or_else(damaged)?;
    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
    let loaded = bytes.get(answer + 4..answer + 4 + length).ok_or_else(damaged)?;
    let loaded: Loaded = serde_json::from_slice(loaded).map_err(|_| damaged())?;
    if let Some(error) = loaded.error {
        return Ok(Err(threw(file, text, error, store.data())));
    }
    let digest = hexadecimal::encode(&sha2::Sha256::digest(text));
    let entries = loaded.entries.unwrap_or_default();
    if entries.is_empty() {
        let message = format!(
            "{file} exports no function, so there is nothing to call; export a function, as in `export default async function main() {{ … }}`"
        );
        return Ok(Err(CompileError::Refused { message }));
    }
    let declared = source.declared.clone();
    let description = Description { file: file.to_owned(), entries, source: digest, declared };
    Ok(Ok(snapshot(bytes, description)))
}

/// The pages of the memory that hold anything. The C stack is dead by now, and
/// what it held is left out.
fn snapshot(memory: &[u8], description: Description) -> Compiled {
    const PAGE: usize = 4096;
    let zero = [0u8; PAGE];
    let mut segments: Vec<(u32, &[u8])> = Vec::new();
    let mut start = None;
    let mut resident = 0;
    let pages = memory.len() / PAGE;
    for page in STACK_TOP.div_ceil(PAGE)..=pages {
        let used = page < pages && memory[page * PAGE..(page + 1) * PAGE] != zero;
        match (used, start) {
            (true, None) => start = Some(page),
            (false, Some(first)) => {
                let bytes = &memory[first * PAGE..page * PAGE];
                resident += bytes.len();
                segments.push(((first * PAGE) as u32, bytes));
                start = None;
            }
            _ => {}
        }
    }
    let text = serde_json::to_vec(&description).unwrap_or_default();
    Compiled { snapshot: image::encode(memory.len(), segments.into_iter(), Some(&text)), description, resident }
}

fn threw(file: &str, text: &str, error: LoadError, loading: &Loading) -> CompileError {
    if error.cause == "memory" {
        return limit(&loading.limits, Limit::Memory, loading.memory.wanted());
    }
    let mut error = stack::script_error(error.name, error.message, &error.stack);
    // What the engine's parser refuses and ours does not.
    if error.name == "SyntaxError"
        && let (Some(line), Some(column)) = (error.line, error.column)
        && let Some(offset) = frame::offset(text, line, column)
    {
        let frame = frame::render(file, text, &error.message, offset, 1, None);
        return CompileError::Syntax(SyntaxError { message: std::mem::take(&mut error.message), line, column, frame });
    }
    CompileError::Threw(Box::new(error))
}

fn stopped(store: &Store<Loading>, limits: &Limits, trap: wasmtime::Error) -> CompileError {
    let loading = store.data();
    if loading.memory.refused.is_some() {
        return limit(limits, Limit::Memory, loading.memory.wanted());
    }
    if trap.is::<HardDeadline>() {
        return limit(limits, Limit::Timeout, limits.timeout);
    }
    match trap.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::OutOfFuel) => limit(limits, Limit::Fuel, limits.fuel),
        Some(wasmtime::Trap::StackOverflow) => CompileError::Threw(Box::new(stack::overflow())),
        _ => CompileError::Host(trap.into()),
    }
}

fn limit(limits: &Limits, limit: Limit, used: u64) -> CompileError {
    let value = limits.get(limit);
    let message = format!("the script's top level was stopped: {}", limit.message(value, used));
    let limit = LimitInfo { name: limit.name().to_owned(), value, used, setting: limit.setting() };
    CompileError::Limit { message, limit }
}
