//! Why a host operation was refused or failed, as the script sees it.

pub use super::bindings::airlock::script::types::{Failure, Limit as LimitHit};
use super::limits::Limit;

impl Failure {
    /// An error of that JavaScript name.
    pub fn new(name: &str, message: impl Into<String>) -> Failure {
        Failure { name: name.to_owned(), message: message.into(), limit: None }
    }

    /// What the script gave is not what the function takes.
    pub fn argument(message: impl Into<String>) -> Failure {
        Failure::new("TypeError", message)
    }

    /// The script was not granted this.
    pub fn denied(message: impl Into<String>) -> Failure {
        Failure::new("PermissionDenied", message)
    }

    /// The host could not do it, through no fault of the script. The reason
    /// goes to the operator's log, not to the script.
    pub fn internal(what: &str, reason: impl std::fmt::Display) -> Failure {
        tracing::error!(%reason, "{what} failed");
        Failure::new("InternalError", format!("{what} failed; the host's log has the reason"))
    }

    /// A limit was hit. The message names it, its value, what was used and the
    /// setting that changes it.
    pub fn limit(limit: Limit, value: u64, used: u64) -> Failure {
        let name = if limit == Limit::Timeout { "TimeoutError" } else { "LimitError" };
        Failure { name: name.to_owned(), message: limit.message(value, used), limit: Some(limit.hit(value, used)) }
    }
}
