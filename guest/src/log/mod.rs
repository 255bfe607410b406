//! `console`.

use javy::quickjs::{Ctx, Function, Object, Result};

use crate::airlock::script::log::{self, Level};
use crate::state;

fn write(level: u32, message: String, fields: Option<String>) {
    // What the top level logs at compile time has no call to belong to.
    if state::calling() {
        let level = match level {
            0 => Level::Debug,
            1 => Level::Info,
            2 => Level::Warn,
            _ => Level::Error,
        };
        log::write(level, &message, fields.as_deref());
    }
}

/// Logs a rejection that nothing handled.
pub fn unhandled(message: &str, stack: &str) {
    let own =
        |frame: &&str| !frame.contains("(airlock:") && !frame.contains("at airlock:") && !frame.ends_with("(native)");
    let stack = stack.lines().filter(own).collect::<Vec<_>>().join("\n");
    let fields = serde_json::json!({ "stack": stack }).to_string();
    log::write(Level::Error, &format!("Unhandled rejection: {message}"), Some(&fields));
}

pub fn register<'js>(ctx: &Ctx<'js>, native: &Object<'js>) -> Result<()> {
    native.set("write", Function::new(ctx.clone(), write)?)
}
