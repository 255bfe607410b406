//! What a call leaves to be recorded, and what may wait of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};

use super::Running;
use super::model::Status;
use crate::metrics::{Metrics, Ran};
use crate::runtime::outcome::{self, LimitInfo, Outcome, ScriptError};
use crate::runtime::sandbox::Busy;
use crate::store::clock::Millis;
use crate::traces;

/// Bytes of all that wait. From half of it on, log lines and results are left
/// out; beyond, whole executions.
const MOST_BYTES: usize = 64 << 20;
/// An error's text in a record, in bytes.
const ERROR_BYTES: usize = 16 << 10;

/// Something for the recorder.
pub enum Message {
    Ended(Box<Ended>),
    /// Write what waits, and say so.
    Settle {
        tick: bool,
        done: oneshot::Sender<()>,
    },
}

/// An execution that has ended.
pub struct Ended {
    pub running: Arc<Running>,
    pub status: Status,
    pub ended_at: Millis,
    pub duration: Duration,
    pub error: Option<String>,
    pub limit: Option<LimitInfo>,
    pub result: Option<String>,
    pub result_bytes: Option<i64>,
    /// Whether its log lines are still to be written.
    pub with_lines: bool,
    /// Of the result, the error and the lines.
    pub bytes: usize,
}

impl Ended {
    /// `most` is what a result may have to be kept, in bytes.
    pub fn new(running: Arc<Running>, outcome: &Result<Outcome, Busy>, now: Millis, most: u64) -> Ended {
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(busy) => {
                let error =
                    ScriptError { name: "Busy".to_owned(), message: busy.to_string(), ..ScriptError::default() };
                return Ended { error: json(&error), status: Status::Limit, ..Ended::abandoned(running, now) };
            }
        };
        let status = match outcome.status {
            outcome::Status::Completed => Status::Completed,
            outcome::Status::Failed => Status::Failed,
            outcome::Status::Timeout => Status::Timeout,
            outcome::Status::Limit => Status::Limit,
            outcome::Status::Cancelled => Status::Cancelled,
        };
        let result = outcome.result.as_ref().map(|result| result.get());
        let keep = |result: &&str| result.len() as u64 <= most && !running.control.result_is_secret();
        Ended {
            status,
            duration: outcome.duration,
            error: outcome.error.as_ref().and_then(json),
            limit: outcome.error.as_ref().and_then(|error| error.limit.clone()),
            result_bytes: result.map(|result| result.len() as i64),
            result: result.filter(keep).map(str::to_owned),
            ..Ended::abandoned(running, now)
        }
        .weighed()
    }

    /// Of a call that nobody waited for any more.
    pub fn abandoned(running: Arc<Running>, now: Millis) -> Ended {
        let duration = running.began.elapsed().saturating_sub(running.control.read().waited);
        Ended {
            running,
            status: Status::Cancelled,
            ended_at: now,
            duration,
            error: None,
            limit: None,
            result: None,
            result_bytes: None,
            with_lines: true,
            bytes: 0,
        }
        .weighed()
    }

    /// Counts it.
    pub fn observe(&self, metrics: &Metrics) {
        let running = &self.running;
        metrics.ran(&Ran {
            tenant: &running.identity.tenant.id,
            script: &running.identity.script.name,
            trigger: running.trigger(),
            status: self.status.name(),
            limit: self.limit.as_ref().map(|limit| limit.name.as_str()),
            duration: self.duration,
            used: running.control.read(),
        });
        self.trace();
    }

    /// Makes its span.
    fn trace(&self) {
        let running = &self.running;
        let Some((traces, trace)) = running.traces.as_ref().zip(running.trace) else { return };
        let used = running.control.read();
        let since = Duration::from_millis(u64::try_from(running.started_at).unwrap_or_default());
        traces.execution(&traces::Execution {
            trace,
            id: &running.identity.execution.id,
            tenant: &running.identity.tenant.id,
            script: &running.identity.script.name,
            version: running.origin.version,
            trigger: running.trigger(),
            status: self.status.name(),
            failed: self.status != Status::Completed,
            began: UNIX_EPOCH + since,
            waited: used.waited,
            ran: self.duration,
            fuel: used.fuel,
            memory_bytes: used.memory_bytes,
            host_calls: used.host_calls,
        });
    }

    fn weighed(mut self) -> Ended {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let lines = if self.with_lines { self.running.lines.bytes() } else { 0 };
        self.bytes = text(&self.result) + text(&self.error) + lines;
        self
    }

    /// Leaves out what can be done without.
    fn without_details(mut self) -> Ended {
        self.result = None;
        self.with_lines = false;
        self.weighed()
    }
}

fn json(error: &ScriptError) -> Option<String> {
    let text = serde_json::to_string(error).ok()?;
    if text.len() <= ERROR_BYTES {
        return Some(text);
    }
    let cut = |text: &str| text[..text.floor_char_boundary(ERROR_BYTES / 8)].to_owned();
    let short =
        ScriptError { name: cut(&error.name), message: cut(&error.message), stack: cut(&error.stack), ..error.clone() };
    serde_json::to_string(&short).ok()
}

/// What waits for the recorder, and what was left out so that nothing waits for it.
#[derive(Default)]
pub struct Load {
    pub bytes: AtomicUsize,
    pub left_out: AtomicU64,
    pub without_details: AtomicU64,
}

impl Load {
    /// Hands an execution over. Never waits.
    pub fn send(&self, queue: &mpsc::Sender<Message>, mut ended: Ended) {
        let waiting = self.bytes.load(Ordering::Relaxed);
        let crowded = waiting > MOST_BYTES / 2 || queue.capacity() < queue.max_capacity() / 2;
        if crowded && ended.bytes > 0 {
            self.without_details.fetch_add(1, Ordering::Relaxed);
            ended = ended.without_details();
        }
        let bytes = ended.bytes;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if waiting > MOST_BYTES || queue.try_send(Message::Ended(Box::new(ended))).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}
