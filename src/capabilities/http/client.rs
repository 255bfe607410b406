//! One request from the script's words to the last byte of the answer.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Method, StatusCode, redirect};
use tokio::time::Instant;
use url::{Host, Url};

use super::address::Rules;
use super::pattern::is_name;
use super::{
    ADDRESSES, Budget, CONNECT_TIMEOUT, Grant, IDLE_CONNECTIONS, IDLE_TIMEOUT, Lookup, MAX_HEADER_BYTES, MAX_HEADERS,
    MAX_URL_BYTES, Process, blocked, http_error,
};
use crate::runtime::bindings::airlock::script::http::{Header, Request, Response};
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};
use crate::runtime::trace::Trace;

/// A request that was checked: what is left to check are the addresses that
/// names resolve to, and redirects.
#[derive(Debug)]
pub(super) struct Prepared {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Bytes>,
    timeout: Duration,
    /// Whether the timeout is the script's own wish, below the limit.
    wished: bool,
}

/// Why an address is not requested.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is none that could be requested, with the reason.
    Malformed(String),
    Denied(Failure),
}

/// Every address of a name is blocked.
#[derive(Debug, thiserror::Error)]
#[error("every address of the name is blocked")]
struct Blocked;

/// A name has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name could not be resolved")]
struct Unresolved;

