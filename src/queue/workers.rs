//! Who does the jobs: claims them, makes the attempts, writes what came of them,
//! and looks after what dead hosts have left.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::claim::{self, Claimed, Found, Look};
use super::finish::{Done, End, Finished, finish};
use super::hands::{Call, Grip, Hands};
use super::lease::{self, Became, Orphan};
use super::{Queue, attempt, retention};
use crate::host::Host;
use crate::pause::Pause;
use crate::settings::QueueSettings;
use crate::store::clock::{Millis, millis};
use crate::store::{Store, is_refusal};
use crate::tenant::quota::Quota;

/// How often a host looks for jobs that nobody told it of.
const POLL: Duration = Duration::from_secs(1);
/// How long a host with its hands full works off half of them before it looks for
/// more: a look costs as much as several short jobs.
const BREATH: Duration = Duration::from_millis(5);
/// Jobs that one transaction finishes, and their tenants, whose turns it has: it
/// holds up others of theirs. With 64 jobs, a tenant's were done slower by a tenth;
/// each turn takes a place among the locks that PostgreSQL has room for.
const PART: usize = 256;
const TENANTS: usize = 64;
/// How often old dead letters are looked for.
const HOUSE: Duration = Duration::from_secs(60);
/// Transactions that finish jobs at once.
const WRITES: usize = 8;

/// The workers of a host, at work.
pub struct Workers {
    crew: Arc<Crew>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

pub(super) struct Crew {
    pub host: Arc<Host>,
    pub hands: Arc<Hands>,
    settings: QueueSettings,
    pub store: Store,
    queue: Queue,
    /// As what this host claims jobs; None while it has no lease.
    name: Mutex<Option<String>>,
    /// Tenants that were refused a call, and until when they are left alone.
    resting: Mutex<HashMap<String, Instant>>,
    /// Whether the database failed last.
    failing: AtomicBool,
}

/// An attempt that is over, and its place in the host's hands.
type Over = (Arc<Done>, Grip);

impl Workers {
    /// Begins to do jobs, as many at once as the settings say.
    pub fn start(host: Arc<Host>) -> Workers {
        let (stop, stopping) = watch::channel(false);
        let crew = Arc::new(Crew::new(host));
        let mut tasks = Vec::new();
        if crew.settings.concurrency > 0 && crew.host.settings().scripts_enabled {
            let (over, finished) = mpsc::unbounded_channel();
            tasks.push(tokio::spawn(crew.clone().claim_all(over, stopping.clone())));
            tasks.push(tokio::spawn(crew.clone().finish_all(finished)));
            tokio::spawn(crew.clone().live(stopping.clone()));
            tokio::spawn(crew.clone().hear(stopping));
        }
        Workers { crew, stop, tasks }
    }

    /// Whether the database failed last.
    #[cfg(test)]
    pub(super) fn is_failing(&self) -> bool {
        self.crew.is_failing()
    }

    /// Claims no more, gives back what has not begun, and waits for what has, but
    /// no longer than this. What is left then is anybody's.
    pub async fn stop(mut self, within: Duration) {
        // Err where nobody works.
        let _ = self.stop.send(true);
        self.crew.host.executions().recall_jobs();
        let ended = async {
            for task in &mut self.tasks {
                let _ = task.await;
            }
        };
        if tokio::time::timeout(within, ended).await.is_err() {
            tracing::warn!(jobs = self.crew.hands.jobs(), "leaving jobs to others that did not end in time");
            self.tasks.iter().for_each(JoinHandle::abort);
        }
        self.crew.leave().await;
    }
}

impl Crew {
    pub fn new(host: Arc<Host>) -> Crew {
        let queue = host.queue().clone();
        Crew {
            hands: Arc::default(),
            settings: host.settings().queue.clone(),
            store: queue.0.store.clone(),
            queue,
            name: Mutex::default(),
            resting: Mutex::default(),
            failing: AtomicBool::new(false),
            host,
        }
    }

