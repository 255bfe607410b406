//! A service behind HTTP: a backend of the application that speaks JSON.
//!
//! Scripts name a method and give arguments; where that leads is the operator's
//! to say, so no address is ever a script's. That is why a backend may be at a
//! private address, where a script's own requests may not go.

mod answer;
mod path;
mod signature;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::utf8_percent_encode;
use reqwest::{Client, Method};
use serde_json::Value as Json;
use url::Url;

use super::{Caller, Refused, unknown_method};
use crate::random;
use crate::runtime::failure::Failure;
use crate::runtime::limits::Limits;
use answer::{Attempt, Failed};
pub use path::Path;
use signature::Signed;
pub use signature::SigningKey;

/// The headers of a user with very many permissions would be refused by most
/// servers, for reasons that are hard to find.
const HEADER_BYTES: usize = 16 << 10;
/// One URL with its query.
const URL_BYTES: usize = 8 << 10;
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause, and the longest that a backend's Retry-After is heeded.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What `[services.<name>]` of the kind `http` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    url: Url,
    key: SigningKey,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Further attempts, of methods that may be repeated.
    pub retries: u32,
    /// By the name that scripts use.
    pub methods: BTreeMap<String, Endpoint>,
    /// Before the first further attempt, on average; doubled before each next.
    pause: Duration,
}

/// What a method of a backend is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    method: Method,
    path: Path,
    /// Whether a call may be repeated though its method alone does not say so.
    /// It is sent with an `Idempotency-Key`, the same in each attempt.
    idempotent: bool,
}

impl Endpoint {
    /// Whether a call changes nothing, as its method says.
    pub fn reads(&self) -> bool {
        self.method == Method::GET
    }

    /// `method` is GET, POST, PUT, PATCH or DELETE.
    pub fn new(method: &str, path: &str, idempotent: bool) -> Result<Endpoint, String> {
        let method = match method.to_ascii_uppercase().as_str() {
            "GET" => Method::GET,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            "DELETE" => Method::DELETE,
            _ => return Err(format!("`{method}` is not a method; known here: GET, POST, PUT, PATCH, DELETE")),
        };
        Ok(Endpoint { method, path: path.parse()?, idempotent })
    }

    fn may_be_repeated(&self) -> bool {
        self.idempotent || self.method.is_idempotent()
    }

    fn has_body(&self) -> bool {
        matches!(self.method, Method::POST | Method::PUT | Method::PATCH)
    }
}

