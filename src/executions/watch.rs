//! Following all that a tenant's scripts log, on whatever host they run.
//!
//! What runs here is read as it is written; what runs elsewhere, and what has
//! ended, from the record. An execution is on record a second after it began, or
//! once it has ended, so looking back a little finds them all.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::model::{Execution, Filter, Status};
use super::{Executions, Key};
use crate::store::clock::Millis;

/// How often it is looked for more.
const EVERY: Duration = Duration::from_millis(500);
/// How far back: more than a record takes, and hosts' clocks differ.
const BACK: Millis = 10_000;
/// Executions that one look goes through. Where there are more, nobody reads
/// their lines as they pass.
const MOST: i64 = 500;

/// Somebody who follows.
pub struct Watch {
    executions: Executions,
    tenant: String,
    /// A script's id or name. None: all of them.
    script: Option<String>,
    /// By id: those that a look may find.
    pub(super) seen: HashMap<String, Seen>,
}

pub(super) struct Seen {
    started_at: Millis,
    lines: usize,
    ended: bool,
}

/// What a follower is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// A log line, a JSON object.
    Line(Arc<str>),
    /// An execution has ended.
    End(Box<Execution>),
    /// There was too much to tell it all.
    Skipped,
}

impl Watch {
    /// Follows from now on.
    pub async fn begin(executions: Executions, tenant: String, script: Option<String>) -> sqlx::Result<Watch> {
        let mut watch = Watch { executions, tenant, script, seen: HashMap::new() };
        watch.look().await?;
        Ok(watch)
    }

    /// What happened since the last time, after a moment.
    pub async fn next(&mut self) -> sqlx::Result<Vec<Watched>> {
        tokio::time::sleep(EVERY).await;
        self.look().await
    }

    pub(super) async fn look(&mut self) -> sqlx::Result<Vec<Watched>> {
        let from = self.executions.0.store.now() - BACK;
        let of = |since, status| Filter { script: self.script.clone(), since, status, ..Filter::default() };
        let list = async |filter| self.executions.list(&self.tenant, filter, None, MOST).await;
        let mut found = list(of(Some(from), None)).await?;
        let skipped = found.len() as i64 >= MOST;
        found.extend(list(of(None, Some(Status::Running))).await?);
        let is_wanted = |execution: &Execution| {
            self.script.as_ref().is_none_or(|script| *script == execution.script_id || *script == execution.script)
        };
        let here = self.executions.0.registry.of(&self.tenant);
        found.extend(here.iter().map(|running| Execution::from(&**running)).filter(is_wanted));
        // One that was running and is old may have ended since.
        let listed: HashSet<String> = found.iter().map(|execution| execution.id.clone()).collect();
        let left = self.seen.iter().filter(|(id, seen)| !seen.ended && !listed.contains(*id));
        for id in left.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            let key = Key { tenant: self.tenant.clone(), id: id.clone() };
            match self.executions.get(&key).await? {
                Some(execution) => found.push(execution),
                None => drop(self.seen.remove(&id)),
            }
        }
        found.sort_by(|one, other| (one.started_at, &one.id).cmp(&(other.started_at, &other.id)));
        // Of one that stands there twice, the one that has ended says more.
        found.sort_by_key(|execution| execution.ended_at.is_none());
        let mut known = HashSet::new();
        let mut told = Vec::new();
        for execution in found {
            if known.insert(execution.id.clone()) {
                self.tell(execution, &mut told).await?;
            }
        }
        if skipped {
            told.push(Watched::Skipped);
        }
        self.seen.retain(|_, seen| !seen.ended || seen.started_at >= from);
        Ok(told)
    }

    async fn tell(&mut self, execution: Execution, told: &mut Vec<Watched>) -> sqlx::Result<()> {
        let key = Key { tenant: self.tenant.clone(), id: execution.id.clone() };
        let started_at = execution.started_at;
        let seen = self.seen.entry(execution.id.clone()).or_insert(Seen { started_at, lines: 0, ended: false });
        if seen.ended {
            return Ok(());
        }
        let lines = match self.executions.0.registry.find(&key.tenant, &key.id) {
            Some(running) => running.lines.from(seen.lines).0,
            None if execution.log_lines > seen.lines as i64 => self.executions.lines_after(&key, seen.lines).await?,
            None => Vec::new(),
        };
        seen.lines += lines.len();
        told.extend(lines.into_iter().map(Watched::Line));
        if execution.ended_at.is_some() {
            seen.ended = true;
            told.push(Watched::End(Box::new(execution)));
        }
        Ok(())
    }
}