    /// Claims jobs and makes their attempts, until it is told to stop. Ends with
    /// the last attempt.
    async fn claim_all(self: Arc<Self>, over: mpsc::UnboundedSender<Over>, mut stopping: watch::Receiver<bool>) {
        let mut attempts = JoinSet::new();
        let mut after = String::new();
        let mut pause = Pause::default();
        while !*stopping.borrow() {
            // Whether more may wait than there was room for, and whether it does, or so.
            let room = self.settings.concurrency.saturating_sub(self.hands.jobs());
            let (mut more, mut left, mut wait) = (true, room == 0, POLL);
            if room > 0 {
                match self.claim(room, &after).await {
                    Ok(found) => {
                        pause = Pause::default();
                        // A tenant may have more than it had room for.
                        more = found.full || !found.jobs.is_empty();
                        left = found.full || found.jobs.len() >= room;
                        after = found.last;
                        wait = found.wait;
                        for job in found.jobs {
                            // In hand from here on: the next look may come before its task runs.
                            let held = self.hands.take(&job.tenant);
                            attempts.spawn(self.clone().attempt(job, held, over.clone(), stopping.clone()));
                        }
                    }
                    Err(reason) => {
                        self.note(Err(&reason));
                        (more, wait) = (false, pause.next());
                    }
                }
            }
            // Their tasks are of no use any more.
            while attempts.try_join_next().is_some() {}
            let half = self.hands.jobs() / 2;
            tokio::select! {
                _ = stopping.changed() => {}
                () = self.queue.0.wake.woken(), if !self.is_failing() => {}
                () = self.hands.freed(), if more => {}
                () = tokio::time::sleep(wait) => {}
            }
            if left && !*stopping.borrow() {
                // Err where that took longer.
                let _ = tokio::time::timeout(BREATH, self.hands.eased(half)).await;
            }
        }
        while attempts.join_next().await.is_some() {}
    }

    /// Claims what there is, in one look.
    pub async fn claim(self: &Arc<Self>, most: usize, after: &str) -> sqlx::Result<Claims> {
        let now = self.store.now();
        let is_any: bool =
            self.store.read(move |connection| Box::pin(async move { claim::is_any(connection, now).await })).await?;
        let name = self.name();
        let (Some(name), true) = (name, is_any) else {
            let next = self.next_due().await?;
            self.note(Ok(()));
            return Ok(Claims { wait: self.until(next), last: after.to_owned(), ..Claims::default() });
        };
        let (crew, after) = (self.clone(), after.to_owned());
        let (found, full): (Option<Found>, bool) = self
            .store
            .write_without_turn(move |connection| {
                Box::pin(async move {
                    let full = AtomicBool::new(false);
                    let room = |tenant: &str| {
                        let room = crew.room(tenant);
                        full.fetch_or(room == 0, Ordering::Relaxed);
                        room
                    };
                    let look = Look { host: &name, now, most, after: &after, room: &room };
                    let found = look.claim(connection).await?;
                    Ok::<_, sqlx::Error>((found, full.load(Ordering::Relaxed)))
                })
            })
            .await?;
        self.note(Ok(()));
        let Some(found) = found else {
            self.lost_lease();
            return Ok(Claims::default());
        };
        Ok(Claims { wait: self.until(found.next), last: found.last, jobs: found.jobs, full })
    }

    /// How many calls a tenant may have more here. One that this host does not
    /// know has none.
    fn room(&self, tenant: &str) -> usize {
        if self.host.places().get(tenant).is_none() || self.is_resting(tenant) {
            return 0;
        }
        let most = self.host.process().quotas.account(tenant).get(Quota::ConcurrentCalls);
        usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(self.hands.calls(tenant))
    }

    /// Its jobs would only be claimed and put back.
    fn is_resting(&self, tenant: &str) -> bool {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.retain(|_, until| *until > Instant::now());
        resting.contains_key(tenant)
    }

