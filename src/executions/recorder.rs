//! Writes executions, many at once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use super::ended::{Ended, Load, Message};
use super::live::Registry;
use super::model::{Origin, Status};
use super::query::json;
use super::retention::is_over;
use super::rows::{self, Alive, Chunk, Common, Row, Work};
use super::{NOT_RECORDED, Running};
use crate::metrics::Metrics;
use crate::settings::ExecutionSettings;
use crate::store::clock::{Millis, millis};
use crate::store::{Store, is_refusal, plain};
use crate::tenant::Identity;
use crate::triggers::events::{Failed, Outbox, Told};

/// How long what has ended may wait for more, to be written with it.
const GATHER: Duration = Duration::from_millis(100);
/// How long the queue is left alone after a look into it. A call that ends would
/// else wake this task, which costs the call as much as half of a short script.
const REST: Duration = Duration::from_millis(20);
/// Executions that are enough to write at once.
const ENOUGH: usize = 2_000;
/// Executions that wait to be written: beyond, they are left out.
const MOST: usize = 50_000;
/// Executions of a tenant that one transaction writes: it holds up others.
const PART: usize = 512;
/// What runs longer is on record while it runs.
const LONG: Duration = Duration::from_secs(1);
/// How long after a failed write the next is tried.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a write is tried.
const ATTEMPTS: u32 = 3;

pub struct Recorder {
    pub store: Store,
    pub settings: ExecutionSettings,
    pub registry: Arc<Registry>,
    pub load: Arc<Load>,
    pub metrics: Arc<Metrics>,
    pub over: Arc<Notify>,
    pub events: Outbox,
}

/// One transaction's work, and the executions that it writes.
struct Part {
    tenant: String,
    ended: Vec<Pending>,
    running: Vec<Arc<Running>>,
}

/// An execution that has ended, until that is on record.
struct Pending {
    record: Record,
    /// As they were counted when it was handed over.
    bytes: usize,
    attempts: u32,
}

enum Record {
    /// Of most calls there is no more to write. All else that a call leaves is many
    /// times as much, and at thousands a second no longer in the processor's caches
    /// when other calls are given its memory: that doubled the allocator's part of
    /// a call.
    Row(Arc<Row>),
    Whole(Box<Ended>),
}

impl Pending {
    fn new(ended: Box<Ended>, alike: &mut Alike) -> Pending {
        let (bytes, running) = (ended.bytes, &ended.running);
        let is_row =
            ended.status == Status::Completed && !running.listed.load(Ordering::Relaxed) && running.lines.is_empty();
        let record = if is_row { Record::Row(Arc::new(end(&ended, alike))) } else { Record::Whole(ended) };
        Pending { record, bytes, attempts: 0 }
    }

    fn tenant(&self) -> &str {
        match &self.record {
            Record::Row(row) => &row.common.tenant,
            Record::Whole(ended) => &ended.running.identity.tenant.id,
        }
    }

    fn whole(&self) -> Option<&Ended> {
        match &self.record {
            Record::Row(_) => None,
            Record::Whole(ended) => Some(ended),
        }
    }
}

/// What rows have in common, of the last that were made.
#[derive(Default)]
pub struct Alike(VecDeque<Arc<Common>>);

/// How many of them are looked through.
const ALIKE: usize = 8;

impl Alike {
    fn of(&mut self, running: &Running, status: Status) -> Arc<Common> {
        let Identity { tenant, script, user, .. } = &*running.identity;
        let user_id = user.as_ref().map(|user| user.id.as_str());
        let is_same = |common: &&Arc<Common>| {
            common.script_id == script.id
                && common.status == status.name()
                && common.tenant == tenant.id
                && common.user_id.as_deref() == user_id
                && common.version == running.origin.version
                && common.triggered_by == running.trigger()
                && common.script == script.name
        };
        if let Some(common) = self.0.iter().find(is_same) {
            return common.clone();
        }
        let common = Arc::new(Common {
            tenant: tenant.id.clone(),
            script_id: plain(&script.id),
            script: plain(&script.name),
            version: running.origin.version,
            triggered_by: plain(running.trigger()),
            user_id: user_id.map(plain),
            status: status.name(),
        });
        self.0.truncate(ALIKE - 1);
        self.0.push_front(common.clone());
        common
    }
}

