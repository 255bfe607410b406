//! A call: finds the entry, runs it and the event loop, answers JSON.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;

use javy::quickjs::{Ctx, Function, Persistent, Promise, Value, promise::PromiseState, qjs};

use crate::airlock::script::tasks as host;
use crate::airlock::script::types::{Call, Cause, Failure, ScriptError};
use crate::state::{self, LOADED, Loaded};
use crate::{errors, json, log, tasks, utils};

/// What the heap keeps free under the sandbox's limit, so that the script sees
/// an error it can catch before the sandbox ends: the heap grows in steps and
/// has gaps.
const MEMORY_RESERVE: u64 = 512 << 10;

thread_local! {
    /// The promises that were rejected and that nothing has handled yet.
    static REJECTED: RefCell<Vec<(Persistent<Value<'static>>, Persistent<Value<'static>>)>> = const { RefCell::new(Vec::new()) };
    /// The deadline's error is thrown once.
    static INTERRUPTED: Cell<bool> = const { Cell::new(false) };
    static DEADLINE: RefCell<Option<Failure>> = const { RefCell::new(None) };
}

pub fn invoke(call: Call) -> Result<String, ScriptError> {
    state::begin_call();
    utils::forget_seed();
    LOADED.with_borrow(|loaded| match loaded {
        Some(loaded) => loaded.runtime.context().with(|ctx| run(&ctx, loaded, call)),
        None => Err(error(Cause::Entry, "Error", "no script is loaded".into())),
    })
}

fn error(cause: Cause, name: &str, message: String) -> ScriptError {
    ScriptError { cause, name: name.into(), message, stack: String::new(), limit: None, used: 0, permanent: false }
}

fn thrown(ctx: &Ctx<'_>) -> ScriptError {
    errors::describe(ctx, &ctx.catch())
}

fn run(ctx: &Ctx<'_>, loaded: &Loaded, call: Call) -> Result<String, ScriptError> {
    limit_memory(ctx, call.memory);
    watch_deadline(ctx);
    let (name, entry) = find(loaded, call.entry.as_deref())?;
    let restore = |function: &Persistent<Function<'static>>| function.clone().restore(ctx).map_err(|_| thrown(ctx));
    let entry = restore(entry)?;
    let returned: Value = match call.input {
        Some(input) => {
            let input = ctx.json_parse(input).map_err(|_| {
                let mut error = thrown(ctx);
                if error.cause == Cause::Thrown {
                    error.cause = Cause::Input;
                }
                error
            })?;
            // As src/server/request.rs shapes one.
            if let Some(object) = input.as_object()
                && let (Ok(true), Ok(true)) = (object.contains_key("rawBody"), object.contains_key("bodyEncoding"))
            {
                let receive = loaded.receive.clone().restore(ctx).map_err(|_| thrown(ctx))?;
                receive.call::<_, ()>((object.clone(),)).map_err(|_| thrown(ctx))?;
            }
            entry.call((input,))
        }
        None => entry.call(()),
    }
    .map_err(|_| thrown(ctx))?;
    let value = settle(ctx, &name, returned);
    report_rejections(ctx);
    let value = value?;
    let text = to_json(ctx, loaded, value).map_err(|_| {
        let mut error = thrown(ctx);
        if error.cause == Cause::Thrown && error.name == "TypeError" {
            error.cause = Cause::Output;
        }
        error
    })?;
    if text.len() as u64 > call.output {
        let mut error = error(Cause::OutputSize, "LimitError", String::new());
        error.used = text.len() as u64;
        return Err(error);
    }
    Ok(text)
}

/// The returned value as JSON text.
fn to_json<'js>(ctx: &Ctx<'js>, loaded: &Loaded, value: Value<'js>) -> javy::quickjs::Result<String> {
    match json::stringify(ctx.clone(), value.clone()) {
        Ok(text) if text.is_undefined() => Ok("null".to_owned()),
        Ok(text) => text.get(),
        Err(_) => {
            let thrown = ctx.catch();
            loaded.refuse.clone().restore(ctx)?.call((thrown, value, "the returned value", "result"))
        }
    }
}

/// The entry of that name; without one the default export, else `main`, else
/// `handleRequest`, else the only function.
fn find<'a>(
    loaded: &'a Loaded,
    wanted: Option<&str>,
) -> Result<(String, &'a Persistent<Function<'static>>), ScriptError> {
    let entries = &loaded.entries;
    let found = match wanted {
        Some(name) => entries.get_key_value(name),
        None => ["default", "main", "handleRequest"]
            .iter()
            .find_map(|name| entries.get_key_value(*name))
            .or_else(|| if entries.len() == 1 { entries.first_key_value() } else { None }),
    };
    found
        .map(|(name, function)| (name.clone(), function))
        .ok_or_else(|| error(Cause::Entry, "Error", wanted.unwrap_or_default().to_owned()))
}

/// Runs jobs and waits for the host until the returned value has settled and
/// every operation that the script began has ended.
fn settle<'js>(ctx: &Ctx<'js>, entry: &str, returned: Value<'js>) -> Result<Value<'js>, ScriptError> {
    let promise = match returned.as_promise() {
        Some(promise) => Some(promise.clone()),
        None => adopted(ctx, &returned).map_err(|_| thrown(ctx))?,
    };
    if let Some(promise) = &promise {
        // The host reports this one; it is not an unhandled rejection.
        forget_rejection(ctx, promise.as_value());
    }
    loop {
        run_jobs(ctx);
        let settled = promise.as_ref().is_none_or(|promise| promise.state() != PromiseState::Pending);
        // A write that nobody awaits still happens. A timer that nobody awaits does not hold the call.
        if settled && !tasks::operations_pending() {
            break;
        }
        if !settled && !tasks::operations_pending() {
            // Asked first: at the deadline the timers are gone too.
            if let Some(failure) = host::expired() {
                tasks::drop_timers(ctx);
                let mut error = error(Cause::Timeout, &failure.name, failure.message);
                error.limit = failure.limit.map(|limit| limit.name);
                return Err(error);
            }
            if !tasks::timers_pending() {
                return Err(error(Cause::Unsettled, "Error", entry.to_owned()));
            }
        }
        tasks::wait(ctx).map_err(|_| thrown(ctx))?;
    }
    match promise {
        None => Ok(returned),
        Some(promise) => {
            forget_rejection(ctx, promise.as_value());
            match promise.result::<Value>() {
                Some(Ok(value)) => Ok(value),
                _ => Err(thrown(ctx)),
            }
        }
    }
}

