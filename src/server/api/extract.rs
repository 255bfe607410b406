//! What routes take out of a request.

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use crate::compile::MAX_SOURCE;
use crate::server::auth::Caller;
use crate::server::problem::Problem;
use crate::server::request;

/// A body's bytes at most: the longest source with its escapes, and some room.
pub const MAX_BODY: u64 = 3 * MAX_SOURCE as u64;

/// Items of one answer at most, and where nothing is said.
const MAX_ITEMS: u32 = 200;
const ITEMS: u32 = 50;

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    /// Whom [`guard`](super::guard) let by.
    async fn from_request_parts(parts: &mut Parts, _api: &Api) -> Result<Caller, Problem> {
        parts.extensions.get::<Caller>().cloned().ok_or_else(Problem::unauthorized)
    }
}

/// The parameters of the path.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Path<T>, Problem> {
        // No name has a U+0000, and PostgreSQL takes no text with one.
        if parts.uri.path().contains("%00") {
            return Err(Problem::not_found());
        }
        let path = axum::extract::Path::<T>::from_request_parts(parts, api).await;
        // A number that is none names nothing that there is.
        path.map(|axum::extract::Path(path)| Path(path)).map_err(|_| Problem::not_found())
    }
}

/// What follows the question mark.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Query<T>, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, api).await {
            Ok(axum::extract::Query(query)) => Ok(Query(query)),
            Err(QueryRejection::FailedToDeserializeQueryString(reason)) => {
                let reason = std::error::Error::source(&reason).map_or_else(|| reason.body_text(), |e| e.to_string());
                Err(Problem::bad_request("bad_query", format!("The query is not valid: {reason}.")))
            }
            Err(_) => Err(Problem::bad_request("bad_query", "The query is not valid.")),
        }
    }
}

/// Which part of a list a caller wants. Lists are read by the key of the last
/// item that the caller has, so what is added meanwhile moves nothing.
#[derive(Debug, Clone)]
pub struct Page {
    /// Items at most.
    pub limit: u32,
    after: Option<String>,
}

#[derive(Deserialize)]
struct PageQuery {
    limit: Option<String>,
    after: Option<String>,
}

impl FromRequestParts<Api> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Page, Problem> {
        let Query(PageQuery { limit, after }) = Query::from_request_parts(parts, api).await?;
        let limit = limit.map_or(Some(ITEMS), |limit| limit.parse().ok());
        match limit.filter(|limit| (1..=MAX_ITEMS).contains(limit)) {
            Some(limit) => Ok(Page { limit, after }),
            None => Err(Problem::bad_request("bad_query", format!("`limit` is a number from 1 to {MAX_ITEMS}."))),
        }
    }
}

impl IntoParams for Page {
    fn into_params(_place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        #[derive(IntoParams)]
        #[into_params(parameter_in = Query)]
        #[expect(dead_code, reason = "only the document uses it")]
        struct Shown {
            /// Items at most.
            #[param(minimum = 1, maximum = 200, default = 50)]
            limit: Option<u32>,
            /// The `next` of the answer before.
            #[param(pattern = "^[A-Za-z0-9_-]+$")]
            after: Option<String>,
        }
        Shown::into_params(|| None)
    }
}

impl Page {
    /// One more than wanted, to see whether there are more: for a query's LIMIT.
    pub fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The key of the last item that the caller has.
    pub fn after<K: DeserializeOwned>(&self) -> Result<Option<K>, Problem> {
        let Some(text) = &self.after else { return Ok(None) };
        let read = |text| {
            let json = URL_SAFE_NO_PAD.decode(text).ok()?;
            // No key has a U+0000, and PostgreSQL takes no text with one.
            let is_plain = !json.windows(6).any(|part| part.eq_ignore_ascii_case(b"\\u0000"));
            serde_json::from_slice(&json).ok().filter(|_| is_plain)
        };
        let key = read(text).ok_or_else(|| {
            Problem::bad_request("bad_query", "`after` is not what an answer's `next` was; leave it out to begin anew.")
        })?;
        Ok(Some(key))
    }

    /// The answer, of [`rows`](Page::rows) items at most. `key` is that of an item.
    pub fn slice<T, K: Serialize>(&self, mut items: Vec<T>, key: impl FnOnce(&T) -> K) -> Slice<T> {
        let most = self.limit as usize;
        let more = items.len() > most;
        items.truncate(most);
        let last = items.last().filter(|_| more);
        let next = last.and_then(|last| serde_json::to_vec(&key(last)).ok());
        Slice { items, next: next.map(|next| URL_SAFE_NO_PAD.encode(next)) }
    }
}

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = List)]
pub struct Slice<T> {
    pub items: Vec<T>,
    /// Where the next part begins, for `after`. Null: this was the last.
    #[schema(required)]
    pub next: Option<String>,
}

/// A body of JSON. What `T` does not know is refused where `T` says so.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Api> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Body<T>, Problem> {
        let (head, body) = request.into_parts();
        require_json(&head.headers)?;
        let bytes = request::read_at_most(&head.headers, body, MAX_BODY, "", &api.app.server).await?;
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let value: T = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let field = error.path().to_string();
            let reason = error.into_inner();
            if !reason.is_data() {
                return Problem::bad_request("body_not_json", format!("The body is not JSON: {reason}."));
            }
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "body_invalid", sentence(&reason.to_string()));
            if field == "." { problem } else { problem.member("field", field) }
        })?;
        reader
            .end()
            .map_err(|reason| Problem::bad_request("body_not_json", format!("The body is not JSON: {reason}.")))?;
        Ok(Body(value))
    }
}

/// Refuses a body that is not said to be JSON.
pub fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(request::essence);
    if request::is_json(kind.as_deref()) {
        return Ok(());
    }
    let detail = "This takes JSON: send it with `Content-Type: application/json`.";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", detail).closing())
}

/// Reads a whole number, also where it is written as `7.0`: JSON has one kind.
pub fn whole<'de, D: Deserializer<'de>, T: TryFrom<i64>>(reader: D) -> Result<Option<T>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(reader)? else { return Ok(None) };
    // Beyond, not each whole number is one that this can be.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let as_whole = |number: f64| (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64);
    let whole = number.as_i64().or_else(|| number.as_f64().and_then(as_whole));
    let fits = whole.and_then(|whole| T::try_from(whole).ok());
    fits.map(Some).ok_or_else(|| D::Error::custom(format!("{number} is not a whole number that this takes")))
}

/// A message of a parser as a sentence.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}
