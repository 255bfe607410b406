//! The one engine that all scripts run in, and the machine code it shares.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, Module, OperatorCost, PoolingAllocationConfig, Store,
    VariableOperatorCost,
};

use super::bindings::Script;
use super::cache::{self, Cache};
use super::call::Call;
use super::turns::Turns;
use super::warm::{Snapshot, Warm};
use crate::compile::artifact;

/// The engine module, as built from `guest/`.
pub const ENGINE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/engine.wasm"));
/// The memory before any script.
pub const BASE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/base.wasm"));
/// An artifact's sections before its modules and after them, and those after the
/// engine in the component that all scripts share (see guest/build/component.rs).
pub const HEAD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/head.bin"));
pub const TAIL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tail.bin"));
const SHARED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shared.bin"));
include!(concat!(env!("OUT_DIR"), "/engine.rs"));

/// Names the engine that scripts are compiled with: the program's version, and a
/// digest of the engine itself.
pub fn version() -> String {
    static DIGEST: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| blake3::hash(ENGINE).to_hex().chars().take(12).collect());
    format!("{}+{}", env!("CARGO_PKG_VERSION"), *DIGEST)
}

/// How much fuel a busy script burns, about a millisecond's, before others get
/// their turn on its core and its deadline is looked at. An epoch would do the
/// same, and would be looked at once more in each turn of the interpreter's loop:
/// a third of the time of a loop of integers.
const TURN: u64 = 10_000_000;

/// The stack of Wasm frames. QuickJS's own check (guest/src/load.rs) must come
/// first for every shape of recursion, JSON included.
const WASM_STACK: usize = 16 << 20;
/// What host functions may use of the same stack beyond Wasm's frames: without
/// room, deep host code would end the process.
const HOST_STACK: usize = 2 << 20;

/// The part of a used memory that is wiped in place rather than given back to
/// the system: page faults cost more than wiping (100 µs a call against 25).
const KEEP_RESIDENT: usize = 1 << 20;
const KEEP_RESIDENT_TABLE: usize = 4 << 10;
const KEEP_RESIDENT_STACK: usize = 64 << 10;

/// Sandboxes beyond those for calls, in which scripts are compiled.
const COMPILERS: u32 = 2;

/// Machine code of some thousand scripts.
pub const CACHE_SIZE: u64 = 2 << 30;

pub struct Options {
    /// Calls that may run at once (`SCRIPT_VM_POOL_SIZE`).
    pub sandboxes: u32,
    /// How long a call waits for a sandbox (`SCRIPT_VM_TIMEOUT_SECONDS`).
    pub wait: Duration,
    /// The largest linear memory that any call may be granted, in bytes.
    pub max_memory: u64,
    /// Where machine code is kept. Nobody but this user may write there: what is
    /// read from it is executed. None compiles anew in every process.
    pub cache: Option<PathBuf>,
    /// Bytes that it holds; what was not used for longest goes.
    pub cache_size: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            sandboxes: 64,
            wait: Duration::from_secs(30),
            max_memory: 1 << 30,
            cache: None,
            cache_size: CACHE_SIZE,
        }
    }
}

/// Shared by all calls of the process.
pub struct Engine {
    pub(crate) wasmtime: wasmtime::Engine,
    pub(crate) module: Module,
    /// The memory before any script, in which scripts are compiled.
    pub(crate) base: Module,
    component: Component,
    linker: Linker<Call>,
    pub(crate) turns: Turns,
    pub(crate) warm: Warm,
    pub(crate) wait: Duration,
    pub(crate) compilers: Semaphore,
    cache: Option<Cache>,
}

impl Engine {
    pub fn new(options: Options) -> Result<Arc<Engine>> {
        let wasmtime = wasmtime::Engine::new(&config(&options))
            .map_err(anyhow::Error::from)
            .context("starting the WebAssembly engine")?;
        let cache = options.cache.map(|folder| Cache::open(folder, options.cache_size, &wasmtime)).transpose()?;
        let (base, _) = cache::module(&cache, &wasmtime, BASE)?;
        let sections = [&artifact::engine(), SHARED].concat();
        let component = cache::component(&cache, &wasmtime, &sections)?;
        let module = exported(&component, &base)?;

        let mut linker = Linker::new(&wasmtime);
        Script::add_to_linker::<_, HasSelf<Call>>(&mut linker, |call| call)?;

        Ok(Arc::new(Engine {
            wasmtime,
            module,
            base,
            component,
            linker,
            turns: Turns::new(options.sandboxes as usize),
            warm: Warm::new(options.sandboxes as usize),
            wait: options.wait,
            compilers: Semaphore::new(COMPILERS as usize),
            cache,
        }))
    }

