//! Executions: each run of a script, while it is under way and on record.
//!
//! A call begins a [`Recording`] and ends it with its outcome, which costs one
//! message to the recorder. The recorder writes many at once, and never makes a
//! call wait: where it cannot keep up, it leaves out log lines and results, then
//! whole executions, and counts them.
//!
//! What runs longer than a second is on record while it runs, and its host says
//! every second that it does. Where a host stops saying so, it has died, and its
//! executions are `lost`.

mod ended;
mod handed;
mod live;
mod model;
mod query;
mod recorder;
mod retention;
mod rows;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

pub use handed::{Ending, Lost, note_lost};
pub use live::{Followed, Lines};
pub use model::{Attempt, Execution, Filter, Origin, Status};
pub use query::{Cancelled, Key};
pub use watch::{Watch, Watched};

use crate::capabilities::log::Sink;
use crate::capabilities::progress::Progress;
use crate::metrics::Metrics;
use crate::runtime::control::Control;
use crate::runtime::outcome::Outcome;
use crate::runtime::sandbox::Busy;
use crate::runtime::trace::Trace;
use crate::settings::ExecutionSettings;
use crate::store::Store;
use crate::store::clock::Millis;
use crate::tenant::Identity;
use crate::traces::Traces;
use crate::triggers::events::Outbox;
use ended::{Ended, Load, Message};
use live::Registry;
use recorder::Recorder;

/// Messages that wait for the recorder.
const QUEUE: usize = 1 << 16;
/// Who follows log lines at once, of all tenants.
const FOLLOWERS: usize = 256;

/// The executions of a host. Cheap to clone.
#[derive(Clone)]
pub struct Executions(Arc<Inner>);

struct Inner {
    store: Store,
    settings: ExecutionSettings,
    registry: Arc<Registry>,
    queue: mpsc::Sender<Message>,
    load: Arc<Load>,
    metrics: Arc<Metrics>,
    /// Told when a tenant has more on record than it may.
    over: Arc<Notify>,
    followers: Arc<Semaphore>,
    /// Tells of what failed.
    events: Outbox,
}

/// An execution that is under way.
pub struct Running {
    identity: Arc<Identity>,
    origin: Origin,
    trace: Option<Trace>,
    traces: Option<Arc<Traces>>,
    started_at: Millis,
    began: Instant,
    control: Arc<Control>,
    lines: Lines,
    /// How many bytes are on record, and how many log lines. The recorder alone
    /// writes them. `u64::MAX` bytes: nothing is.
    recorded_bytes: AtomicU64,
    recorded_lines: AtomicU64,
    /// Whether the recorder has ever set about to write it.
    listed: AtomicBool,
    /// Whether somebody else than the recorder writes its end.
    handed: AtomicBool,
}

const NOT_RECORDED: u64 = u64::MAX;

impl Running {
    fn is_recorded(&self) -> bool {
        self.recorded_bytes.load(Ordering::Relaxed) != NOT_RECORDED
    }
}

/// A call that is being recorded. Dropped without an outcome, as where its
/// caller has left, it is on record as cancelled.
pub struct Recording {
    executions: Executions,
    number: u64,
    running: Option<Arc<Running>>,
}

impl Executions {
    /// Begins to record, and to delete what is kept long enough.
    pub fn new(store: Store, settings: ExecutionSettings, metrics: Arc<Metrics>, events: Outbox) -> Executions {
        let (queue, messages) = mpsc::channel(QUEUE);
        let registry = Arc::new(Registry::default());
        let load = Arc::new(Load::default());
        let over = Arc::new(Notify::new());
        let recorder = Recorder {
            store: store.clone(),
            settings: settings.clone(),
            registry: registry.clone(),
            load: load.clone(),
            metrics: metrics.clone(),
            over: over.clone(),
            events: events.clone(),
        };
        tokio::spawn(recorder.run(messages));
        let followers = Arc::new(Semaphore::new(FOLLOWERS));
        let executions =
            Executions(Arc::new(Inner { store, settings, registry, queue, load, metrics, over, followers, events }));
        tokio::spawn(retention::keep_house(Arc::downgrade(&executions.0)));
        executions
    }