/// Hands over only addresses that may be connected to. The connector connects
/// to these and looks nothing up again, so a name server that changes its mind
/// gains nothing.
struct Resolver {
    rules: Arc<Rules>,
    lookup: Lookup,
    /// The only port that the client is used for, if there is one.
    port: Option<u16>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let found = (self.lookup)(name.as_str().to_owned());
        let (rules, port) = (self.rules.clone(), self.port);
        Box::pin(async move {
            let found = match found.await {
                Ok(found) if !found.is_empty() => found,
                Ok(_) => return Err(Unresolved.into()),
                Err(reason) => {
                    tracing::debug!(name = name.as_str(), %reason, "a script's name look-up failed");
                    return Err(Unresolved.into());
                }
            };
            let permitted = |ip: &IpAddr| match port {
                Some(port) => rules.permits_at(*ip, port),
                None => rules.permits(*ip),
            };
            let permitted: Vec<SocketAddr> =
                found.iter().copied().filter(permitted).take(ADDRESSES).map(|ip| SocketAddr::new(ip, 0)).collect();
            if permitted.is_empty() {
                tracing::info!(name = name.as_str(), addresses = ?found, "a script asked for a blocked address");
                return Err(Blocked.into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

/// A client for scripts' requests.
pub(super) fn build(
    rules: &Arc<Rules>,
    lookup: &Lookup,
    port: Option<u16>,
    user_agent: &str,
) -> reqwest::Result<Client> {
    with_roots(|| {
        let resolver = Resolver { rules: rules.clone(), lookup: lookup.clone(), port };
        builder(user_agent).dns_resolver(resolver)
    })
}

/// A client that follows nothing, decodes nothing, keeps no cookies and heeds
/// no proxy of the environment: all of these would bypass a check.
pub(super) fn builder(user_agent: &str) -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .user_agent(user_agent)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .http2_max_header_list_size(MAX_HEADER_BYTES as u32)
}

pub(super) fn with_roots(builder: impl Fn() -> ClientBuilder) -> reqwest::Result<Client> {
    builder().build().or_else(|reason| {
        // A small container image may lack root certificates. It can still
        // make unencrypted requests; trusting nobody keeps the others safe.
        let client = builder().tls_certs_only([]).build()?;
        tracing::warn!(reason = ?reason.source(), "no root certificates were found, so https requests will fail");
        Ok(client)
    })
}

impl Prepared {
    /// Says which trace it is part of, where the script does not.
    pub(super) fn traced(mut self, trace: Option<Trace>) -> Prepared {
        const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
        let value = trace.and_then(|trace| HeaderValue::try_from(trace.to_string()).ok());
        if let (Some(value), false) = (value, self.headers.contains_key(TRACEPARENT)) {
            self.headers.insert(TRACEPARENT, value);
        }
        self
    }
}

impl Process {
    /// Checks everything about a request that can be checked without the
    /// network.
    pub(super) fn prepare(&self, request: Request, grant: &Grant, limits: &Limits) -> Result<Prepared, Failure> {
        if request.url.len() > MAX_URL_BYTES {
            return Err(Failure::argument(format!("the URL is longer than {MAX_URL_BYTES} bytes")));
        }
        let url = Url::parse(&request.url)
            .map_err(|reason| Failure::argument(format!("`{}` is not a URL: {reason}", excerpt(&request.url))))?;
        let url = self.admit(url, grant).map_err(|refusal| match refusal {
            Refusal::Malformed(reason) => Failure::argument(reason),
            Refusal::Denied(failure) => failure,
        })?;
        let method = method(&request.method)?;
        let headers = headers(request.headers)?;
        let body = request.body.filter(|body| !body.is_empty());
        if let Some(body) = &body {
            if method == Method::GET || method == Method::HEAD {
                return Err(Failure::argument(format!("a {method} request cannot have a body")));
            }
            limits.check(Limit::HttpRequestBytes, body.len() as u64)?;
        }
        let wished = request.timeout.filter(|wished| *wished < limits.http_timeout);
        if wished == Some(0) {
            return Err(Failure::argument("the timeout of a request must be at least 1 ms"));
        }
        Ok(Prepared {
            method,
            url,
            headers,
            body: body.map(Bytes::from),
            timeout: Duration::from_millis(wished.unwrap_or(limits.http_timeout)),
            wished: wished.is_some(),
        })
    }

    /// Makes a request and follows its redirects, each of which takes from the
    /// budget.
    pub(super) async fn exchange(
        &self,
        prepared: Prepared,
        grant: &Grant,
        budget: &Budget,
    ) -> Result<Response, Failure> {
        let (timeout, wished) = (prepared.timeout, prepared.wished);
        let host = name_of(&prepared.url);
        let followed = self.follow(prepared, grant, budget);
        match tokio::time::timeout_at(Instant::now() + timeout, followed).await {
            Ok(result) => result,
            Err(_) if wished => Err(Failure::new(
                "TimeoutError",
                format!("the request to {host} took longer than its timeout of {timeout:?}"),
            )),
            Err(_) => {
                let limit = budget.limits.http_timeout;
                let failure = Failure::limit(Limit::HttpTimeout, limit, limit);
                Err(Failure { name: "TimeoutError".to_owned(), ..failure })
            }
        }
    }

    async fn follow(&self, mut prepared: Prepared, grant: &Grant, budget: &Budget) -> Result<Response, Failure> {
        let limits = &budget.limits;
        let mut redirects = 0;
        loop {
            let host = name_of(&prepared.url);
            let response = self.send(&prepared).await.map_err(|error| failure(&error, &host))?;
            let Some(location) = location(&response) else {
                return receive(response, prepared, limits).await;
            };
            redirects += 1;
            limits.check(Limit::HttpRedirects, redirects)?;
            let next = self.redirected(&prepared.url, &location, grant).map_err(|refusal| match refusal {
                Refusal::Malformed(reason) => {
                    http_error(format!("the redirect of {host} cannot be followed: {reason}"))
                }
                Refusal::Denied(failure) => {
                    Failure { message: format!("{host} redirects: {}", failure.message), ..failure }
                }
            })?;
            budget.take()?;
            rewrite(&mut prepared, response.status(), next);
        }
    }

    async fn send(&self, prepared: &Prepared) -> reqwest::Result<reqwest::Response> {
        let port = prepared.url.port_or_known_default().unwrap_or_default();
        let mut request =
            self.client(port).request(prepared.method.clone(), prepared.url.clone()).headers(prepared.headers.clone());
        if let Some(body) = &prepared.body {
            request = request.body(body.clone());
        }
        request.send().await
    }

    pub(super) fn redirected(&self, from: &Url, location: &str, grant: &Grant) -> Result<Url, Refusal> {
        if location.len() > MAX_URL_BYTES {
            return Err(Refusal::Malformed("its URL is too long".to_owned()));
        }
        let url =
            from.join(location).map_err(|reason| Refusal::Malformed(format!("`{}`: {reason}", excerpt(location))))?;
        self.admit(url, grant)
    }

    /// Whether a script may request an address, as far as the URL tells: the
    /// whole check for an IP address, which no resolver gets to see.
    fn admit(&self, mut url: Url, grant: &Grant) -> Result<Url, Refusal> {
        let malformed = |reason: &str| Err(Refusal::Malformed(reason.to_owned()));
        if !matches!(url.scheme(), "http" | "https") {
            return malformed("only http and https addresses can be requested");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return malformed(
                "a URL with a user name or a password in it is not requested; set the Authorization header",
            );
        }
        let port = url.port_or_known_default().unwrap_or_default();
        if port == 0 {
            return malformed("nothing can be requested at port 0");
        }
        if let Some(domain) = url.domain() {
            // `example.com.` is `example.com`, spelt so as to miss the lists.
            if let Some(bare) = domain.strip_suffix('.') {
                let bare = bare.to_owned();
                if url.set_host(Some(&bare)).is_err() {
                    return malformed("the URL's host is not a name that can be looked up");
                }
            }
        }
        let literal = match url.host() {
            Some(Host::Domain(domain)) if is_name(domain) => None,
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            _ => return malformed("the URL's host is not a name that can be looked up"),
        };
        url.set_fragment(None);
        grant.check_url(&url).map_err(Refusal::Denied)?;
        match literal {
            Some(ip) if !self.rules.permits_at(ip, port) => {
                tracing::info!(%ip, port, "a script asked for a blocked address");
                Err(Refusal::Denied(blocked(&name_of(&url))))
            }
            _ => Ok(url),
        }
    }
}

fn method(text: &str) -> Result<Method, Failure> {
    match text.to_ascii_uppercase().as_str() {
        "GET" => Ok(Method::GET),
        "HEAD" => Ok(Method::HEAD),
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        "PATCH" => Ok(Method::PATCH),
        "DELETE" => Ok(Method::DELETE),
        "OPTIONS" => Ok(Method::OPTIONS),
        _ => Err(Failure::argument(format!(
            "`{}` is not a method that can be used; GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS are",
            excerpt(text)
        ))),
    }
}

fn headers(given: Vec<Header>) -> Result<HeaderMap, Failure> {
    if given.len() > MAX_HEADERS {
        return Err(Failure::argument(format!("a request can have at most {MAX_HEADERS} headers")));
    }
    let size: usize = given.iter().map(|header| header.name.len() + header.value.len()).sum();
    if size > MAX_HEADER_BYTES {
        return Err(Failure::argument(format!("the headers of a request can hold at most {MAX_HEADER_BYTES} bytes")));
    }
    let mut headers = HeaderMap::new();
    for Header { name, value } in given {
        let shown = excerpt(&name);
        let known = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Failure::argument(format!("`{shown}` is not a header's name")))?;
        if is_forbidden(known.as_str()) {
            return Err(Failure::argument(format!(
                "the header `{shown}` is set by the host and cannot be set by a script"
            )));
        }
        let value = value.trim_matches([' ', '\t', '\r', '\n']);
        if value.contains(['\r', '\n', '\0']) {
            return Err(Failure::argument(format!(
                "the value of the header `{shown}` has a line break or a NUL in it"
            )));
        }
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
            Failure::argument(format!("the value of the header `{shown}` has a control character in it"))
        })?;
        headers.append(known, value);
    }
    Ok(headers)
}

/// Headers that decide where a message ends, where it goes or what the
/// connection does next.
fn is_forbidden(name: &str) -> bool {
    name.starts_with("proxy-")
        || matches!(
            name,
            "host"
                | "content-length"
                | "transfer-encoding"
                | "connection"
                | "keep-alive"
                | "upgrade"
                | "http2-settings"
                | "te"
                | "trailer"
                | "expect"
        )
}

/// Where an answer redirects to, if it does.
fn location(response: &reqwest::Response) -> Option<String> {
    match response.status().as_u16() {
        301 | 302 | 303 | 307 | 308 => response.headers().get(header::LOCATION).map(text),
        _ => None,
    }
}

/// Turns a request into the one that follows a redirect, as the fetch standard
/// has it (https://fetch.spec.whatwg.org/#http-redirect-fetch).
fn rewrite(prepared: &mut Prepared, status: StatusCode, next: Url) {
    let becomes_get = match status.as_u16() {
        301 | 302 => prepared.method == Method::POST,
        303 => prepared.method != Method::GET && prepared.method != Method::HEAD,
        _ => false,
    };
    if becomes_get {
        prepared.method = Method::GET;
        prepared.body = None;
        for name in [header::CONTENT_ENCODING, header::CONTENT_LANGUAGE, header::CONTENT_LOCATION, header::CONTENT_TYPE]
        {
            prepared.headers.remove(name);
        }
    }
    if prepared.url.origin() != next.origin() {
        for name in [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION] {
            prepared.headers.remove(name);
        }
    }
    prepared.url = next;
}

async fn receive(response: reqwest::Response, prepared: Prepared, limits: &Limits) -> Result<Response, Failure> {
    let host = name_of(&prepared.url);
    let size: usize = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if response.headers().len() > MAX_HEADERS || size > MAX_HEADER_BYTES {
        return Err(http_error(format!(
            "{host} answered with more than {MAX_HEADERS} headers or {MAX_HEADER_BYTES} bytes of them"
        )));
    }
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| Header { name: name.as_str().to_owned(), value: text(value) })
        .collect();
    let status = response.status().as_u16();