impl Recorder {
    /// Until the last handle on the executions is gone.
    pub async fn run(self, mut messages: mpsc::Receiver<Message>) {
        let mut pending: Vec<Pending> = Vec::new();
        let mut alike = Alike::default();
        let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
        let mut incoming = Vec::new();
        let mut second = tokio::time::interval(LONG);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut writing: Option<BoxFuture<'_, Vec<Pending>>> = None;
        // Those that the write under way is for.
        let mut told: Vec<oneshot::Sender<()>> = Vec::new();
        let mut due = Instant::now();
        let mut rest = None;
        let (mut tick, mut open, mut reported) = (false, true, 0);
        while open || writing.is_some() || !pending.is_empty() {
            tokio::select! {
                received = messages.recv_many(&mut incoming, ENOUGH), if open && rest.is_none() && pending.len() < MOST => {
                    open = received > 0;
                    rest = Some(Instant::now() + REST);
                    if pending.is_empty() {
                        due = due.max(Instant::now() + GATHER);
                    }
                    for message in incoming.drain(..) {
                        match message {
                            Message::Ended(ended) => {
                                ended.observe(&self.metrics);
                                if self.settings.record {
                                    pending.push(Pending::new(ended, &mut alike));
                                } else {
                                    self.load.bytes.fetch_sub(ended.bytes, Ordering::Relaxed);
                                }
                            }
                            Message::Settle { tick: at_once, done } => {
                                tick |= at_once;
                                waiting.push(done);
                            }
                        }
                    }
                }
                failed = async { match writing.as_mut() {
                    Some(writing) => writing.await,
                    None => std::future::pending().await,
                } } => {
                    writing = None;
                    if !failed.is_empty() {
                        due = Instant::now() + PAUSE;
                        pending.splice(0..0, failed);
                    }
                    for done in told.drain(..) {
                        let _ = done.send(());
                    }
                }
                () = tokio::time::sleep_until(rest.unwrap_or(due)), if rest.is_some() => rest = None,
                _ = second.tick(), if open => {
                    tick = true;
                    self.report(&mut reported);
                }
                () = tokio::time::sleep_until(due), if writing.is_none() && !pending.is_empty() => {}
            }
            let ripe = Instant::now() >= due || pending.len() >= ENOUGH || !open;
            let wanted = tick || !waiting.is_empty() || (!pending.is_empty() && ripe);
            if writing.is_none() && wanted {
                let ended = std::mem::take(&mut pending);
                let running = if std::mem::take(&mut tick) { self.long_running() } else { Vec::new() };
                told.append(&mut waiting);
                writing = Some(self.write(ended, running).boxed());
            }
        }
    }

    fn long_running(&self) -> Vec<Arc<Running>> {
        if !self.settings.record {
            return Vec::new();
        }
        self.registry.since(self.store.now() - millis(LONG))
    }

    /// Says once a second at most what was left out.
    fn report(&self, reported: &mut u64) {
        let (left_out, short) =
            (self.load.left_out.load(Ordering::Relaxed), self.load.without_details.load(Ordering::Relaxed));
        self.metrics.left_out(left_out, short);
        if left_out + short > *reported {
            *reported = left_out + short;
            tracing::warn!(
                left_out,
                without_details = short,
                "executions end faster than the database takes them; their records were left out or shortened"
            );
        }
    }

    /// Writes all of it. Answers what is to be tried again.
    async fn write(&self, ended: Vec<Pending>, running: Vec<Arc<Running>>) -> Vec<Pending> {
        let parts = parts(ended, running).into_iter().map(|part| self.write_parts(part));
        // As many at once as the database has connections that write, or so.
        let failed: Vec<_> = stream::iter(parts.collect::<Vec<_>>()).buffer_unordered(8).collect().await;
        failed.into_iter().flatten().collect()
    }

