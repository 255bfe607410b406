//! `events`.

use javy::quickjs::{Ctx, Function, IntoJs, Object, Promise, Result, Value};

use crate::airlock::script::{
    events::{self, Options},
    types::Failure,
};
use crate::{errors, tasks};

fn take<'js>(ctx: &Ctx<'js>, ticket: u32) -> Result<std::result::Result<Value<'js>, Failure>> {
    match events::take(ticket) {
        Ok(id) => Ok(Ok(id.into_js(ctx)?)),
        Err(failure) => Ok(Err(failure)),
    }
}

fn publish<'js>(
    ctx: Ctx<'js>,
    name: String,
    data: String,
    delay: Option<f64>,
    key: Option<String>,
    dedup_key: Option<String>,
    priority: Option<i32>,
) -> Result<Promise<'js>> {
    errors::require_call(&ctx, "events.publish")?;
    let options = Options { delay, key, dedup_key, priority };
    tasks::promise(&ctx, events::start_publish(&name, &data, &options), take)
}

pub fn register<'js>(ctx: &Ctx<'js>, native: &Object<'js>) -> Result<()> {
    native.set("publish", Function::new(ctx.clone(), publish)?)
}