/// The promise of a value that has a `then`, as query builders have.
fn adopted<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> javy::quickjs::Result<Option<Promise<'js>>> {
    let Some(object) = value.as_object() else { return Ok(None) };
    if !object.get::<_, Value>("then")?.is_function() {
        return Ok(None);
    }
    let (promise, resolve, _) = ctx.promise()?;
    resolve.call::<_, ()>((value.clone(),))?;
    Ok(Some(promise))
}

fn run_jobs(ctx: &Ctx<'_>) {
    while ctx.execute_pending_job() {}
}

/// Lets the heap grow to what the sandbox may hold, less what is not heap.
pub fn limit_memory(ctx: &Ctx<'_>, memory: u64) {
    let runtime = errors::raw_runtime(ctx);
    let linear = errors::used_memory(ctx);
    // The C stack, statics and the heap's own overhead stand in the linear
    // memory too; all of the present memory is counted as such, as it is small.
    let limit = memory.saturating_sub(linear).saturating_sub(MEMORY_RESERVE).max(MEMORY_RESERVE);
    // SAFETY: the runtime is alive as long as the context.
    unsafe { qjs::JS_SetMemoryLimit(runtime, usize::try_from(limit).unwrap_or(usize::MAX) as _) };
}

fn watch_deadline(ctx: &Ctx<'_>) {
    // SAFETY: the handler takes no data, and the runtime outlives the call.
    unsafe {
        qjs::JS_UpdateStackTop(errors::raw_runtime(ctx));
        qjs::JS_SetInterruptHandler(errors::raw_runtime(ctx), Some(interrupt), std::ptr::null_mut());
    }
}

/// QuickJS asks every ten thousand jumps and calls whether to stop.
unsafe extern "C" fn interrupt(_runtime: *mut qjs::JSRuntime, _data: *mut c_void) -> i32 {
    if INTERRUPTED.get() {
        return 0;
    }
    match host::expired() {
        Some(failure) => {
            INTERRUPTED.set(true);
            DEADLINE.set(Some(failure));
            1
        }
        None => 0,
    }
}

/// Called by QuickJS where it would throw an error that scripts can't catch
/// (see guest/build): the deadline's can be caught, once.
///
/// # Safety
/// `ctx` is the context that runs.
#[unsafe(no_mangle)]
unsafe extern "C" fn airlock_throw_interrupted(ctx: *mut qjs::JSContext) {
    let Some(ctx) = std::ptr::NonNull::new(ctx) else { return };
    // SAFETY: the caller's promise.
    let ctx = unsafe { Ctx::from_raw(ctx) };
    if let Some(failure) = DEADLINE.take() {
        let _ = errors::throw(&ctx, &failure);
    }
}

/// Notes rejections, so that one which nobody handles shows in the log.
pub fn track_rejections(ctx: &Ctx<'_>) {
    // SAFETY: the callback takes no data, and the runtime outlives it.
    unsafe {
        qjs::JS_SetHostPromiseRejectionTracker(errors::raw_runtime(ctx), Some(on_rejection), std::ptr::null_mut());
    }
}

unsafe extern "C" fn on_rejection(
    ctx: *mut qjs::JSContext,
    promise: qjs::JSValueConst,
    reason: qjs::JSValueConst,
    handled: bool,
    _data: *mut c_void,
) {
    let Some(ctx) = std::ptr::NonNull::new(ctx) else { return };
    // SAFETY: QuickJS calls with its running context and live values, which are
    // duplicated before they are kept.
    let (ctx, promise, reason) = unsafe {
        let ctx = Ctx::from_raw(ctx);
        let promise = Value::from_raw(ctx.clone(), qjs::JS_DupValue(ctx.as_raw().as_ptr(), promise));
        let reason = Value::from_raw(ctx.clone(), qjs::JS_DupValue(ctx.as_raw().as_ptr(), reason));
        (ctx, promise, reason)
    };
    if handled {
        forget_rejection(&ctx, &promise);
    } else {
        let entry = (Persistent::save(&ctx, promise), Persistent::save(&ctx, reason));
        REJECTED.with_borrow_mut(|list| {
            // A script that rejects without end must not fill the engine's memory.
            if list.len() < 100 {
                list.push(entry);
            }
        });
    }
}

fn forget_rejection<'js>(ctx: &Ctx<'js>, promise: &Value<'js>) {
    let kept = REJECTED.take().into_iter().filter(|(known, _)| match known.clone().restore(ctx) {
        Ok(known) => known != *promise,
        Err(_) => false,
    });
    let kept = kept.collect();
    REJECTED.set(kept);
}

fn report_rejections(ctx: &Ctx<'_>) {
    for (_, reason) in REJECTED.take() {
        if let Ok(reason) = reason.restore(ctx) {
            let error = errors::describe(ctx, &reason);
            log::unhandled(&format!("{}: {}", error.name, error.message), &error.stack);
        }
    }
}
