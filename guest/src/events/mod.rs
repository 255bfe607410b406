//! `events`.

use javy::quickjs::{Ctx, Function, IntoJs, Object, Promise, Result, Value};

use crate::airlock::script::{events, types::Failure};
use crate::{errors, tasks};

fn take<'js>(ctx: &Ctx<'js>, ticket: u32) -> Result<std::result::Result<Value<'js>, Failure>> {
    match events::take(ticket) {
        Ok(id) => Ok(Ok(id.into_js(ctx)?)),
        Err(failure) => Ok(Err(failure)),
    }
}

fn publish<'js>(ctx: Ctx<'js>, name: String, data: String) -> Result<Promise<'js>> {
    errors::require_call(&ctx, "events.publish")?;
    tasks::promise(&ctx, events::start_publish(&name, &data), take)
}

pub fn register<'js>(ctx: &Ctx<'js>, native: &Object<'js>) -> Result<()> {
    native.set("publish", Function::new(ctx.clone(), publish)?)
}