    async fn next_due(&self) -> sqlx::Result<Option<Millis>> {
        self.store
            .read(|connection| {
                Box::pin(async move {
                    sqlx::query_scalar("SELECT MIN(run_at) FROM jobs WHERE state = 'delayed'")
                        .fetch_one(connection)
                        .await
                })
            })
            .await
    }

    fn until(&self, next: Option<Millis>) -> Duration {
        let wait = next.map_or(Millis::MAX, |next| next.saturating_sub(self.store.now()));
        Duration::from_millis(wait.max(0).unsigned_abs()).min(POLL)
    }

    async fn attempt(
        self: Arc<Self>,
        mut job: Claimed,
        (grip, call): (Grip, Call),
        over: mpsc::UnboundedSender<Over>,
        stopping: watch::Receiver<bool>,
    ) {
        let end = if *stopping.borrow() {
            End::NotBegun(Duration::ZERO)
        } else {
            // What it comes to is written whatever happens: nobody else would.
            let made = AssertUnwindSafe(attempt::make(&self.host, &mut job)).catch_unwind().await;
            made.unwrap_or_else(|_| attempt::broken(&self.host, &job))
        };
        let end = match end {
            End::NotBegun(_) if *stopping.borrow() => End::NotBegun(Duration::ZERO),
            end => end,
        };
        if let End::NotBegun(wait) = &end {
            let until = Instant::now() + *wait;
            self.resting.lock().unwrap_or_else(PoisonError::into_inner).insert(job.tenant.clone(), until);
        }
        drop(call);
        // Err where the host shuts down.
        let _ = over.send((Arc::new(Done { job, end }), grip));
    }

    /// Writes what came of attempts, many at once, until there are none any more.
    async fn finish_all(self: Arc<Self>, mut finished: mpsc::UnboundedReceiver<Over>) {
        let mut writing = FuturesUnordered::new();
        let mut waiting: HashMap<String, Vec<Over>> = HashMap::new();
        let mut busy: HashSet<String> = HashSet::new();
        let mut incoming = Vec::new();
        let mut open = true;
        while open || !writing.is_empty() || !waiting.is_empty() {
            tokio::select! {
                received = finished.recv_many(&mut incoming, PART * WRITES), if open => {
                    open = received > 0;
                    for over in incoming.drain(..) {
                        waiting.entry(over.0.job.tenant.clone()).or_default().push(over);
                    }
                }
                Some(tenants) = writing.next(), if !writing.is_empty() => {
                    let tenants: BTreeSet<String> = tenants;
                    busy.retain(|tenant| !tenants.contains(tenant));
                }
            }
            while writing.len() < WRITES {
                // One at a time for a tenant, whose turn it needs: meanwhile more gather.
                let part = part(&mut waiting, &busy);
                if part.is_empty() {
                    break;
                }
                busy.extend(part.iter().map(|(done, _)| done.job.tenant.clone()));
                writing.push(self.clone().finish(part));
            }
        }
    }

    /// Writes what came of some attempts. Answers whose they were.
    pub async fn finish(self: Arc<Self>, part: Vec<Over>) -> BTreeSet<String> {
        let (done, grips): (Vec<Arc<Done>>, Vec<Grip>) = part.into_iter().unzip();
        let tenants = tenants(&done);
        self.finish_each(done).await;
        drop(grips);
        tenants
    }

    /// Writes all of it in one transaction, once.
    pub async fn finish_part(&self, done: Vec<Arc<Done>>) -> sqlx::Result<Finished> {
        let (now, settings) = (self.store.now(), self.settings.clone());
        let events = self.host.process().events.clone();
        let tenants: Vec<String> = tenants(&done).into_iter().collect();
        let written = self.store.write_for_all(&tenants, move |connection| {
            Box::pin(async move {
                let finished = finish(&mut *connection, now, &settings, &done).await?;
                for done in done.iter().filter(|done| finished.dead.contains(&done.job.number)) {
                    events.tell(&mut *connection, &done.job.tenant, done.told()).await?;
                }
                Ok(finished)
            })
        });
        written.await
    }

