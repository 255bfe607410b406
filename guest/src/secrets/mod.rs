//! `secrets`.

use javy::quickjs::{Ctx, Function, IntoJs, Object, Promise, Result, Value};

use crate::airlock::script::{secrets, types::Failure};
use crate::{errors, tasks};

fn take<'js>(ctx: &Ctx<'js>, ticket: u32) -> Result<std::result::Result<Value<'js>, Failure>> {
    match secrets::take(ticket) {
        Ok(value) => Ok(Ok(value.into_js(ctx)?)),
        Err(failure) => Ok(Err(failure)),
    }
}

fn get<'js>(ctx: Ctx<'js>, name: String) -> Result<Promise<'js>> {
    errors::require_call(&ctx, "secrets.get")?;
    tasks::promise(&ctx, secrets::start_get(&name), take)
}

pub fn register<'js>(ctx: &Ctx<'js>, native: &Object<'js>) -> Result<()> {
    native.set("get", Function::new(ctx.clone(), get)?)
}