    /// Writes a part, or what the database takes of it. Answers what is to be tried
    /// again.
    async fn write_parts(&self, part: Part) -> Vec<Pending> {
        let (mut parts, mut failed) = (vec![part], Vec::new());
        while let Some(mut part) = parts.pop() {
            let Err(reason) = self.write_part(&part).await else { continue };
            // Of some of them, which the others do not go with.
            if is_refusal(&reason) && part.ended.len() + part.running.len() > 1 {
                let ended = part.ended.split_off(part.ended.len() / 2);
                let running = part.running.split_off(part.running.len().div_ceil(2));
                parts.push(Part { tenant: part.tenant.clone(), ended, running });
                parts.push(part);
                continue;
            }
            let Part { tenant, mut ended, .. } = part;
            // The store says that it fails, and the counts what was left out for it.
            tracing::debug!(%reason, tenant_id = tenant, executions = ended.len(), "recording executions failed");
            let again = |ended: &mut Pending| {
                ended.attempts += 1;
                let again = ended.attempts < ATTEMPTS;
                if !again {
                    self.load.left_out.fetch_add(1, Ordering::Relaxed);
                    self.load.bytes.fetch_sub(ended.bytes, Ordering::Relaxed);
                }
                again
            };
            ended.retain_mut(again);
            failed.append(&mut ended);
        }
        failed
    }

    async fn write_part(&self, part: &Part) -> sqlx::Result<()> {
        let Part { tenant, ended, running } = part;
        let work = work(ended, running, self.store.now());
        let noted: Vec<Noted> = running.iter().map(|running| Noted::of(running, &work)).collect();
        let saved = {
            let (of, now) = (tenant.clone(), self.store.now());
            let (events, told) = (self.events.clone(), told(ended.iter().filter_map(Pending::whole)));
            self.store.write(tenant, move |connection| {
                Box::pin(async move {
                    let saved = rows::save(&mut *connection, now, &work).await?;
                    let mut is_handled = false;
                    for told in told {
                        is_handled |= events.tell(&mut *connection, &of, told).await?;
                    }
                    Ok::<_, sqlx::Error>((saved, is_handled))
                })
            })
        };
        let (saved, is_handled) = saved.await?;
        if is_handled {
            self.events.wake();
        }
        for (running, noted) in running.iter().zip(noted) {
            noted.note(running);
            if saved.cancelled.contains(&running.identity.execution.id) {
                running.control.cancel();
            }
        }
        if saved.usage.iter().any(|(tenant, usage)| is_over(&self.settings, tenant, *usage)) {
            self.over.notify_one();
        }
        self.load.bytes.fetch_sub(ended.iter().map(|ended| ended.bytes).sum(), Ordering::Relaxed);
        Ok(())
    }
}

/// What the host tells of those that did not complete.
pub fn told<'a>(ended: impl IntoIterator<Item = &'a Ended>) -> Vec<Told> {
    let tell = |ended: &Ended| {
        let Running { identity, origin, .. } = &*ended.running;
        Told::of_failure(Failed {
            id: &identity.execution.id,
            script: &identity.script.id,
            name: &identity.script.name,
            version: origin.version,
            trigger: ended.running.trigger(),
            status: ended.status,
            error: ended.error.as_deref(),
            attempt: origin.attempt.as_ref().map(|attempt| (attempt.job.as_str(), attempt.number)),
            cause: identity.execution.cause.clone(),
        })
    };
    ended.into_iter().filter(|ended| ended.status != Status::Completed).map(tell).collect()
}

/// By tenant, and no more at once than others may wait for.
fn parts(ended: Vec<Pending>, running: Vec<Arc<Running>>) -> Vec<Part> {
    let mut tenants: HashMap<String, Part> = HashMap::new();
    let mut parts = Vec::new();
    let part = |tenant: &str| Part { tenant: tenant.to_owned(), ended: Vec::new(), running: Vec::new() };
    for one in ended {
        let tenant = one.tenant();
        let Some(known) = tenants.get_mut(tenant) else {
            let first = part(tenant);
            tenants.insert(first.tenant.clone(), Part { ended: vec![one], ..first });
            continue;
        };
        known.ended.push(one);
        if known.ended.len() >= PART {
            let full = std::mem::replace(known, part(&known.tenant));
            parts.push(full);
        }
    }
    for one in running {
        let tenant = &one.identity.tenant.id;
        tenants.entry(tenant.clone()).or_insert_with(|| part(tenant)).running.push(one);
    }
    parts.extend(tenants.into_values().filter(|part| !part.ended.is_empty() || !part.running.is_empty()));
    parts
}

