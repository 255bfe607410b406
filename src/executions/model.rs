//! What is known of an execution.

use std::fmt;

use serde::Deserialize;
use utoipa::ToSchema;

use crate::capabilities::progress::Progress;
use crate::runtime::trace::Parent;
use crate::store::clock::Millis;

/// Where a call comes from, beyond who calls.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// What started it, where that is not what the script sees as `triggeredBy`.
    pub trigger: Option<&'static str>,
    /// The version of the script. None: it is one of the settings, or has none.
    pub version: Option<i64>,
    /// The caller's place in a trace.
    pub parent: Option<Parent>,
    /// None: it is not the attempt of a job.
    pub attempt: Option<Attempt>,
    /// How far it is, as it says itself.
    pub progress: Progress,
}

/// An attempt of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The job's id.
    pub job: String,
    /// From 1.
    pub number: i64,
}

/// What an execution came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is a job whose turn has not come.
    Waiting,
    /// It runs, or waits for a sandbox.
    Running,
    Completed,
    /// It threw.
    Failed,
    Timeout,
    /// A limit stopped it, or no sandbox was free in time.
    Limit,
    /// Somebody stopped it, its caller left, or its host was stopped.
    Cancelled,
    /// Its host has died.
    Lost,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Status::Waiting => "waiting",
            Status::Running => "running",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Timeout => "timeout",
            Status::Limit => "limit",
            Status::Cancelled => "cancelled",
            Status::Lost => "lost",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// An execution, as its record has it. Times are milliseconds since the Unix
/// epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Execution {
    pub id: String,
    pub script_id: String,
    pub script: String,
    pub version: Option<i64>,
    /// What started it.
    pub triggered_by: String,
    pub user_id: Option<String>,
    /// In hexadecimal.
    pub trace_id: Option<String>,
    pub status: String,
    pub started_at: Millis,
    pub ended_at: Option<Millis>,
    /// Microseconds that it waited for a sandbox.
    pub queue_us: Option<i64>,
    /// Microseconds that it ran.
    pub duration_us: Option<i64>,
    pub fuel: Option<i64>,
    pub memory_bytes: Option<i64>,
    pub host_calls: Option<i64>,
    /// JSON text.
    pub error: Option<String>,
    /// JSON text; None in lists, and where it was not kept.
    pub result: Option<String>,
    /// Of the result, kept or not.
    pub result_bytes: Option<i64>,
    pub log_lines: i64,
    /// The job that it was an attempt of, and which, from 1.
    pub job: Option<String>,
    pub attempt: Option<i64>,
    /// The id of the event that it handled.
    pub cause: Option<String>,
    /// How far it is, as it says itself: a JSON object.
    pub progress: Option<String>,
}

/// Which executions to list. What is None does not count.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The script's id or name.
    pub script: Option<String>,
    pub status: Option<Status>,
    pub trigger: Option<String>,
    pub user: Option<String>,
    /// The job's id.
    pub job: Option<String>,
    /// The id of the event that was handled.
    pub cause: Option<String>,
    /// Started then or later.
    pub since: Option<Millis>,
    /// Started before.
    pub until: Option<Millis>,
}
