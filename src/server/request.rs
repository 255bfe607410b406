//! A request as its script sees it: `req`.
//!
//! ```text
//! {
//!   method:       "GET"            a HEAD request reads GET
//!   path:         "/api/custom/orders/7"   as sent, escapes and all
//!   query:        { start: "2024-01-01", tag: ["a", "b"] }   repeated: an array, in order
//!   headers:      { "content-type": "…" }  names in lower case; repeated: joined with ", "
//!   params:       { id: "7" }      the path's parameters, decoded
//!   body:         see below
//!   rawBody:      "…"              the body as it came, for signatures
//!   bodyEncoding: "utf-8"          how rawBody (and a string body) stands for bytes, or "base64"
//! }
//! ```
//! `body` is null where there is none; the value where the content type is JSON
//! (`application/json`, `*+json`); an object like `query` where it is
//! `application/x-www-form-urlencoded`; text where it is `text/*`, XML or not
//! said, and the bytes are UTF-8; else the bytes in base64. Multipart is not
//! taken apart.
//!
//! What the body is stands in rawBody already where it is JSON, text or base64.
//! So it is sent once, as rawBody, with a null body, and bodyEncoding says how
//! the engine completes the request (`guest/src/json.js`): "json" and "text" are
//! "utf-8" then.
//!
//! A script never sees its caller's credentials: Authorization, Cookie and what
//! concerns proxies and the connection are left out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use axum::body::{Body, HttpBody};
use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::{Method, StatusCode, Uri};
use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde::Serialize;
use serde_json::value::RawValue;
use url::form_urlencoded;

use super::problem::Problem;
use crate::runtime::limits::Limit;
use crate::settings::ServerSettings;

/// Levels of nesting in a JSON body. Under the 128 that serde_json takes, since
/// the body is wrapped in `req`.
pub const MAX_DEPTH: usize = 120;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Req<'a> {
    method: &'a str,
    path: &'a str,
    query: BTreeMap<Cow<'a, str>, Field<'a>>,
    headers: BTreeMap<&'a str, String>,
    params: BTreeMap<&'a str, &'a str>,
    /// Of a form. None: what bodyEncoding says.
    body: Option<BTreeMap<Cow<'a, str>, Field<'a>>>,
    raw_body: &'a str,
    body_encoding: &'static str,
}

/// One value, or several where a name is repeated.
#[derive(Serialize)]
#[serde(untagged)]
enum Field<'a> {
    One(Cow<'a, str>),
    Several(Vec<Cow<'a, str>>),
}

/// `req` as JSON text.
pub fn compose(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    parameters: &[(String, String)],
    body: &[u8],
) -> Result<String, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let kind = kind.as_deref().map(essence);
    let utf8 = std::str::from_utf8(body);
    let binary;
    let (raw_body, mut body_encoding) = match utf8 {
        Ok(text) if is_text(kind.as_deref()) => (text, "utf-8"),
        _ if is_json(kind.as_deref()) => {
            return Err(Problem::bad_request("body_not_json", "The body is not JSON: it is not UTF-8 text."));
        }
        _ => {
            binary = base64::engine::general_purpose::STANDARD.encode(body);
            (binary.as_str(), "base64")
        }
    };
    let mut form = None;
    if body.is_empty() {
        body_encoding = "utf-8";
    } else if is_json(kind.as_deref()) {
        json(raw_body)?;
        body_encoding = "json";
    } else if body_encoding == "utf-8" {
        if kind.as_deref() == Some("application/x-www-form-urlencoded") {
            form = Some(fields(body));
        } else {
            body_encoding = "text";
        }
    }
    let request = Req {
        // The script is the one for GET; the host keeps the body back.
        method: if method == Method::HEAD { "GET" } else { method.as_str() },
        path: uri.path(),
        query: fields(uri.query().unwrap_or_default().as_bytes()),
        headers: visible(headers),
        params: parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        body: form,
        raw_body,
        body_encoding,
    };
    serde_json::to_string(&request).map_err(|reason| {
        tracing::error!(%reason, "composing a request failed");
        Problem::internal()
    })
}

