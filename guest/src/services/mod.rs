//! `services`.

use javy::quickjs::{Ctx, Function, Object, Promise, Result, Value};

use crate::airlock::script::{services, types::Failure};
use crate::{errors, tasks};

fn take<'js>(ctx: &Ctx<'js>, ticket: u32) -> Result<std::result::Result<Value<'js>, Failure>> {
    match services::take(ticket) {
        Ok(Ok(text)) => Ok(Ok(ctx.json_parse(text)?)),
        Ok(Err(error)) => Err(ctx.throw(said(ctx, error)?)),
        Err(failure) => Ok(Err(failure)),
    }
}

/// What a service said against a call, as an Error with `code` and `status`.
fn said<'js>(ctx: &Ctx<'js>, error: services::Error) -> Result<Value<'js>> {
    let failure = Failure { name: "ServiceError".into(), message: error.message, limit: None };
    let value = errors::from_failure(ctx, &failure)?;
    if let Some(object) = value.as_object() {
        if let Some(code) = error.code {
            object.set("code", code)?;
        }
        if let Some(status) = error.status {
            object.set("status", status)?;
        }
    }
    Ok(value)
}

fn call<'js>(ctx: Ctx<'js>, service: String, method: String, arguments: String) -> Result<Promise<'js>> {
    errors::require_call(&ctx, &format!("services.{service}.{method}"))?;
    tasks::promise(&ctx, services::start_call(&service, &method, &arguments), take)
}

pub fn register<'js>(ctx: &Ctx<'js>, native: &Object<'js>) -> Result<()> {
    native.set("call", Function::new(ctx.clone(), call)?)
}
