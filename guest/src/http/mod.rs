//! `http`.

use javy::quickjs::{Array, Ctx, Function, Object, Promise, Result, TypedArray, Value};

use crate::airlock::script::{
    http::{self, Header, Request},
    types::Failure,
};
use crate::{errors, tasks, utils};

fn take<'js>(ctx: &Ctx<'js>, ticket: u32) -> Result<std::result::Result<Value<'js>, Failure>> {
    let response = match http::take(ticket) {
        Ok(response) => response,
        Err(failure) => return Ok(Err(failure)),
    };
    let object = Object::new(ctx.clone())?;
    object.set("status", response.status)?;
    object.set("url", response.url)?;
    let headers = Array::new(ctx.clone())?;
    for (index, header) in response.headers.into_iter().enumerate() {
        let pair = Array::new(ctx.clone())?;
        pair.set(0, header.name)?;
        pair.set(1, header.value)?;
        headers.set(index, pair)?;
    }
    object.set("headers", headers)?;
    // Text is decoded here: most bodies are only ever read as text.
    object.set("text", String::from_utf8_lossy(&response.body).as_ref())?;
    object.set("bytes", TypedArray::<u8>::new(ctx.clone(), response.body)?)?;
    Ok(Ok(object.into_value()))
}

fn request<'js>(
    ctx: Ctx<'js>,
    method: String,
    url: String,
    headers: Vec<Vec<String>>,
    body: Value<'js>,
    timeout: Option<f64>,
) -> Result<Promise<'js>> {
    errors::require_call(&ctx, "http")?;
    let headers = headers
        .into_iter()
        .filter_map(|pair| <[String; 2]>::try_from(pair).ok())
        .map(|[name, value]| Header { name, value })
        .collect();
    let body = if body.is_undefined() { None } else { Some(utils::bytes_of(&ctx, &body, "the body")?) };
    let timeout = timeout.map(|timeout| timeout.clamp(0.0, 1e12) as u64);
    let ticket = http::start_request(&Request { method, url, headers, body, timeout });
    tasks::promise(&ctx, ticket, take)
}

pub fn register<'js>(ctx: &Ctx<'js>, native: &Object<'js>) -> Result<()> {
    native.set("request", Function::new(ctx.clone(), request)?)
}
