//! Executions under way, and their log lines as they are written.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::query::Key;
use super::{Executions, Running};
use crate::capabilities::progress::Report;

/// What is said of progress within this is told once.
const GATHER: Duration = Duration::from_millis(100);

/// What is under way in this host.
#[derive(Default)]
pub struct Registry {
    next: AtomicU64,
    running: Mutex<HashMap<u64, Arc<Running>>>,
}

impl Registry {
    pub fn insert(&self, running: Arc<Running>) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.running).insert(number, running);
        number
    }

    pub fn remove(&self, number: u64) {
        lock(&self.running).remove(&number);
    }

    pub fn len(&self) -> usize {
        lock(&self.running).len()
    }

    pub fn recall_jobs(&self) {
        let running = lock(&self.running);
        running
            .values()
            .filter(|running| running.origin.attempt.is_some())
            .for_each(|running| running.control.recall());
    }

    pub fn find(&self, tenant: &str, id: &str) -> Option<Arc<Running>> {
        let matches =
            |running: &&Arc<Running>| running.identity.execution.id == id && running.identity.tenant.id == tenant;
        lock(&self.running).values().find(matches).cloned()
    }

    /// A tenant's.
    pub fn of(&self, tenant: &str) -> Vec<Arc<Running>> {
        lock(&self.running).values().filter(|running| running.identity.tenant.id == tenant).cloned().collect()
    }

    /// Those that began then or before, for the recorder to write.
    pub fn since(&self, started_at: i64) -> Vec<Arc<Running>> {
        let running = lock(&self.running);
        let wanted =
            |running: &&Arc<Running>| running.started_at <= started_at && !running.handed.load(Ordering::Relaxed);
        let found: Vec<Arc<Running>> = running.values().filter(wanted).cloned().collect();
        for running in &found {
            running.listed.store(true, Ordering::Relaxed);
        }
        found
    }

    /// From now on, somebody else than the recorder writes it.
    pub fn hand_over(&self, running: &Running) {
        let _running = lock(&self.running);
        running.handed.store(true, Ordering::Relaxed);
    }
}

/// The log lines of one execution, each a JSON object.
#[derive(Default)]
pub struct Lines {
    written: Mutex<Written>,
    changed: Notify,
}

#[derive(Default)]
struct Written {
    lines: Vec<Arc<str>>,
    bytes: usize,
    ended: bool,
}

impl Lines {
    pub(super) fn push(&self, line: &RawValue) {
        {
            let mut written = lock(&self.written);
            written.lines.push(line.get().into());
            written.bytes += line.get().len();
        }
        self.changed.notify_waiters();
    }

    /// No more will come.
    pub(super) fn end(&self) {
        lock(&self.written).ended = true;
        self.changed.notify_waiters();
    }

    pub fn len(&self) -> usize {
        lock(&self.written).lines.len()
    }

    /// Of all of them.
    pub fn bytes(&self) -> usize {
        lock(&self.written).bytes
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those from a number on, from 0, and whether more may come.
    pub fn from(&self, first: usize) -> (Vec<Arc<str>>, bool) {
        let written = lock(&self.written);
        (written.lines.get(first..).unwrap_or_default().to_vec(), !written.ended)
    }

    /// Waits until there is a line of that number, or none will come.
    async fn reach(&self, number: usize) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let written = lock(&self.written);
                if written.ended || written.lines.len() > number {
                    return;
                }
            }
            changed.await;
        }
    }
}

/// What follows in an execution's log.
#[derive(Debug, Clone, PartialEq)]
pub enum Followed {
    /// Lines, the first of which has that number, from 0.
    Lines(usize, Vec<Arc<str>>),
    /// How far it is.
    Progress(Report),
    /// Nothing for a second.
    Nothing,
    /// The execution has ended, with that status.
    End(String),
    /// There is no such execution.
    Unknown,
}

impl Executions {
    /// What follows in a log after so many lines, or how far the call is where
    /// that is not what was seen: of an execution under way as it is said, of
    /// one that has ended from the record.
    pub async fn follow(&self, key: &Key, after: usize, seen: Option<&Report>) -> sqlx::Result<Followed> {
        if let Some(running) = self.0.registry.find(&key.tenant, &key.id) {
            let mut progress = running.origin.progress.follow();
            let more = async {
                // Err where the call has ended.
                let said = progress.wait_for(|said| said.as_ref() != seen).await.map(drop);
                match said {
                    Ok(()) => tokio::time::sleep(GATHER).await,
                    Err(_) => std::future::pending().await,
                }
            };
            let waited = tokio::time::timeout(Executions::LOOK, async {
                tokio::select! {
                    () = running.lines.reach(after) => {}
                    () = more => {}
                }
            });
            let waited = waited.await;
            let (lines, _) = running.lines.from(after);
            if !lines.is_empty() {
                return Ok(Followed::Lines(after, lines));
            }
            if let Some(said) = running.origin.progress.read().filter(|said| Some(said) != seen) {
                return Ok(Followed::Progress(said));
            }
            if waited.is_err() {
                return Ok(Followed::Nothing);
            }
        }
        let Some(execution) = self.get(key).await? else { return Ok(Followed::Unknown) };
        let lines = self.lines_after(key, after).await?;
        if !lines.is_empty() {
            return Ok(Followed::Lines(after, lines));
        }
        let said = execution.progress.as_ref().and_then(|said| serde_json::from_str(said).ok());
        if let Some(said) = said.filter(|said| Some(said) != seen) {
            return Ok(Followed::Progress(said));
        }
        if execution.ended_at.is_some() {
            return Ok(Followed::End(execution.status));
        }
        // It runs on another host.
        tokio::time::sleep(Executions::LOOK).await;
        Ok(Followed::Nothing)
    }
}

impl Executions {
    /// How far a call of this host is.
    pub fn progress(&self, key: &Key) -> Option<Report> {
        self.0.registry.find(&key.tenant, &key.id)?.origin.progress.read()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
