//! What a caller is told when a request fails: RFC 9457, without internals.

use axum::body::Body;
use axum::http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{Method, StatusCode};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use super::ExecutionId;
use crate::tenant::quota::Exceeded;

/// Is written as a [`Document`].
#[derive(Debug, Clone)]
pub struct Problem {
    pub status: StatusCode,
    pub code: &'static str,
    pub detail: String,
    more: Vec<(String, Value)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A problem as its reader gets it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem, title = "Problem")]
pub struct Document {
    /// `urn:airlock:problem:` and the code.
    r#type: String,
    /// What the status means.
    title: &'static str,
    status: u16,
    /// Stable, and for programs.
    code: &'static str,
    /// For people.
    detail: String,
    /// The request's id, which the host's log has as well.
    execution_id: String,
    /// What some codes add, such as `field`: the place in the body that is wrong.
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem { status, code, detail: detail.into(), more: Vec::new(), headers: Vec::new() }
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Problem {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// Says one thing more, for programs.
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.more.push((name.to_owned(), value.into()));
        self
    }

    /// The connection cannot go on: a request's body was left unread.
    pub fn closing(self) -> Problem {
        self.with(CONNECTION, "close")
    }

    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub fn unauthorized() -> Problem {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "This needs a valid token: send `Authorization: Bearer <token>`.",
        )
        .with(WWW_AUTHENTICATE, "Bearer")
    }

    pub fn forbidden(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// The caller lacks what this needs.
    pub fn missing(permission: &str) -> Problem {
        Problem::forbidden("permission_missing", format!("This needs the permission `{permission}`."))
    }

    /// A value of the body is not what it takes.
    pub fn invalid(field: &str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "body_invalid", detail).member("field", field)
    }

    pub fn not_found() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this path.")
    }

    /// The path is one, and what it names is not there.
    pub fn no_such(what: &str) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", format!("There is no {what}."))
    }

    pub fn method_not_allowed() -> Problem {
        let detail = "This path does not take this method; the Allow header lists those it takes.";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }

    pub fn allow(mut self, methods: &str) -> Problem {
        self.headers.extend(HeaderValue::from_str(methods).ok().map(|value| (ALLOW, value)));
        self
    }

    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
    }

    pub fn retry(self) -> Problem {
        self.with(RETRY_AFTER, "1")
    }

    /// The tenant has used up a quota. Says which, and when to come back; how
    /// much it is stays between the operator and the tenant.
    pub fn quota(exceeded: &Exceeded) -> Problem {
        let seconds = exceeded.retry_after.as_millis().div_ceil(1000);
        let detail = format!("This tenant's quota `{}` is used up; try again in {seconds} s.", exceeded.quota.name());
        let mut problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "quota_exceeded", detail);
        problem.headers.extend(HeaderValue::try_from(seconds.to_string()).ok().map(|value| (RETRY_AFTER, value)));
        problem
    }

    pub fn too_large(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    }

    /// The reason is in the log already.
    pub fn internal() -> Problem {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "The host could not do this; its log has the reason.",
        )
    }
}

impl Problem {
    /// As an event of a stream that has begun.
    pub fn event(self) -> Event {
        let mut data: Map<String, Value> = self.more.into_iter().collect();
        data.insert("code".to_owned(), self.code.into());
        data.insert("detail".to_owned(), self.detail.into());
        Event::default().event("problem").data(Value::Object(data).to_string())
    }
}

impl IntoResponse for Problem {
    /// The body follows in [`finish`], which knows the execution's id.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        for (name, value) in &self.headers {
            response.headers_mut().insert(name, value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the body of an answer that is a problem.
pub fn finish(response: &mut Response, method: &Method, id: &ExecutionId) {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return };
    let document = Document {
        r#type: format!("urn:airlock:problem:{}", problem.code),
        title: problem.status.canonical_reason().unwrap_or("Error"),
        status: problem.status.as_u16(),
        code: problem.code,
        detail: problem.detail,
        execution_id: id.0.clone(),
        more: problem.more.into_iter().collect(),
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    // What was announced for the empty body that stood here.
    response.headers_mut().remove(CONTENT_LENGTH);
    if *method != Method::HEAD {
        // Text and numbers always are JSON.
        *response.body_mut() = Body::from(serde_json::to_string(&document).unwrap_or_default());
    }
}
