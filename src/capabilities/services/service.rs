//! What an application that embeds the host gives its tenants' scripts.

use std::fmt::Display;

use futures_util::future::BoxFuture;
use serde_json::Value as Json;

use crate::capabilities::db;
use crate::spelling::closest;
use crate::tenant::Identity;

/// A service of an application that embeds the host, registered by name with
/// [`Builder::service`](crate::host::Builder::service). What scripts call as
/// `await services.stock.reserve("A-7", 3)` arrives as the method `reserve` with
/// the arguments `["A-7", 3]`.
///
/// Everything in the arguments is the script's: check it. Who calls is the
/// host's word. The future is polled while the script waits, and dropped where
/// the call ends before; work that must not stop halfway belongs into a task of
/// its own. A panic fails the one call. `examples/embed.rs` shows a whole one.
pub trait Service: Send + Sync + 'static {
    /// Calls a method. The answer, as JSON, is at most `limits.service_bytes`
    /// long.
    fn call<'a>(
        &'a self,
        caller: &'a Identity,
        method: &'a str,
        arguments: Vec<Json>,
    ) -> BoxFuture<'a, Result<Json, ServiceError>>;
}

/// Why a service did not do what a script asked for. The script sees an error
/// of the name `ServiceError` with these members.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ServiceError {
    /// For programs, such as `out_of_stock`.
    pub code: Option<String>,
    /// The HTTP status, where the service answered over HTTP.
    pub status: Option<u16>,
    /// For the script's author.
    pub message: String,
}

impl ServiceError {
    pub fn new(code: &str, message: impl Into<String>) -> ServiceError {
        ServiceError { code: Some(code.to_owned()), status: None, message: message.into() }
    }

    /// The service failed, through no fault of the script. The reason goes to
    /// the operator's log, not to the script.
    pub fn internal(reason: impl Display) -> ServiceError {
        tracing::error!(%reason, "a service failed");
        ServiceError::new("internal", "the service failed; the host's log has the reason")
    }

    pub fn unknown_method(method: &str, known: &[&str]) -> ServiceError {
        let hint = match closest(method, known) {
            Some(meant) => format!("did you mean `{meant}`? There are: {}", db::list(known)),
            None => format!("there are: {}", db::list(known)),
        };
        ServiceError::new("unknown_method", format!("there is no method `{}`; {hint}", super::shown(method)))
    }
}
