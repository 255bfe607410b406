//! `services`.

use javy::quickjs::{Ctx, Function, Object, Promise, Result, Value};

use crate::airlock::script::{services, types::Failure};
use crate::{errors, tasks};

fn take<'js>(ctx: &Ctx<'js>, ticket: u32) -> Result<std::result::Result<Value<'js>, Failure>> {
    match services::take(ticket) {
        Ok(text) => Ok(Ok(ctx.json_parse(text)?)),
        Err(failure) => Ok(Err(failure)),
    }
}

fn call<'js>(ctx: Ctx<'js>, service: String, method: String, arguments: String) -> Result<Promise<'js>> {
    errors::require_call(&ctx, &format!("services.{service}.{method}"))?;
    tasks::promise(&ctx, services::start_call(&service, &method, &arguments), take)
}

pub fn register<'js>(ctx: &Ctx<'js>, native: &Object<'js>) -> Result<()> {
    native.set("call", Function::new(ctx.clone(), call)?)
}