    /// Says that this host lives, and takes care of what the dead have left,
    /// until it is told to stop.
    async fn live(self: Arc<Self>, mut stopping: watch::Receiver<bool>) {
        let mut renewed = Instant::now();
        let (mut looked, mut kept_house) = (Instant::now(), Instant::now());
        // A host that drains lives: it is told to stop, and ends with the process.
        loop {
            if self.name().is_none() || renewed.elapsed() >= self.settings.heartbeat {
                match self.renew().await {
                    Ok(()) => {
                        self.note(Ok(()));
                        renewed = Instant::now();
                    }
                    Err(reason) => {
                        self.note(Err(&reason));
                        if renewed.elapsed() >= self.settings.lease {
                            self.lost_lease();
                        }
                    }
                }
            }
            if looked.elapsed() >= self.settings.sweep && !*stopping.borrow() {
                looked = Instant::now();
                let swept = self.sweep().await;
                self.note(swept.as_ref().map(|_| ()));
                if self.host.settings().metrics.listen.is_some() {
                    let counted = self.queue.count().await;
                    self.note(counted.as_ref().map(|_| ()));
                }
            }
            if kept_house.elapsed() >= HOUSE && !*stopping.borrow() {
                kept_house = Instant::now();
                let kept = retention::delete_dead(&self.store, &self.settings).await;
                self.note(kept.as_ref().map(|_| ()));
            }
            let step = self.settings.heartbeat.min(self.settings.sweep).min(POLL);
            tokio::select! {
                // The sender goes with the workers.
                gone = stopping.changed() => if gone.is_err() { return },
                () = tokio::time::sleep(step) => {}
            }
        }
    }

    /// Renews the lease, or begins another one.
    pub async fn renew(self: &Arc<Self>) -> sqlx::Result<()> {
        let (time, lease, name) = (self.store.shared_time(), self.lease(), self.name());
        let name: String = self
            .store
            .write_without_turn(move |connection| {
                Box::pin(async move {
                    if let Some(name) = name
                        && lease::renew(connection, &name, &time, lease).await?
                    {
                        return Ok(name);
                    }
                    lease::begin(connection, &time, lease).await
                })
            })
            .await?;
        let before = self.name.lock().unwrap_or_else(PoisonError::into_inner).replace(name.clone());
        if before.is_none() {
            self.queue.0.wake.here();
        } else if before.is_some_and(|before| before != name) {
            tracing::warn!("this host was silent for longer than its lease; what it ran then is lost");
        }
        Ok(())
    }

    /// Takes care of the jobs of dead hosts. Answers how many.
    pub async fn sweep(self: &Arc<Self>) -> sqlx::Result<usize> {
        let (time, lease) = (self.store.shared_time(), self.lease());
        let buried: u64 = self
            .store
            .write_without_turn(move |connection| Box::pin(async move { lease::bury(connection, &time, lease).await }))
            .await?;
        if buried > 0 {
            tracing::warn!(hosts = buried, "a host has fallen silent; others do its jobs");
        }
        let mut adopted = 0;
        let metrics = &self.host.process().metrics;
        // What the database refuses to take care of.
        let mut left: HashSet<(String, String)> = HashSet::new();
        loop {
            let mut orphans = lease::orphans(&self.store).await?;
            orphans.retain(|orphan| !left.contains(&orphan.key()));
            let found = orphans.len();
            for orphan in orphans {
                let (tenant, now, name) = (orphan.tenant.clone(), self.store.now(), self.name_of(&orphan));
                let (events, of, told) = (self.host.process().events.clone(), tenant.clone(), orphan.told());
                let (kept, lost) = (orphan.clone(), orphan.lost(&name));
                let became: sqlx::Result<Became> = self
                    .store
                    .write(&tenant, move |connection| {
                        Box::pin(async move {
                            let became = lease::adopt(&mut *connection, now, orphan, name).await?;
                            if became != Became::Nothing {
                                events.tell(&mut *connection, &of, lost).await?;
                            }
                            if became == Became::Dead {
                                events.tell(connection, &of, told).await?;
                            }
                            Ok(became)
                        })
                    })
                    .await;
                let became = match became {
                    Err(reason) if is_refusal(&reason) => {
                        left.insert(kept.key());
                        self.set_aside(kept, &reason).await;
                        continue;
                    }
                    other => other?,
                };
                match became {
                    Became::Waiting => {
                        adopted += 1;
                        metrics.attempted("lost");
                    }
                    Became::Dead => {
                        adopted += 1;
                        metrics.attempted("lost");
                        metrics.died(1);
                        tracing::warn!(tenant_id = tenant, "a job was lost too often; it is a dead letter");
                    }
                    Became::Nothing => {}
                }
            }
            if found == 0 {
                break;
            }
        }
        if adopted > 0 {
            self.queue.wake();
        }
        Ok(adopted)
    }

