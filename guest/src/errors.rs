//! Between JavaScript's exceptions and what the host is told of them.

use std::cell::Cell;

use javy::quickjs::{Ctx, Error, Object, Result, Value, qjs};

use crate::airlock::script::types::{Cause, Failure};
use crate::{ScriptError, state};

thread_local! {
    /// Set by QuickJS whenever an allocation was refused. It may then throw
    /// `null` instead of an error, for want of memory to make one.
    static OUT_OF_MEMORY: Cell<bool> = const { Cell::new(false) };
}

/// Called by QuickJS where it throws for want of memory (see guest/build).
#[unsafe(no_mangle)]
extern "C" fn airlock_out_of_memory() {
    OUT_OF_MEMORY.set(true);
}

/// The Error object for a host operation's failure.
///
/// It has no stack of its own: QuickJS adds one where `await` throws it, which
/// is the script's line, not the event loop's.
pub fn from_failure<'js>(ctx: &Ctx<'js>, failure: &Failure) -> Result<Value<'js>> {
    let constructor: javy::quickjs::function::Constructor = match failure.name.as_str() {
        "TypeError" => ctx.globals().get("TypeError")?,
        "RangeError" => ctx.globals().get("RangeError")?,
        _ => ctx.globals().get("Error")?,
    };
    let error: Object = constructor.construct((failure.message.as_str(),))?;
    hidden(&error, "name", failure.name.as_str())?;
    if let Some(limit) = &failure.limit {
        let object = Object::new(ctx.clone())?;
        object.set("name", limit.name.as_str())?;
        object.set("value", limit.value as f64)?;
        object.set("used", limit.used as f64)?;
        object.set("setting", limit.setting.as_str())?;
        error.set("limit", object)?;
    }
    error.remove("stack")?;
    Ok(error.into_value())
}

fn hidden<'js, V: javy::quickjs::IntoJs<'js>>(object: &Object<'js>, name: &str, value: V) -> Result<()> {
    object.prop(name, javy::quickjs::object::Property::from(value).configurable().writable())
}

/// Throws a failure as of now.
pub fn throw(ctx: &Ctx<'_>, failure: &Failure) -> Error {
    match from_failure(ctx, failure) {
        Ok(error) => ctx.throw(error),
        Err(error) => error,
    }
}

/// Throws unless a call runs: at compile time there is no tenant to speak for.
pub fn require_call(ctx: &Ctx<'_>, what: &str) -> Result<()> {
    if state::calling() {
        return Ok(());
    }
    let message = format!(
        "{what} is not available while the script is being compiled, because its top level runs then, \
         for no tenant; move the call into a function"
    );
    Err(throw(ctx, &Failure { name: "NotAvailableError".into(), message, limit: None }))
}

/// What the host is told of an exception that nothing caught.
pub fn describe<'js>(ctx: &Ctx<'js>, thrown: &Value<'js>) -> ScriptError {
    let mut error = ScriptError {
        cause: Cause::Thrown,
        name: "Error".into(),
        message: String::new(),
        stack: String::new(),
        limit: None,
        used: 0,
        permanent: false,
    };
    let Some(object) = thrown.as_object() else {
        error.message = display(ctx, thrown);
        if thrown.is_null() && OUT_OF_MEMORY.get() {
            out_of_memory(ctx, &mut error);
        }
        return error;
    };
    // Each of these may be a getter of the script's that throws.
    let text = |name: &str| match object.get::<_, Value>(name) {
        Ok(value) if value.is_string() => value.get::<String>().ok(),
        Ok(_) => None,
        Err(_) => {
            ctx.catch();
            None
        }
    };
    if let Some(name) = text("name") {
        error.name = name;
    }
    match text("message") {
        Some(message) => error.message = message,
        None if !object.is_error() => error.message = display(ctx, thrown),
        None => {}
    }
    error.stack = text("stack").unwrap_or_default();
    error.permanent = object.get::<_, Value>("retry").is_ok_and(|retry| retry.as_bool() == Some(false));
    if let Ok(limit) = object.get::<_, Object>("limit") {
        error.limit = limit.get::<_, String>("name").ok();
    }
    ctx.catch();
    if error.name == "InternalError" && error.message == "out of memory" && OUT_OF_MEMORY.get() {
        out_of_memory(ctx, &mut error);
    }
    error
}

fn out_of_memory(ctx: &Ctx<'_>, error: &mut ScriptError) {
    error.cause = Cause::Memory;
    error.name = "InternalError".into();
    error.message = "out of memory".into();
    error.used = used_memory(ctx);
}

/// The bytes of the linear memory.
pub fn used_memory(_ctx: &Ctx<'_>) -> u64 {
    (core::arch::wasm32::memory_size(0) as u64) << 16
}

/// A thrown value that is not an Error, as text.
fn display<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> String {
    if value.is_object()
        && let Ok(Some(text)) = ctx.json_stringify(value.clone())
        && let Ok(text) = text.to_string()
    {
        return text;
    }
    ctx.catch();
    match value.get::<javy::quickjs::Coerced<String>>() {
        Ok(text) => text.0,
        Err(_) => {
            ctx.catch();
            value.type_name().to_owned()
        }
    }
}

/// The runtime behind a context, for what rquickjs has no function for.
pub fn raw_runtime(ctx: &Ctx<'_>) -> *mut qjs::JSRuntime {
    // SAFETY: the context is alive, and so is the runtime that it belongs to.
    unsafe { qjs::JS_GetRuntime(ctx.as_raw().as_ptr()) }
}
