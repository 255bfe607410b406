//! `storage`.

use javy::quickjs::{Array, Ctx, Function, Null, Object, Promise, Result, Value};

use crate::airlock::script::{
    storage::{self, Answer},
    types::Failure,
};
use crate::{errors, tasks};

fn take<'js>(ctx: &Ctx<'js>, ticket: u32) -> Result<std::result::Result<Value<'js>, Failure>> {
    use javy::quickjs::IntoJs;
    let answer = match storage::take(ticket) {
        Ok(answer) => answer,
        Err(failure) => return Ok(Err(failure)),
    };
    Ok(Ok(match answer {
        Answer::Done => Value::new_undefined(ctx.clone()),
        Answer::Value(None) => Null.into_js(ctx)?,
        Answer::Value(Some(text)) => ctx.json_parse(text)?,
        Answer::Flag(flag) => flag.into_js(ctx)?,
        Answer::Number(number) => number.into_js(ctx)?,
        Answer::Page(page) => {
            let entries = Array::new(ctx.clone())?;
            for (index, entry) in page.entries.into_iter().enumerate() {
                let object = Object::new(ctx.clone())?;
                object.set("key", entry.key)?;
                object.set("value", ctx.json_parse(entry.value)?)?;
                entries.set(index, object)?;
            }
            let object = Object::new(ctx.clone())?;
            object.set("entries", entries)?;
            match page.next {
                Some(next) => object.set("next", next)?,
                None => object.set("next", Null)?,
            }
            object.into_value()
        }
    }))
}

macro_rules! operation {
    ($name:ident, $start:ident($($argument:ident: $type:ty => $pass:expr),*)) => {
        fn $name<'js>(ctx: Ctx<'js>, $($argument: $type),*) -> Result<Promise<'js>> {
            errors::require_call(&ctx, concat!("storage.", stringify!($name)))?;
            tasks::promise(&ctx, storage::$start($($pass),*), take)
        }
    };
}

operation!(get, start_get(key: String => &key));
operation!(set, start_set(key: String => &key, value: String => &value, ttl: Option<f64> => ttl));
operation!(delete, start_delete(key: String => &key));
operation!(has, start_has(key: String => &key));
operation!(list, start_list(prefix: String => &prefix, after: Option<String> => after.as_deref(), limit: Option<u32> => limit));
operation!(increment, start_increment(key: String => &key, by: f64 => by, ttl: Option<f64> => ttl));
operation!(compare_and_set, start_compare_and_set(
    key: String => &key, expected: Option<String> => expected.as_deref(), value: String => &value, ttl: Option<f64> => ttl));

pub fn register<'js>(ctx: &Ctx<'js>, native: &Object<'js>) -> Result<()> {
    native.set("get", Function::new(ctx.clone(), get)?)?;
    native.set("set", Function::new(ctx.clone(), set)?)?;
    native.set("delete", Function::new(ctx.clone(), delete)?)?;
    native.set("has", Function::new(ctx.clone(), has)?)?;
    native.set("list", Function::new(ctx.clone(), list)?)?;
    native.set("increment", Function::new(ctx.clone(), increment)?)?;
    native.set("compareAndSet", Function::new(ctx.clone(), compare_and_set)?)
}