    /// Records a call from now on.
    pub(crate) fn begin(
        &self,
        identity: Arc<Identity>,
        origin: Origin,
        trace: Option<Trace>,
        traces: Option<Arc<Traces>>,
    ) -> Recording {
        let running = Arc::new(Running {
            identity,
            origin,
            trace,
            traces,
            started_at: self.0.store.now(),
            began: Instant::now(),
            control: Arc::default(),
            lines: Lines::default(),
            recorded_bytes: AtomicU64::new(NOT_RECORDED),
            recorded_lines: AtomicU64::new(0),
            listed: AtomicBool::new(false),
            handed: AtomicBool::new(false),
        });
        let number = self.0.registry.insert(running.clone());
        Recording { executions: self.clone(), number, running: Some(running) }
    }

    /// Attempts of jobs that wait for a sandbox are not to begin.
    pub fn recall_jobs(&self) {
        self.0.registry.recall_jobs();
    }

    /// How many run or wait for a sandbox.
    pub fn under_way(&self) -> usize {
        self.0.registry.len()
    }

    /// Waits until all that has ended before is on record, or is known to be
    /// lost to a failing database.
    pub async fn settle(&self) {
        self.tell(false).await;
    }

    /// Does at once what is done every second, and waits for it.
    #[cfg(test)]
    async fn tick(&self) {
        self.tell(true).await;
    }

    async fn tell(&self, tick: bool) {
        let (done, settled) = oneshot::channel();
        if self.0.queue.send(Message::Settle { tick, done }).await.is_ok() {
            // Err where the recorder has ended, and there is nothing to wait for.
            let _ = settled.await;
        }
    }

    /// Lets somebody follow log lines. None where too many do.
    pub fn follower(&self) -> Option<OwnedSemaphorePermit> {
        self.0.followers.clone().try_acquire_owned().ok()
    }

    /// What a second's silence means to who follows log lines: look whether the
    /// execution runs still.
    const LOOK: Duration = Duration::from_secs(1);
}

impl Recording {
    pub fn control(&self) -> Arc<Control> {
        self.running.as_ref().map(|running| running.control.clone()).unwrap_or_default()
    }

    /// Where the call says how far it is.
    pub fn progress(&self) -> Progress {
        self.running.as_ref().map(|running| running.origin.progress.clone()).unwrap_or_default()
    }

    /// What sees the call's log lines. They go on to `next`.
    pub fn sink(&self, next: Option<Sink>) -> Option<Sink> {
        let Some(running) = self.running.clone() else { return next };
        Some(Arc::new(move |line: &RawValue| {
            running.lines.push(line);
            if let Some(next) = &next {
                next(line);
            }
        }))
    }

    /// The call has ended.
    pub fn end(mut self, outcome: &Result<Outcome, Busy>) {
        let Some(running) = self.running.take() else { return };
        let most = self.executions.0.settings.max_result;
        self.send(Ended::new(running, outcome, self.executions.0.store.now(), most));
    }

    /// Nothing has begun, so nothing has ended.
    pub fn forget(mut self) {
        if let Some(running) = self.running.take() {
            self.executions.0.registry.remove(self.number);
            running.lines.end();
        }
    }

    /// The call has ended, and its caller writes that.
    pub fn hand_over(mut self, outcome: &Result<Outcome, Busy>) -> Option<Ending> {
        let running = self.running.take()?;
        let Inner { registry, metrics, settings, store, .. } = &*self.executions.0;
        registry.hand_over(&running);
        let ended = Ended::new(running, outcome, store.now(), settings.max_result);
        ended.observe(metrics);
        Some(Ending::new(self.executions.clone(), self.number, ended))
    }

    fn send(&self, ended: Ended) {
        let Inner { registry, queue, load, .. } = &*self.executions.0;
        registry.remove(self.number);
        ended.running.lines.end();
        load.send(queue, ended);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.send(Ended::abandoned(running, self.executions.0.store.now()));
        }
    }
}