    let body = body(response, limits, Limit::HttpResponseBytes).await.map_err(|reason| match reason {
        BodyError::Limit(failure) => failure,
        BodyError::BrokenOff => http_error(format!("the answer of {host} broke off")),
    })?;
    Ok(Response { status, url: prepared.url.into(), headers, body })
}

/// Why a body was not read to its end.
pub(crate) enum BodyError {
    Limit(Failure),
    BrokenOff,
}

/// Reads a body as far as a limit allows.
pub(crate) async fn body(mut response: reqwest::Response, limits: &Limits, limit: Limit) -> Result<Vec<u8>, BodyError> {
    // An honest server that announces too much is refused at once. What the
    // others announce counts for nothing.
    let announced = response.content_length().unwrap_or(0);
    limits.check(limit, announced).map_err(BodyError::Limit)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| {
        tracing::debug!(%error, "an answer broke off");
        BodyError::BrokenOff
    })? {
        limits.check(limit, (body.len() + chunk.len()) as u64).map_err(BodyError::Limit)?;
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What a script learns of a failed connection: its kind, and the host by the
/// name that the script used, never an address.
fn failure(error: &reqwest::Error, host: &str) -> Failure {
    tracing::debug!(host, ?error, "a script's request failed");
    if find::<Blocked>(error).is_some() {
        return blocked(host);
    }
    if find::<Unresolved>(error).is_some() {
        return http_error(format!("the name {host} could not be resolved"));
    }
    if let Some(error) = find::<rustls::Error>(error) {
        return http_error(tls(error, host));
    }
    if error.is_connect() {
        let refused = find::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        return http_error(if error.is_timeout() {
            format!("{host} could not be connected to within {CONNECT_TIMEOUT:?}")
        } else if refused {
            format!("{host} refused the connection")
        } else {
            format!("{host} could not be connected to")
        });
    }
    match find::<hyper::Error>(error) {
        Some(error) if error.is_parse() => {
            http_error(format!("the answer of {host} is not HTTP that could be understood"))
        }
        Some(error) if error.is_incomplete_message() => {
            http_error(format!("{host} closed the connection before it answered"))
        }
        _ => http_error(format!("the request to {host} failed")),
    }
}

fn tls(error: &rustls::Error, host: &str) -> String {
    use rustls::{CertificateError as Certificate, Error};
    let reason = match error {
        Error::InvalidCertificate(Certificate::UnknownIssuer) => "its issuer is not trusted",
        Error::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => "it has expired",
        Error::InvalidCertificate(Certificate::NotValidYet | Certificate::NotValidYetContext { .. }) => {
            "it is not valid yet"
        }
        Error::InvalidCertificate(Certificate::NotValidForName | Certificate::NotValidForNameContext { .. }) => {
            "it is for another name"
        }
        Error::InvalidCertificate(_) => "it is not valid",
        _ => return format!("no TLS connection with {host} could be made"),
    };
    format!("the certificate of {host} is refused: {reason}")
}

/// The first error of that type among the causes.
fn find<'error, T: Error + 'static>(error: &'error (dyn Error + 'static)) -> Option<&'error T> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        // An io::Error answers the cause of what it wraps, not what it wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// The host and, where it is not the scheme's own, the port.
fn name_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// A header's value. Bytes that are not UTF-8 are read as the fetch standard
/// reads all of them: a byte, a character.
fn text(value: &HeaderValue) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
    }
}

/// The start of a script's text, fit for a message.
fn excerpt(text: &str) -> String {
    const SHOWN: usize = 80;
    let start: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() { format!("{start}…") } else { start }
}
