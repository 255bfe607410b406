//! What a backend's answer means to a script.
//!
//! | answer | the script gets |
//! |---|---|
//! | 2xx with JSON | the value |
//! | 2xx without a body | null |
//! | 4xx | a `ServiceError` with the status, and the backend's code and message |
//! | any other | a `ServiceError` that says nothing of the backend's insides |

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use serde_json::Value as Json;

use super::super::{Refused, ServiceError};
use crate::capabilities::http;
use crate::runtime::limits::{Limit, Limits};

/// The most that is read of an answer that is an error.
const ERROR_BYTES: u64 = 64 << 10;
/// The most of a backend's message, and of its code, that a script sees.
const MESSAGE_CHARACTERS: usize = 1000;
const CODE_CHARACTERS: usize = 100;

pub type Attempt = Result<Json, Failed>;

/// An attempt that came to nothing.
pub struct Failed {
    pub error: Box<Refused>,
    /// Whether the next may do better.
    pub passes: bool,
    /// How long the backend asks to wait before.
    pub retry_after: Option<Duration>,
}

impl<E: Into<Refused>> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed { error: Box::new(error.into()), passes: false, retry_after: None }
    }
}

impl Failed {
    pub fn late(service: &str, timeout: Duration) -> Failed {
        let message = format!("the service `{service}` took longer than {timeout:?}");
        Failed { passes: true, ..ServiceError::new("timeout", message).into() }
    }
}

fn failed(service: &str, code: &str, status: Option<StatusCode>) -> ServiceError {
    let message = match code {
        "unavailable" => {
            format!("the service `{service}` could not be reached or failed; the host's log has the reason")
        }
        _ => format!("the service `{service}` answered with what it should not; the host's log has the reason"),
    };
    ServiceError { status: status.map(|status| status.as_u16()), ..ServiceError::new(code, message) }
}

/// Reads what came of sending a request.
pub async fn read(service: &str, sent: reqwest::Result<reqwest::Response>, limits: &Limits) -> Attempt {
    let response = match sent {
        Ok(response) => response,
        Err(reason) => {
            tracing::warn!(service, ?reason, "a backend could not be asked");
            return Err(Failed { passes: true, ..failed(service, "unavailable", None).into() });
        }
    };
    let status = response.status();
    if status.is_success() {
        let body = http::body(response, limits, Limit::ServiceBytes).await.map_err(|reason| match reason {
            http::BodyError::Limit(failure) => failure.into(),
            http::BodyError::BrokenOff => {
                tracing::warn!(service, "a backend's answer broke off");
                Failed { passes: true, ..failed(service, "unavailable", Some(status)).into() }
            }
        })?;
        if body.is_empty() {
            return Ok(Json::Null);
        }
        return serde_json::from_slice(&body).map_err(|reason| {
            tracing::warn!(service, %reason, "a backend's answer is not JSON");
            failed(service, "bad_answer", Some(status)).into()
        });
    }
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let retry_after = retry_after.map(Duration::from_secs);
    let passes = matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504);
    let error = if status.is_client_error() {
        let few = Limits { service_bytes: ERROR_BYTES, ..limits.clone() };
        let body = http::body(response, &few, Limit::ServiceBytes).await.unwrap_or_default();
        told(service, status, &body)
    } else {
        tracing::warn!(service, status = status.as_u16(), "a backend failed");
        failed(service, if status.is_server_error() { "unavailable" } else { "bad_answer" }, Some(status))
    };
    Err(Failed { error: Box::new(error.into()), passes, retry_after })
}

/// What a backend says of a mistake, in one of the forms that are common:
/// `{code, message}`, the same under `error`, `{error: "…"}`, or RFC 9457's
/// `{title, detail}`.
fn told(service: &str, status: StatusCode, body: &[u8]) -> ServiceError {
    let body: Json = serde_json::from_slice(body).unwrap_or_default();
    let inner = body.get("error").filter(|inner| inner.is_object()).unwrap_or(&body);
    let text = |name: &str, most: usize| {
        let text = inner.get(name)?.as_str()?;
        let plain: String = text.chars().filter(|letter| !letter.is_control()).take(most).collect();
        (!plain.trim().is_empty()).then_some(plain)
    };
    let message = ["message", "detail", "title", "error"].into_iter().find_map(|name| text(name, MESSAGE_CHARACTERS));
    ServiceError {
        code: text("code", CODE_CHARACTERS),
        status: Some(status.as_u16()),
        message: message.unwrap_or_else(|| format!("the service `{service}` answered with {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backends_message_is_found_in_every_common_form() {
        let told = |body: &str| {
            let error = told("billing", StatusCode::CONFLICT, body.as_bytes());
            assert_eq!(error.status, Some(409));
            (error.code, error.message)
        };
        let generic = "the service `billing` answered with 409 Conflict".to_owned();
        for (body, code, message) in [
            (r#"{"code":"paid","message":"it is paid"}"#, Some("paid"), "it is paid"),
            (r#"{"error":{"code":"paid","message":"it is paid"}}"#, Some("paid"), "it is paid"),
            (r#"{"error":"it is paid"}"#, None, "it is paid"),
            (r#"{"type":"about:blank","title":"Paid","detail":"it is paid","status":409}"#, None, "it is paid"),
            (r#"{"title":"Paid"}"#, None, "Paid"),
            (r#"{"message":"a\u0000b\nc","code":"x\u001by"}"#, Some("xy"), "abc"),
            (r#"{"message":7,"code":[]}"#, None, &generic),
            (r#"{"message":" "}"#, None, &generic),
            (r#""text""#, None, &generic),
            ("<html>stack trace</html>", None, &generic),
            ("", None, &generic),
        ] {
            assert_eq!(told(body), (code.map(str::to_owned), message.to_owned()), "{body}");
        }
        let long = format!(r#"{{"message":"{0}","code":"{0}"}}"#, "x".repeat(5000));
        let (code, message) = told(&long);
        assert_eq!((code.unwrap().len(), message.len()), (CODE_CHARACTERS, MESSAGE_CHARACTERS));
    }
}
