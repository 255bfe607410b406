//! What came of a call.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use super::failure::LimitHit;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The entry returned.
    Completed,
    /// The script threw, or its promise was rejected.
    Failed,
    /// The deadline passed.
    Timeout,
    /// Another limit stopped it.
    Limit,
    /// Somebody stopped it.
    Cancelled,
}

impl Outcome {
    /// Of a call that was stopped before it began.
    pub(super) fn cancelled() -> Outcome {
        Outcome::before_it_began(Status::Cancelled, "CancelledError", "the call was cancelled")
    }

    /// Of a call of a script that cannot be called.
    pub(crate) fn unavailable(reason: &str) -> Outcome {
        Outcome::before_it_began(Status::Failed, "UnavailableError", reason)
    }

    fn before_it_began(status: Status, name: &str, message: &str) -> Outcome {
        let error = ScriptError { name: name.to_owned(), message: message.to_owned(), ..ScriptError::default() };
        Outcome {
            status,
            result: None,
            error: Some(error),
            logs: Vec::new(),
            fuel: 0,
            duration: Duration::ZERO,
            memory_bytes: 0,
            host_calls: 0,
            shows_secret: false,
        }
    }
}

/// Everything that is known of a call after it. Serialises to what
/// `airlock run --json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    pub status: Status,
    /// The returned value as JSON; None where the call did not complete.
    pub result: Option<Box<RawValue>>,
    pub error: Option<ScriptError>,
    /// One JSON object a line, in the order they were written.
    pub logs: Vec<Box<RawValue>>,
    /// Work done, as the limit `fuel` counts it: the same for identical calls of one artifact.
    pub fuel: u64,
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Duration,
    /// The linear memory at its largest.
    pub memory_bytes: u64,
    pub host_calls: u64,
    /// Whether the result shows a secret that the call was given.
    #[serde(skip)]
    pub shows_secret: bool,
}

fn milliseconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
}

/// An error in the author's terms: the names, lines and columns of the script.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ScriptError {
    pub name: String,
    pub message: String,
    /// One frame a line, innermost first; only the script's own.
    pub stack: String,
    /// Where the innermost frame of the script stands, from 1.
    pub line: Option<u32>,
    pub column: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitInfo>,
    /// Some(false) where the script said so: another attempt would end the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<bool>,
}

/// The limit that stopped a call.
#[derive(Debug, Clone, Serialize)]
pub struct LimitInfo {
    pub name: String,
    pub value: u64,
    pub used: u64,
    pub setting: String,
}

impl From<LimitHit> for LimitInfo {
    fn from(hit: LimitHit) -> Self {
        LimitInfo { name: hit.name, value: hit.value, used: hit.used, setting: hit.setting }
    }
}
