//! `execution.progress`.

use javy::quickjs::{Ctx, Function, Object, Result};

use crate::airlock::script::progress;
use crate::errors;

fn report(ctx: Ctx<'_>, done: f64, total: Option<f64>, message: String) -> Result<()> {
    errors::require_call(&ctx, "execution.progress")?;
    progress::report(done, total, &message);
    Ok(())
}

pub fn register<'js>(ctx: &Ctx<'js>, native: &Object<'js>) -> Result<()> {
    native.set("report", Function::new(ctx.clone(), report)?)
}