    /// Machine code for a snapshot module, out of the cache where it is there.
    pub(crate) fn snapshot(&self, snapshot: &[u8]) -> Result<Snapshot> {
        let (module, mapped) = cache::module(&self.cache, &self.wasmtime, snapshot)?;
        Ok(Snapshot::new(module, mapped))
    }

    /// A script's instances, but for their creation.
    pub(crate) fn link(&self, snapshot: &Snapshot) -> Result<super::bindings::ScriptPre<Call>> {
        let mut linker = self.linker.clone();
        linker.root().module("snapshot", &snapshot.module)?;
        Ok(super::bindings::ScriptPre::new(linker.instantiate_pre(&self.component)?)?)
    }
}

/// The component's engine by itself, for those who make snapshots.
fn exported(component: &Component, base: &Module) -> Result<Module> {
    let mut linker = Linker::<()>::new(component.engine());
    linker.root().module("snapshot", base)?;
    linker.define_unknown_imports_as_traps(component)?;
    let mut store = Store::new(component.engine(), ());
    // To begin takes some, though nothing of the engine's runs.
    store.set_fuel(u64::from(STEP))?;
    let instance = linker.instantiate(&mut store, component)?;
    instance.get_module(&mut store, "engine").context("the component does not export its engine")
}

/// Gives a store its fuel; 0 is as good as endless. It yields at each turn.
pub(crate) fn fuel<T>(store: &mut Store<T>, limit: u64) -> wasmtime::Result<u64> {
    let fuel = if limit == 0 { u64::MAX } else { limit };
    store.set_fuel(fuel)?;
    store.fuel_async_yield_interval(Some(TURN))?;
    Ok(fuel)
}

/// The end of the grace period.
#[derive(Debug, thiserror::Error)]
#[error("the deadline has passed")]
pub struct HardDeadline;

/// Drives a call of Wasm until its deadline. Nothing in the script can catch it.
pub(crate) async fn until<T>(
    deadline: Instant,
    running: impl Future<Output = wasmtime::Result<T>>,
) -> wasmtime::Result<T> {
    let mut running = std::pin::pin!(running);
    let mut timer = std::pin::pin!(tokio::time::sleep_until(deadline));
    std::future::poll_fn(|context| {
        if let Poll::Ready(result) = running.as_mut().poll(context) {
            return Poll::Ready(result);
        }
        // A busy script may keep the timer's thread from its work, so the clock
        // is looked at as well.
        if timer.as_mut().poll(context).is_ready() || Instant::now() >= deadline {
            return Poll::Ready(Err(HardDeadline.into()));
        }
        Poll::Pending
    })
    .await
}

/// The fuel of one turn of a loop in the engine, one JavaScript operation or so,
/// and of one call in it. A byte copied or filled costs 1: each is about as long.
const STEP: u8 = 16;

/// Prices only what every endless run must pass: turns of loops, which a `nop`
/// begins (guest/build/engine.rs), and calls. What lies between is straight code
/// of bounded length. Counting each operator makes the count differ on every
/// branch of the interpreter, a fifth of its time.
fn fuel_costs() -> OperatorCost {
    macro_rules! cost {
        (Nop) => {
            STEP
        };
        (Call) => {
            STEP
        };
        (CallIndirect) => {
            STEP
        };
        ($other:ident) => {
            0
        };
    }
    macro_rules! costs {
        ($(@$proposal:ident $operator:ident $({ $($argument:ident: $kind:ty),* })? => $visit:ident ($($annotation:tt)*) )*) => {
            OperatorCost { $($operator: cost!($operator),)* variable: VariableOperatorCost::new() }
        };
    }
    wasmparser::for_each_operator!(costs)
}

fn config(options: &Options) -> Config {
    let sandboxes = options.sandboxes + COMPILERS;
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(sandboxes)
        .total_core_instances(sandboxes * 2)
        .total_memories(sandboxes)
        .total_tables(sandboxes)
        .total_stacks(sandboxes)
        .max_core_instances_per_component(2)
        .max_memories_per_component(1)
        .max_tables_per_component(1)
        .max_tables_per_module(1)
        // The one that leads to the engine's allocator.
        .table_elements(1)
        .max_memory_size(usize::try_from(options.max_memory).unwrap_or(usize::MAX))
        .max_unused_warm_slots(sandboxes)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT_TABLE)
        .async_stack_keep_resident(KEEP_RESIDENT_STACK)
        // Linux 6.7 and later; elsewhere dirty pages are found the slow way.
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .consume_fuel(true)
        .operator_cost(fuel_costs())
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(WASM_STACK + HOST_STACK)
        .concurrency_support(false)
        .wasm_backtrace_max_frames(None);
    config
}