/// Reads a body: no more, and no longer, than the settings allow.
pub async fn read(headers: &HeaderMap, body: Body, settings: &ServerSettings) -> Result<Bytes, Problem> {
    let advice = "; the host's setting server.max_body changes the limit";
    read_at_most(headers, body, settings.max_body, advice, settings).await
}

/// The same, with a limit in bytes of its own. `advice` says what changes it.
pub async fn read_at_most(
    headers: &HeaderMap,
    body: Body,
    most: u64,
    advice: &str,
    settings: &ServerSettings,
) -> Result<Bytes, Problem> {
    let too_large =
        || Problem::too_large(format!("The body is larger than {}{advice}.", Limit::Memory.show(most))).closing();
    // Before a byte is read, where the client says so itself.
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > most) || body.size_hint().lower() > most {
        return Err(too_large());
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    match tokio::time::timeout(settings.body_timeout, Limited::new(body, most).collect()).await {
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(reason)) if reason.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(reason)) => {
            tracing::debug!(%reason, "a body broke off");
            Err(Problem::bad_request("body_incomplete", "The body is malformed, or shorter than its headers say.")
                .closing())
        }
        Err(_) => {
            let most = Limit::Timeout.show(settings.body_timeout.as_millis().try_into().unwrap_or(u64::MAX));
            let detail =
                format!("The body took longer than {most}; the host's setting server.body_timeout changes the limit.");
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail).closing())
        }
    }
}

/// The content type without its parameters, in lower case.
pub fn essence(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

pub fn is_json(kind: Option<&str>) -> bool {
    kind.is_some_and(|kind| kind == "application/json" || kind.ends_with("+json"))
}

fn is_text(kind: Option<&str>) -> bool {
    match kind {
        None | Some("") => true,
        Some(kind) => {
            is_json(Some(kind))
                || kind.starts_with("text/")
                || kind.ends_with("+xml")
                || matches!(kind, "application/xml" | "application/x-www-form-urlencoded" | "application/x-ndjson")
        }
    }
}

pub fn json(text: &str) -> Result<&RawValue, Problem> {
    if let Some((line, column)) = too_deep(text) {
        return Err(Problem::bad_request(
            "body_too_deep",
            format!("The body is nested deeper than {MAX_DEPTH} levels, at line {line}, column {column}."),
        ));
    }
    // The parser's reason names the line and the column.
    serde_json::from_str(text)
        .map_err(|reason| Problem::bad_request("body_not_json", format!("The body is not JSON: {reason}.")))
}

/// Where JSON text goes too deep. Reading it as raw text checks its syntax but
/// not its depth.
fn too_deep(text: &str) -> Option<(usize, usize)> {
    let (mut depth, mut line, mut start) = (0usize, 1, 0);
    let (mut quoted, mut escaped) = (false, false);
    for (index, byte) in text.bytes().enumerate() {
        if byte == b'\n' {
            line += 1;
            start = index + 1;
        }
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Some((line, index - start + 1));
        }
    }
    None
}

fn fields(encoded: &[u8]) -> BTreeMap<Cow<'_, str>, Field<'_>> {
    let mut fields = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(encoded) {
        match fields.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(Field::One(value));
            }
            Entry::Occupied(mut entry) => match entry.get_mut() {
                Field::Several(values) => values.push(value),
                Field::One(first) => {
                    let values = vec![std::mem::take(first), value];
                    entry.insert(Field::Several(values));
                }
            },
        }
    }
    fields
}

fn visible(headers: &HeaderMap) -> BTreeMap<&str, String> {
    let mut seen: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| !is_hidden(name)) {
        let value = String::from_utf8_lossy(value.as_bytes());
        seen.entry(name.as_str())
            .and_modify(|values| {
                values.push_str(", ");
                values.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    seen
}

fn is_hidden(name: &HeaderName) -> bool {
    const HIDDEN: &[HeaderName] = &[
        header::AUTHORIZATION,
        header::COOKIE,
        header::CONNECTION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    HIDDEN.contains(name) || name == "keep-alive" || name.as_str().starts_with("proxy-")
}