    /// The script's name, as far as this host knows it.
    pub fn name_of(&self, orphan: &Orphan) -> String {
        let place = self.host.places().get(&orphan.tenant);
        let script = place.and_then(|place| place.shelf().get(&orphan.script).cloned());
        script.map_or_else(|| orphan.script.clone(), |script| script.name.clone())
    }

    /// Hears of jobs that others have queued.
    async fn hear(self: Arc<Self>, mut stopping: watch::Receiver<bool>) {
        let mut pause = Pause::default();
        loop {
            let heard = async {
                let mut listener = self.queue.0.wake.listen().await?;
                loop {
                    self.queue.0.wake.here();
                    listener.next().await?;
                }
            };
            let failed: sqlx::Error = tokio::select! {
                _ = stopping.changed() => return,
                failed = heard => match failed { Err(reason) => reason, Ok(never) => never },
            };
            tracing::debug!(reason = %failed, "hearing of jobs failed; it is tried again");
            tokio::time::sleep(pause.next()).await;
        }
    }

    /// Gives up the lease, and with it what is in hand.
    async fn leave(&self) {
        let Some(name) = self.name.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let left: sqlx::Result<()> = self
            .store
            .write_without_turn(move |connection| Box::pin(async move { lease::end(connection, &name).await }))
            .await;
        if let Err(reason) = left {
            tracing::warn!(%reason, "the host's lease could not be given back; others wait until it ends");
        }
        self.queue.wake();
    }

    pub fn name(&self) -> Option<String> {
        self.name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lost_lease(&self) {
        self.name.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn lease(&self) -> Millis {
        millis(self.settings.lease)
    }

    fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Says when the database begins to fail, and when it answers again.
    pub fn note(&self, done: Result<(), &sqlx::Error>) {
        let failed = done.is_err();
        if self.failing.swap(failed, Ordering::Relaxed) == failed {
            return;
        }
        match done {
            Err(reason) => tracing::error!(%reason, "the host's database fails; jobs wait until it answers again"),
            Ok(()) => tracing::info!("the host's database answers again; jobs go on"),
        }
    }
}

/// Takes what one transaction may finish, of tenants that are not busy.
fn part(waiting: &mut HashMap<String, Vec<Over>>, busy: &HashSet<String>) -> Vec<Over> {
    let mut part = Vec::new();
    for (_, all) in waiting.iter_mut().filter(|(tenant, _)| !busy.contains(*tenant)).take(TENANTS) {
        part.extend(all.drain(..all.len().min(PART - part.len())));
        if part.len() >= PART {
            break;
        }
    }
    waiting.retain(|_, all| !all.is_empty());
    part
}

fn tenants(done: &[Arc<Done>]) -> BTreeSet<String> {
    done.iter().map(|done| done.job.tenant.clone()).collect()
}

/// What a look found, and how long to wait for the next.
#[derive(Debug, Default)]
pub(super) struct Claims {
    pub jobs: Vec<Claimed>,
    pub last: String,
    pub wait: Duration,
    /// Whether some tenant has as many calls here as it may.
    pub full: bool,
}
