//! Compile time: the runtime, what scripts see of the host, the script's top level.

use std::collections::BTreeMap;
use std::ffi::CString;

use javy::quickjs::{
    Ctx, Function, Module, Object, Persistent, Result, Value, context::EvalOptions, promise::PromiseState, qjs,
};
use javy::{Config, Runtime};

use crate::airlock::script::types::{Cause, ScriptError};
use crate::state::{LOADED, Loaded};
use crate::{CAPABILITIES, errors, heap, invoke, wipe};

/// The part of the C stack that QuickJS may use. The linker gives the stack
/// its size (guest/build); the rest is for the frames that QuickJS does not count.
const JS_STACK: usize = 512 << 10;

/// How much garbage may pile up before cycles are collected.
const GC_THRESHOLD: usize = 4 << 20;

/// What a call may take before its memory grows. To grow, and for the next call to
/// shrink again, changes the protection of pages under a lock that all threads
/// share: a tenth of a short call. The room is zero, which costs a snapshot nothing.
const ROOM: usize = 512 << 10;

const BUILTINS: wipe::Text = wipe::text!("builtins.js");

unsafe extern "C" {
    /// Whatever the runtime holds now is there for good, and not counted any more
    /// (guest/build/quickjs.rs).
    fn airlock_settle(runtime: *mut qjs::JSRuntime);
}

/// The buffer for the request of `load`.
#[unsafe(export_name = "airlock_alloc")]
extern "C" fn alloc(length: usize) -> *mut u8 {
    Box::leak(vec![0u8; length].into_boxed_slice()).as_mut_ptr()
}

/// Loads a script. The request is JSON text, `{name, kind, source, entries}`,
/// `kind` one of `script`, `module` and `body`. Answers a pointer to a length
/// (32 bits) and as much JSON: `{entries}` or `{error: {cause, name, message, stack}}`.
///
/// # Safety
/// `request` and `length` are a buffer of [`alloc`].
#[unsafe(export_name = "airlock_load")]
unsafe extern "C" fn load(request: *mut u8, length: usize) -> *const u8 {
    // SAFETY: the caller's promise.
    let request = unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(request, length)) };
    let answer = match run(&request) {
        Ok(entries) => serde_json::json!({ "entries": entries }),
        Err(error) => serde_json::json!({ "error": {
            "cause": if matches!(error.cause, Cause::Memory) { "memory" } else { "thrown" },
            "name": error.name, "message": error.message, "stack": error.stack,
        }}),
    };
    drop(request);
    heap::reserve(ROOM);
    wipe::end();
    let text = answer.to_string();
    let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    Box::leak(bytes.into_boxed_slice()).as_ptr()
}

fn broken(message: String) -> ScriptError {
    ScriptError {
        cause: Cause::Thrown,
        name: "InternalError".into(),
        message,
        stack: String::new(),
        limit: None,
        used: 0,
        permanent: false,
    }
}

fn run(request: &[u8]) -> std::result::Result<Vec<String>, ScriptError> {
    let request: serde_json::Value = serde_json::from_slice(request).map_err(|error| broken(error.to_string()))?;
    let text = |name: &str| request[name].as_str().unwrap_or_default();
    let names: Vec<&str> =
        request["entries"].as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect();
    let memory = request["memory"].as_u64().unwrap_or(u64::MAX);

    let mut config = Config::default();
    config.text_encoding(true).weak_ref(true).performance(true).gc_threshold(GC_THRESHOLD).max_stack_size(JS_STACK);
    let runtime = Runtime::new(config).map_err(|error| broken(error.to_string()))?;
    let loaded = runtime.context().with(|ctx| {
        let describe = |ctx: &Ctx<'_>| errors::describe(ctx, &ctx.catch());
        let (refuse, receive) = prepare(&ctx, text("source")).map_err(|_| describe(&ctx))?;
        invoke::limit_memory(&ctx, memory);
        let entries =
            evaluate(&ctx, text("name"), text("kind"), text("source"), &names).map_err(|error| match error {
                Evaluation::Thrown => describe(&ctx),
                Evaluation::Rejected(reason) => errors::describe(&ctx, &reason),
                Evaluation::Unsettled => {
                    let mut error = broken("the script's top level waits for a promise that never settles".into());
                    error.name = "Error".into();
                    error
                }
            })?;
        Ok::<_, ScriptError>((refuse, receive, entries))
    });
    let (refuse, receive, entries) = loaded?;
    let found = entries.keys().cloned().collect();
    runtime.context().with(|ctx| {
        ctx.run_gc();
        // SAFETY: the runtime is alive as long as the context.
        unsafe { airlock_settle(errors::raw_runtime(&ctx)) };
    });
    LOADED.set(Some(Loaded { runtime, entries, refuse, receive }));
    Ok(found)
}

