//! `context`: fetched from the host when a call first reads it.

use javy::quickjs::{Array, Ctx, Function, Object, Result};

use crate::airlock::script::context;
use crate::errors;

fn get(ctx: Ctx<'_>) -> Result<Object<'_>> {
    errors::require_call(&ctx, "context")?;
    let from = context::get();
    let named = |id: &str, name: &str| -> Result<Object<'_>> {
        let object = Object::new(ctx.clone())?;
        object.set("id", id)?;
        object.set("name", name)?;
        Ok(object)
    };
    let object = Object::new(ctx.clone())?;
    object.set("tenant", named(&from.tenant.id, &from.tenant.name)?)?;
    match &from.user {
        Some(from) => {
            let user = Object::new(ctx.clone())?;
            user.set("id", from.id.as_str())?;
            user.set("email", from.email.as_str())?;
            user.set("name", from.name.as_str())?;
            let permissions = Array::new(ctx.clone())?;
            for (index, permission) in from.permissions.iter().enumerate() {
                permissions.set(index, permission.as_str())?;
            }
            user.set("permissions", permissions)?;
            object.set("user", user)?;
        }
        None => object.set("user", javy::quickjs::Null)?,
    }
    let script = named(&from.script.id, &from.script.name)?;
    script.set("type", from.script.kind.as_str())?;
    object.set("script", script)?;
    let execution = Object::new(ctx.clone())?;
    execution.set("id", from.execution.id.as_str())?;
    execution.set("triggeredBy", from.execution.triggered_by.as_str())?;
    object.set("execution", execution)?;
    Ok(object)
}

pub fn register<'js>(ctx: &Ctx<'js>, native: &Object<'js>) -> Result<()> {
    native.set("get", Function::new(ctx.clone(), get)?)
}
