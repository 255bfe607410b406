//! Values out of the sandbox: JSON text, or an error that names the path.

use javy::quickjs::{Ctx, Error, Function, Object, Result, Value, qjs};

unsafe extern "C" {
    /// Has the next text refuse functions and symbols, which JSON.stringify
    /// leaves out (see guest/build/quickjs.rs).
    static mut airlock_json_strict: bool;
}

/// A value as JSON text, undefined as undefined. Throws a TypeError for what
/// JSON cannot carry; `json.js` finds out where it is.
pub fn stringify<'js>(ctx: Ctx<'js>, value: Value<'js>) -> Result<Value<'js>> {
    // SAFETY: there is one thread; the context and the value outlive the call,
    // and what comes back is owned by us.
    unsafe {
        airlock_json_strict = true;
        let text = qjs::JS_JSONStringify(ctx.as_raw().as_ptr(), value.as_raw(), qjs::JS_UNDEFINED, qjs::JS_UNDEFINED);
        if qjs::JS_IsException(text) {
            return Err(Error::Exception);
        }
        Ok(Value::from_raw(ctx, text))
    }
}

pub fn register<'js>(ctx: &Ctx<'js>, native: &Object<'js>) -> Result<()> {
    native.set("stringify", Function::new(ctx.clone(), stringify)?)
}