fn work(ended: &[Pending], running: &[Arc<Running>], now: Millis) -> Work {
    let (mut work, mut alike) = (Work::default(), Alike::default());
    for running in running {
        if running.is_recorded() {
            let progress = running.origin.progress.read().as_ref().and_then(json);
            work.alive.push(Alive {
                tenant: running.identity.tenant.id.clone(),
                id: plain(&running.identity.execution.id),
                progress: progress.as_deref().map(plain),
            });
        } else {
            work.rows.push(Arc::new(Row { alive_at: Some(now), ..begun(running, Status::Running, &mut alike) }));
        }
        work.chunks.extend(chunk(running));
    }
    for ended in ended {
        match &ended.record {
            Record::Row(row) => work.rows.push(row.clone()),
            Record::Whole(ended) => {
                work.rows.push(Arc::new(end(ended, &mut alike)));
                if ended.with_lines {
                    work.chunks.extend(chunk(&ended.running));
                }
            }
        }
    }
    work
}

/// What a record takes up beside its texts, or so.
pub const OVERHEAD: usize = 200;

/// The row of an execution that has ended.
pub fn end(ended: &Ended, alike: &mut Alike) -> Row {
    let running = &ended.running;
    let used = running.control.read();
    let row = begun(running, ended.status, alike);
    let lines = if ended.with_lines { running.lines.bytes() } else { 0 };
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    Row {
        ended_at: Some(ended.ended_at),
        queue_us: Some(micros(used.waited)),
        duration_us: Some(micros(ended.duration)),
        fuel: Some(whole(used.fuel)),
        memory_bytes: Some(whole(used.memory_bytes)),
        host_calls: Some(whole(used.host_calls)),
        bytes: row.bytes + (length(&ended.error) + length(&ended.result) + lines) as i64,
        error: ended.error.clone(),
        result: ended.result.clone(),
        result_bytes: ended.result_bytes,
        ..row
    }
}

/// What is known of an execution from its beginning on.
fn begun(running: &Running, status: Status, alike: &mut Alike) -> Row {
    let Origin { attempt, .. } = &running.origin;
    let execution = &running.identity.execution;
    let common = alike.of(running, status);
    let before = running.recorded_bytes.load(Ordering::Relaxed);
    Row {
        id: plain(&execution.id),
        trace: running.trace,
        started_at: running.started_at,
        log_lines: running.lines.len() as i64,
        job: attempt.as_ref().map(|attempt| attempt.job.clone()),
        attempt: attempt.as_ref().map(|attempt| attempt.number),
        cause: execution.cause.as_ref().map(|cause| cause.event.clone()),
        bytes: (OVERHEAD + common.script.len()) as i64,
        before: (before != NOT_RECORDED).then(|| whole(before)),
        common,
        ..Row::default()
    }
}

/// The log lines that are not on record.
fn chunk(running: &Running) -> Option<Chunk> {
    chunk_from(running, running.recorded_lines.load(Ordering::Relaxed))
}

/// The log lines from a number on.
pub fn chunk_from(running: &Running, first: u64) -> Option<Chunk> {
    let (lines, _) = running.lines.from(first as usize);
    (!lines.is_empty()).then(|| Chunk {
        tenant: running.identity.tenant.id.clone(),
        execution: plain(&running.identity.execution.id),
        first: whole(first),
        count: lines.len() as i64,
        lines: lines.join("\n"),
    })
}

/// What will be on record of one that runs still, where it is not there already.
struct Noted {
    bytes: Option<u64>,
    lines: Option<u64>,
}

impl Noted {
    fn of(running: &Running, work: &Work) -> Noted {
        let id = plain(&running.identity.execution.id);
        let row = work.rows.iter().find(|row| row.id == id);
        let chunk = work.chunks.iter().find(|chunk| chunk.execution == id);
        Noted {
            bytes: row.map(|row| row.bytes.unsigned_abs()),
            lines: chunk.map(|chunk| (chunk.first + chunk.count).unsigned_abs()),
        }
    }

    /// Remembers it.
    fn note(&self, running: &Running) {
        if let Some(bytes) = self.bytes {
            running.recorded_bytes.store(bytes, Ordering::Relaxed);
        }
        if let Some(lines) = self.lines {
            running.recorded_lines.store(lines, Ordering::Relaxed);
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
