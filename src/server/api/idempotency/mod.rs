//! `Idempotency-Key`: a request that is sent twice is done once.
//!
//! A POST that carries one is remembered for a day, with its answer. The same
//! key and the same request get that answer again, on whatever host; the same
//! key with another request is refused. A request goes on where its client has
//! left, so that the answer is there when it comes back.
//!
//! Where a host died in between, nobody knows how far it came. What can be done
//! again without harm is done again, and makes what has the same id; for the
//! rest, the answer is that it is not known.

mod rows;
#[cfg(test)]
mod tests;

use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::PartialSchema;
use utoipa::openapi::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Required, ResponseBuilder};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::extract::MAX_BODY;
use super::{Api, Caller, Problem, calls};
use crate::capabilities::secrets::{Key as CipherKey, Keys, Sealed};
use crate::hexadecimal;
use crate::server::{ExecutionId, problem, request};
use crate::store::clock::{Millis, millis};
use rows::{Answer, Begun, Entry};

const NAME: &str = "idempotency-key";
/// Says that an answer is one that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Characters of a key.
const KEY: usize = 255;
/// How long a request is remembered.
const KEEP: Millis = 24 * 60 * 60 * 1000;
/// The largest answer that is kept.
const ANSWER: usize = 1 << 20;
/// How long a request may take beyond the script that it runs.
const BEYOND: Millis = 60 * 1000;

/// Routes that may be taken again without harm: what they make has the
/// [`Intended`] id, or is there already. So may a run that nobody waits for.
const REPEATABLE: [&str; 11] = [
    "/api/scripts",
    "/api/scripts/{script}/versions",
    "/api/scripts/{script}/versions/{number}/deploy",
    "/api/scripts/{script}/enable",
    "/api/scripts/{script}/disable",
    "/api/schedules/{script}/pause",
    "/api/schedules/{script}/resume",
    "/api/schedules/{script}/run",
    "/api/tokens",
    "/api/events",
    "/api/executions/{id}/cancel",
];

/// The id of what a request makes, and the same when it is done again.
#[derive(Debug, Clone, Copy)]
pub struct Intended(pub Uuid);

impl FromRequestParts<Api> for Intended {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _api: &Api) -> Result<Intended, Problem> {
        Ok(parts.extensions.get().copied().unwrap_or_else(|| Intended(Uuid::now_v7())))
    }
}

/// On an answer that holds a secret, which is not kept in the clear.
#[derive(Debug, Clone, Copy)]
pub struct Confidential;

/// The key of a request that has one.
pub fn key(method: &Method, headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next().filter(|_| *method == Method::POST) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=KEY).contains(&text.len()));
    match (text, values.next()) {
        (Some(text), None) => Ok(Some(text.to_owned())),
        _ => {
            Err(Problem::bad_request("bad_header", format!("`Idempotency-Key` is one text of 1 to {KEY} characters.")))
        }
    }
}

/// Says in the API's document what a POST does with a key.
pub fn describe(operation: &mut Operation) {
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(KEY));
    let key = ParameterBuilder::new()
        .name(NAME)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("The same request with the same key is done once, and gets the same answer for a day."))
        .schema(Some(text.pattern(Some(r"^[!-~]([\t -~]*[!-~])?$"))));
    operation.parameters.get_or_insert_default().push(key.build().into());
    let responses = &mut operation.responses.responses;
    for (status, response) in responses.iter_mut() {
        if let RefOr::T(response) = response
            && status.starts_with('2')
        {
            let again =
                HeaderBuilder::new().schema(Some(bool::schema())).description(Some("This was answered before."));
            response.headers.insert(REPLAYED.to_string(), again.build().into());
        }
    }
    for (status, description) in [
        (
            "409",
            "With the code `idempotency_in_progress`: what came with this `Idempotency-Key` is still under way. \
             `outcome_unknown`: a host stopped while it did it. `answer_not_kept`: it was done, and its answer is not \
             there.",
        ),
        ("422", "With the code `idempotency_key_reused`: the `Idempotency-Key` came with another request before."),
    ] {
        let own = responses.get(status).and_then(|own| match own {
            RefOr::T(own) => Some(format!("{} {description}", own.description)),
            RefOr::Ref(_) => None,
        });
        let response = ResponseBuilder::new().description(own.as_deref().unwrap_or(description));
        responses.insert(status.to_owned(), response.build().into());
    }
}