impl Backend {
    /// `url` is the address that the methods' paths begin at, `http` or `https`.
    pub fn new(url: &str, key: SigningKey) -> Result<Backend, String> {
        let wrong = |reason: &str| {
            format!("this is not a backend's address: {reason}; write it as `https://shop.internal/api`")
        };
        let parsed = Url::parse(url).map_err(|reason| wrong(&reason.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(wrong("it begins with neither https:// nor http://"));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(wrong("it has a user name or a password in it, and requests are signed instead"));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(wrong("it has a query or a fragment"));
        }
        let (timeout, methods) = (Duration::from_secs(10), BTreeMap::new());
        Ok(Backend { url: parsed, key, timeout, retries: 2, methods, pause: PAUSE })
    }

    /// Adds a method, replacing the one of that name.
    pub fn with(mut self, name: &str, endpoint: Endpoint) -> Backend {
        self.methods.insert(name.to_owned(), endpoint);
        self
    }

    /// Calls a method. Repeats it after a pause where it failed for reasons that
    /// pass, and may be repeated.
    pub(super) async fn call(
        &self,
        client: &Client,
        service: &str,
        caller: Caller<'_>,
        limits: &Limits,
        method: &str,
        arguments: Vec<Json>,
    ) -> Result<Json, Refused> {
        let Some(endpoint) = self.methods.get(method) else {
            let known: Vec<&str> = self.methods.keys().map(String::as_str).collect();
            return Err(unknown_method(service, method, &known).into());
        };
        let prepared = self.prepare(endpoint, &format!("services.{service}.{method}"), arguments)?;
        let mut attempts = 0;
        loop {
            let asked = self.attempt(client, service, caller, limits, &prepared);
            let attempt = tokio::time::timeout(self.timeout, asked).await;
            let attempt = attempt.unwrap_or_else(|_| Err(Failed::late(service, self.timeout)));
            let failed = match attempt {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            attempts += 1;
            let passes = failed.passes && endpoint.may_be_repeated() && attempts <= self.retries;
            match pause(self.pause, attempts, random::fraction(), failed.retry_after).filter(|_| passes) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(*failed.error),
            }
        }
    }

    /// What the arguments make of a method. Those that the path does not take
    /// are one at most: the body, or an object for the query.
    fn prepare<'a>(&self, endpoint: &'a Endpoint, what: &str, arguments: Vec<Json>) -> Result<Prepared<'a>, Failure> {
        let taken = endpoint.path.parameters().count() + 1;
        let mut arguments = arguments.into_iter();
        let path = endpoint.path.fill(what, &mut arguments)?;
        let rest = arguments.next().filter(|rest| !rest.is_null());
        if arguments.next().is_some() {
            return Err(Failure::argument(format!("{what} takes at most {taken} arguments")));
        }
        let mut url = self.url.clone();
        let base = self.url.path().trim_end_matches('/');
        url.set_path(&format!("{base}{path}"));
        let mut body = Bytes::new();
        match rest {
            None => {}
            Some(rest) if endpoint.has_body() => body = rest.to_string().into(),
            Some(Json::Object(members)) => url.set_query(query(members).as_deref()),
            Some(_) => return Err(Failure::argument(format!("{what} takes an object of what to ask for"))),
        }
        if url.as_str().len() > URL_BYTES {
            return Err(Failure::argument(format!(
                "what {what} was given makes an address of more than {URL_BYTES} bytes"
            )));
        }
        let key = (endpoint.idempotent).then(|| uuid::Uuid::new_v4().to_string());
        Ok(Prepared { method: &endpoint.method, url, body, idempotency_key: key })
    }

    async fn attempt(
        &self,
        client: &Client,
        service: &str,
        caller: Caller<'_>,
        limits: &Limits,
        prepared: &Prepared<'_>,
    ) -> Attempt {
        let Prepared { method, url, body, idempotency_key } = prepared;
        let path = &url[url::Position::BeforePath..];
        let signed = Signed {
            method: method.as_str(),
            path,
            timestamp: chrono::Utc::now().timestamp(),
            identity: caller.identity,
            idempotency_key: idempotency_key.as_deref(),
            body,
        };
        let headers = signed.headers(&self.key);
        if headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > HEADER_BYTES {
            let what = "the headers that say who calls";
            return Err(Failure::internal(what, "the user's permissions are more than a request can carry").into());
        }
        let mut request = client.request((*method).clone(), url.clone()).header("accept", "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(trace) = caller.trace {
            request = request.header("traceparent", trace.to_string());
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body.clone());
        }
        answer::read(service, request.send().await, limits).await
    }
}

/// A call that is ready to be sent, once or more.
struct Prepared<'a> {
    method: &'a Method,
    url: Url,
    body: Bytes,
    idempotency_key: Option<String>,
}

/// A query: what is not a text as its JSON, what is null left out.
fn query(members: serde_json::Map<String, Json>) -> Option<String> {
    let encode = |text: &str| utf8_percent_encode(text, path::ESCAPED).to_string();
    let pairs: Vec<String> = members
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| match value {
            Json::String(text) => format!("{}={}", encode(&name), encode(&text)),
            other => format!("{}={}", encode(&name), encode(&other.to_string())),
        })
        .collect();
    (!pairs.is_empty()).then(|| pairs.join("&"))
}

/// How long to wait after so many attempts, `random` being from 0 to 1: a time
/// that doubles, by half shorter or longer, so that many calls that failed
/// together do not come back together. None where the backend asks for longer
/// than a script can wait.
fn pause(base: Duration, attempts: u32, random: f64, asked: Option<Duration>) -> Option<Duration> {
    let doubled = base * 2u32.saturating_pow(attempts.saturating_sub(1).min(8));
    let pause = doubled.mul_f64(0.5 + random).min(LONGEST_PAUSE);
    match asked {
        Some(asked) if asked > LONGEST_PAUSE => None,
        Some(asked) => Some(asked.max(pause)),
        None => Some(pause),
    }
}
