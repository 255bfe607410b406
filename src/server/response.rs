//! What a script returned, as an HTTP answer.
//!
//! An object with a `body` or with a number as `status` is a response, and has
//! no keys but `status` (a whole number from 200 to 599, 200 by default),
//! `headers` (name to text, number, or a list of them) and `body` (an object,
//! list, number or boolean: JSON; text: plain text unless the headers say
//! otherwise; null or left out: empty). Any other value is the body of a 200,
//! as JSON; null, which is what `undefined` comes back as, is a 204.
//!
//! A response that is not sound is the script's error, not the caller's to see.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::value::RawValue;

const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 << 10;

/// Tenants share the host's origin. What a script answers is shown by browsers
/// as of an origin of its own, so that a page of one tenant's cannot act on
/// another's or on the host's.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox allow-forms allow-popups allow-scripts");

type Parts<'a> = BTreeMap<String, &'a RawValue>;

/// The error says what is wrong with the returned value, to its author.
pub fn compose(result: Option<&RawValue>) -> Result<Response, String> {
    let text = result.map_or("null", RawValue::get);
    let mut response = match parts(text) {
        Some(parts) => of_parts(&parts)?,
        None if text == "null" => with(StatusCode::NO_CONTENT, HeaderMap::new(), Body::empty()),
        None => with(StatusCode::OK, json_headers(), Body::from(text.to_owned())),
    };
    // Beside one that the script set: browsers obey both.
    response.headers_mut().append(header::CONTENT_SECURITY_POLICY, SANDBOX);
    Ok(response)
}

/// The keys of a value that means to be a response.
fn parts(text: &str) -> Option<Parts<'_>> {
    if !text.starts_with('{') {
        return None;
    }
    let parts: Parts<'_> = serde_json::from_str(text).ok()?;
    let numeric = parts.get("status").is_some_and(|status| is_number(status));
    (numeric || parts.contains_key("body")).then_some(parts)
}

fn is_number(value: &RawValue) -> bool {
    value.get().starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

fn of_parts(parts: &Parts<'_>) -> Result<Response, String> {
    if let Some(key) = parts.keys().find(|key| !matches!(key.as_str(), "status" | "headers" | "body")) {
        return Err(format!(
            "the returned response has the key `{key}`; a response is {{status, headers, body}}, and data goes under `body`"
        ));
    }
    let status = status(parts.get("status").copied())?;
    let mut headers = headers(parts.get("headers").copied())?;
    let body = match parts.get("body").map_or("null", |body| body.get()) {
        "null" => Body::empty(),
        text if text.starts_with('"') => {
            let body: String =
                serde_json::from_str(text).map_err(|_| "the response's body is not valid text".to_owned())?;
            headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain; charset=utf-8"));
            Body::from(body)
        }
        text => {
            headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
            Body::from(text.to_owned())
        }
    };
    // These have no body; one would be read as the next answer's beginning.
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
    Ok(with(status, headers, if bodiless { Body::empty() } else { body }))
}

fn status(value: Option<&RawValue>) -> Result<StatusCode, String> {
    let Some(value) = value else { return Ok(StatusCode::OK) };
    value
        .get()
        .parse::<u16>()
        .ok()
        .filter(|status| (200..=599).contains(status))
        .and_then(|status| StatusCode::from_u16(status).ok())
        .ok_or_else(|| {
            format!("the response's status is {}; it must be a whole number from 200 to 599", shorten(value.get()))
        })
}

fn headers(value: Option<&RawValue>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let Some(value) = value.filter(|value| value.get() != "null") else { return Ok(headers) };
    let given: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(value.get()).map_err(|_| "the response's headers are not an object".to_owned())?;
    let mut bytes = 0;
    for (name, value) in given {
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("the response's header {} has no valid name", shorten(&format!("{name:?}"))))?;
        if let Some(why) = forbidden(&key) {
            return Err(format!("a script may not set the header `{key}`: {why}"));
        }
        let values = match value {
            serde_json::Value::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            let text = match value {
                serde_json::Value::String(text) => text,
                serde_json::Value::Number(number) => number.to_string(),
                _ => return Err(format!("the response's header `{key}` is not text")),
            };
            let value = HeaderValue::from_str(&text).map_err(|_| {
                format!("the response's header `{key}` holds a line break or another control character")
            })?;
            bytes += key.as_str().len() + text.len();
            headers.append(key.clone(), value);
        }
        if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
            return Err(format!(
                "the response has more headers than fit: at most {MAX_HEADERS}, of {MAX_HEADER_BYTES} bytes together"
            ));
        }
    }
    Ok(headers)
}

fn forbidden(name: &HeaderName) -> Option<&'static str> {
    const CONNECTION: &str = "the host manages the connection and the body's length";
    const ORIGIN: &str = "it would hold for all tenants of this host, which share its address";
    const HOST: &str = "the host sets it";
    match name.as_str() {
        "connection" | "content-length" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade" => {
            Some(CONNECTION)
        }
        name if name.starts_with("proxy-") => Some(CONNECTION),
        "set-cookie"
        | "set-cookie2"
        | "clear-site-data"
        | "service-worker-allowed"
        | "strict-transport-security"
        | "alt-svc" => Some(ORIGIN),
        "x-execution-id" | "date" => Some(HOST),
        _ => None,
    }
}

fn json_headers() -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))])
}

fn with(status: StatusCode, headers: HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Enough of a script's value to recognise it in the log.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