/// Installs what scripts see, and answers the function that throws for what is
/// not JSON, and the one that completes a request.
fn prepare(ctx: &Ctx<'_>, source: &str) -> Result<(Persistent<Function<'static>>, Persistent<Function<'static>>)> {
    ctx.globals().remove("Javy")?;
    invoke::track_rejections(ctx);
    let shared = Object::new(ctx.clone())?;
    for capability in CAPABILITIES {
        let native = Object::new(ctx.clone())?;
        (capability.register)(ctx, &native)?;
        let mut options = EvalOptions::default();
        options.filename = Some(format!("airlock:{}", capability.name));
        let install: Function = ctx.eval_with_options(wipe::take(capability.script), options)?;
        install.call::<_, ()>((native, shared.clone()))?;
    }
    ctx.eval::<Function, _>(wipe::take(BUILTINS))?.call::<_, ()>((source,))?;
    let (refuse, receive): (Function, Function) = (shared.get("refuse")?, shared.get("receive")?);
    Ok((Persistent::save(ctx, refuse), Persistent::save(ctx, receive)))
}

enum Evaluation<'js> {
    Thrown,
    Rejected(Value<'js>),
    Unsettled,
}

impl From<javy::quickjs::Error> for Evaluation<'_> {
    fn from(_: javy::quickjs::Error) -> Self {
        Evaluation::Thrown
    }
}

type Entries = BTreeMap<String, Persistent<Function<'static>>>;

fn evaluate<'js>(
    ctx: &Ctx<'js>,
    name: &str,
    kind: &str,
    source: &str,
    names: &[&str],
) -> std::result::Result<Entries, Evaluation<'js>> {
    let functions: Object = match kind {
        "module" => {
            let module = Module::declare(ctx.clone(), name, source)?;
            let (module, promise) = module.eval()?;
            while ctx.execute_pending_job() {}
            match promise.state() {
                PromiseState::Resolved => {}
                PromiseState::Pending => return Err(Evaluation::Unsettled),
                PromiseState::Rejected => {
                    if let Some(Err(_)) = promise.result::<Value>() {
                        return Err(Evaluation::Rejected(ctx.catch()));
                    }
                }
            }
            module.namespace()?
        }
        "body" => {
            // On a line of its own before line 1, so that the author's lines and
            // columns stay.
            let wrapped = format!("(async function main() {{\n{source}\n}})");
            let functions = Object::new(ctx.clone())?;
            functions.set("main", evaluate_from_line(ctx, name, &wrapped, 0)?)?;
            functions
        }
        _ => {
            evaluate_from_line(ctx, name, source, 1)?;
            while ctx.execute_pending_job() {}
            let list = names.join(", ");
            evaluate_from_line(ctx, "airlock:entries", &format!("({{ __proto__: null, {list} }})"), 1)?
                .into_object()
                .ok_or(Evaluation::Thrown)?
        }
    };
    let mut entries = Entries::new();
    for name in functions.keys::<String>() {
        let name = name?;
        if let Some(function) = functions.get::<_, Value>(name.as_str())?.into_function() {
            entries.insert(name, Persistent::save(ctx, function));
        }
    }
    Ok(entries)
}

/// Evaluates sloppy global code whose first line has that number.
fn evaluate_from_line<'js>(ctx: &Ctx<'js>, name: &str, source: &str, line: i32) -> Result<Value<'js>> {
    let name = CString::new(name)?;
    let length = source.len();
    // QuickJS reads one byte beyond the text.
    let source = CString::new(source)?;
    let mut options = qjs::JSEvalOptions {
        version: qjs::JS_EVAL_OPTIONS_VERSION as i32,
        eval_flags: qjs::JS_EVAL_TYPE_GLOBAL as i32,
        filename: name.as_ptr(),
        line_num: line,
    };
    // SAFETY: the context and all texts outlive the call; the value that comes
    // back is owned by us.
    unsafe {
        let value = qjs::JS_Eval2(ctx.as_raw().as_ptr(), source.as_ptr(), length as _, &mut options);
        if qjs::JS_IsException(value) {
            return Err(javy::quickjs::Error::Exception);
        }
        Ok(Value::from_raw(ctx.clone(), value))
    }
}