/// Does a request that was not done before.
pub async fn once(
    api: &Api,
    caller: &Caller,
    key: &str,
    request: Request,
    next: Next,
    permit: OwnedSemaphorePermit,
) -> Result<Response, Problem> {
    let (mut head, body) = request.into_parts();
    let most = api.app.server.max_body.max(MAX_BODY);
    let body = request::read_at_most(&head.headers, body, most, "", &api.app.server).await?;
    let settings = api.host.settings();
    let longest = millis(settings.longest_call() + settings.sandboxes.wait) + BEYOND;
    let path = head.extensions.get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    let entry = Entry {
        tenant: caller.tenant.clone(),
        id: digest([caller.user.id.as_bytes(), key.as_bytes()]),
        fingerprint: fingerprint(&head, caller, &body),
        attempt: Uuid::new_v4().to_string(),
        busy_for: longest,
        is_repeatable: REPEATABLE.contains(&path) || path == calls::RUN && calls::is_queued(&body),
    };
    let seal = Seal::new(&head.headers, key);
    let account = api.host.process().quotas.account(&caller.tenant);
    let store = api.host.store().clone();
    let makes = match entry.begin(&store, account).await? {
        Begun::Now { makes } => makes,
        Begun::Before(answer) => return replay(&entry, answer, &seal),
        Begun::Other => {
            let detail = "This `Idempotency-Key` came with another request before, or with other permissions; a new \
                          request takes a new key.";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail));
        }
        Begun::Busy => {
            let detail = "The request that came with this `Idempotency-Key` is still under way.";
            return Err(Problem::new(StatusCode::CONFLICT, "idempotency_in_progress", detail).retry());
        }
        Begun::Unknown => {
            let detail = "The host stopped while it did this, and nobody knows how far it came. Look at what there \
                          is; a new key does it again.";
            return Err(Problem::new(StatusCode::CONFLICT, "outcome_unknown", detail));
        }
    };
    head.extensions.insert(Intended(makes));
    let id = head.extensions.get::<ExecutionId>().cloned().ok_or_else(Problem::internal)?;
    let request = Request::from_parts(head, Body::from(body));
    let work = tokio::spawn(async move {
        let _permit = permit;
        let mut response = next.run(request).await;
        let is_final = is_final(&response);
        let sealed = response.extensions().get::<Confidential>().is_some();
        problem::finish(&mut response, &Method::POST, &id);
        let (head, body) = response.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let ended = match is_final {
            true => entry.end(&store, answer(&entry, &head, &body, sealed.then_some(&seal))).await,
            false => entry.release(&store).await,
        };
        if let Err(reason) = ended {
            tracing::error!(%reason, tenant_id = entry.tenant, "an answer could not be kept for its Idempotency-Key");
        }
        Response::from_parts(head, Body::from(body))
    });
    // Err where it has panicked, or the host stops.
    work.await.map_err(|_| Problem::internal())
}

/// Whether the same request is to be answered the same: not where it was not
/// begun, or may be tried again.
fn is_final(response: &Response) -> bool {
    let Some(problem) = response.extensions().get::<Problem>() else { return true };
    match problem.status {
        StatusCode::FORBIDDEN | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => false,
        status if status.is_server_error() => matches!(problem.code, "script_timeout" | "script_cancelled"),
        _ => true,
    }
}

fn answer(entry: &Entry, head: &axum::http::response::Parts, body: &Bytes, seal: Option<&Seal>) -> Option<Answer> {
    if body.len() > ANSWER {
        return None;
    }
    let headers = [CONTENT_TYPE, LOCATION]
        .into_iter()
        .filter_map(|name| Some((name.to_string(), head.headers.get(&name)?.to_str().ok()?.to_owned())))
        .collect();
    let kept = match seal {
        None => body.to_vec(),
        Some(seal) => seal.close(entry, std::str::from_utf8(body).ok()?)?,
    };
    Some(Answer { status: head.status.as_u16(), headers, body: kept, sealed: seal.is_some() })
}

fn replay(entry: &Entry, answer: Option<Answer>, seal: &Seal) -> Result<Response, Problem> {
    let opened = answer.and_then(|answer| {
        let body = if answer.sealed { seal.open(entry, &answer.body)?.as_bytes().to_vec() } else { answer.body };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(answer.status).ok()?;
        for (name, value) in answer.headers {
            let (name, value) = (HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
            response.headers_mut().insert(name, value);
        }
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        Some(response)
    });
    opened.ok_or_else(|| {
        let detail = "This was done before, and its answer was too large to be kept, or held a secret for other \
                      credentials than these.";
        Problem::new(StatusCode::CONFLICT, "answer_not_kept", detail)
    })
}

fn fingerprint(head: &Parts, caller: &Caller, body: &[u8]) -> Vec<u8> {
    let path = head.uri.path_and_query().map(|path| path.as_str()).unwrap_or_default();
    let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let permissions: Vec<&str> = caller.user.permissions.iter().collect();
    digest([path.as_bytes(), kind, permissions.join("\n").as_bytes(), body])
}

/// The lengths stand before the parts, so that no two lists read alike.
fn digest<const N: usize>(parts: [&[u8]; N]) -> Vec<u8> {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().to_vec()
}

/// What seals an answer: made of the caller's credentials, which the host does
/// not keep, so that the database alone does not open it.
struct Seal(Keys);

impl Seal {
    fn new(headers: &HeaderMap, key: &str) -> Seal {
        let credentials = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        let mut hasher = blake3::Hasher::new_derive_key("airlock idempotency answer v1");
        hasher.update(&(credentials.len() as u64).to_be_bytes()).update(credentials).update(key.as_bytes());
        let bytes = Zeroizing::new(*hasher.finalize().as_bytes());
        Seal(Keys([CipherKey { id: String::new(), bytes }].into()))
    }

    fn close(&self, entry: &Entry, text: &str) -> Option<Vec<u8>> {
        let Sealed { nonce, value, .. } = self.0.seal(&entry.tenant, &hexadecimal::encode(&entry.id), text)?;
        Some([nonce, value].concat())
    }

    fn open(&self, entry: &Entry, sealed: &[u8]) -> Option<Zeroizing<String>> {
        let (nonce, value) = sealed.split_at_checked(Sealed::NONCE)?;
        let sealed = Sealed { key_id: String::new(), nonce: nonce.to_vec(), value: value.to_vec() };
        self.0.open(&entry.tenant, &hexadecimal::encode(&entry.id), &sealed).ok()
    }
}
