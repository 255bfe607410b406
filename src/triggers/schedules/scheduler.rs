//! What has ticks run.
//!
//! Every host looks which schedules are due, and settles their ticks in their
//! tenant's turn: what becomes of a tick, the job that runs for it, and how far
//! the schedule has come are one commit. There is no leader. Two hosts that settle
//! the same tick are kept apart by its key, whatever they believe.
//!
//! A clock that jumps forward makes ticks that were missed. One that is set back
//! repeats nothing: ticks go on where they were, or from now where that is more
//! than an hour away.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use uuid::Uuid;

use super::cron::{CatchUp, Overlap};
use super::policy::{Fate, Policy, Reason};
use super::rows::{self, Due, Tick};
use super::state::State;
use super::{Schedules, input};
use crate::queue::{self, NewJob, Trigger};
use crate::store::Connection;
use crate::store::clock::{Millis, millis};
use crate::store::usage::{self, Room, Usage};
use crate::tenant::quota::Quota;

/// How often a host looks for what is due, where it knows of nothing earlier.
const LOOK: Duration = Duration::from_millis(500);
/// Schedules that one look finds.
const MOST_DUE: i64 = 2_000;
/// Tenants that are settled at once: others write as well.
const AT_ONCE: usize = 8;
/// Schedules that one transaction settles for a tenant.
const PART: i64 = 250;
/// Ticks of one schedule that a gap leaves: of a longer one, the latest.
const MOST_TICKS: usize = 1_000;
/// Ticks that one transaction settles, or one schedule's.
const TICKS: usize = 2_000;
/// How far ahead of the clock a schedule may be settled.
const AHEAD: Millis = 60 * 60 * 1000;
/// Jobs of a schedule that are to run one after the other.
const ORDER: &str = "schedule";

/// What one transaction has settled.
#[derive(Debug, Default)]
pub struct Settled {
    /// How late each was, and what became of it.
    pub ticks: Vec<(Fate, Millis)>,
    /// Whether more is due.
    pub more: bool,
    jobs: bool,
}

impl Schedules {
    /// Settles what is due. Answers how long nothing else will be, which may be
    /// less than it is.
    pub async fn turn(&self) -> sqlx::Result<Duration> {
        let now = self.store().now();
        let until = now + millis(LOOK);
        let upcoming = self
            .store()
            .read(move |connection| Box::pin(async move { rows::upcoming(connection, until, MOST_DUE).await }));
        let upcoming: Vec<(String, Millis)> = upcoming.await?;
        let is_cut = upcoming.len() as i64 == MOST_DUE;
        let known = upcoming.into_iter().filter(|(tenant, _)| self.places().get(tenant).is_some());
        let (due, later): (Vec<_>, Vec<_>) = known.partition(|(_, next_at)| *next_at <= now);
        let tenants: HashSet<String> = due.into_iter().map(|(tenant, _)| tenant).collect();
        let mut more = is_cut && !tenants.is_empty();
        // In no order, so that hosts are not always after the same ones.
        let parts: Vec<_> = tenants.into_iter().map(|tenant| self.settle(tenant)).collect();
        let settled: Vec<sqlx::Result<bool>> = stream::iter(parts).buffer_unordered(AT_ONCE).collect().await;
        for one in settled {
            more |= one?;
        }
        if more {
            return Ok(Duration::ZERO);
        }
        let next = later.into_iter().map(|(_, next_at)| next_at).min().unwrap_or(until);
        Ok(Duration::from_millis((next - self.store().now()).clamp(0, millis(LOOK)) as u64))
    }

    /// Settles what is due of a tenant, or a part of it. Answers whether more is.
    async fn settle(&self, tenant: String) -> sqlx::Result<bool> {
        let account = self.account(&tenant);
        let most = Usage {
            items: i64::try_from(account.get(Quota::Jobs)).unwrap_or(i64::MAX),
            bytes: i64::try_from(account.get(Quota::JobBytes)).unwrap_or(i64::MAX),
        };
        let (owner, store, attempts) = (tenant.clone(), self.store().clone(), self.0.attempts);
        let settled = self.store().write(&tenant, move |connection| {
            Box::pin(async move {
                // In its turn, which it may have waited for.
                settle(connection, &owner, store.now(), most, attempts).await
            })
        });
        let settled: Settled = settled.await?;
        if settled.jobs {
            self.queue().wake();
        }
        for (fate, late) in &settled.ticks {
            if fate.reason() == Some(Reason::Quota) {
                // Counts it among the refusals.
                let _ = account.check(Quota::Jobs, account.get(Quota::Jobs).saturating_add(1));
            }
            self.metrics().tick(*fate, Duration::from_millis((*late).max(0) as u64));
        }
        Ok(settled.more)
    }

    /// Puts right the schedules that a wrong clock has settled far ahead.
    pub(super) async fn put_right(&self) -> sqlx::Result<()> {
        let now = self.store().now();
        let ahead = self
            .store()
            .read(move |connection| Box::pin(async move { rows::settled_beyond(connection, now + AHEAD).await }));
        for (tenant, script) in ahead.await? {
            tracing::warn!(
                tenant_id = tenant,
                script_id = script,
                "the clock was set back; its schedule goes on from now"
            );
            let owner = tenant.clone();
            let put: sqlx::Result<()> = self
                .store()
                .write(&tenant, move |connection| {
                    Box::pin(async move {
                        match rows::state(connection, &owner, &script).await? {
                            Some(state) if state.settled_to > now + AHEAD => {
                                rows::advance(connection, &owner, &[(script, state.settled(now))]).await
                            }
                            _ => Ok(()),
                        }
                    })
                })
                .await;
            put?;
        }
        Ok(())
    }
}

/// Settles what is due of a tenant, whose turn this is. `most` is what its jobs
/// may take up, and those that do not say are tried so often.
async fn settle(
    connection: &mut Connection,
    tenant: &str,
    now: Millis,
    most: Usage,
    attempts: i64,
) -> sqlx::Result<Settled> {
    let due = rows::due(connection, tenant, now, PART).await?;
    let mut more = due.len() as i64 == PART;
    let used = usage::of(connection, tenant, Room::Jobs).await?;
    let mut room = if used.bytes < most.bytes { most.items - used.items } else { 0 };
    let (mut ticks, mut jobs, mut states) = (Vec::new(), HashMap::new(), Vec::new());
    for one in due {
        if ticks.len() >= TICKS {
            more = true;
            break;
        }
        for (tick, job) in one.decide(tenant, now, &mut room) {
            let job = job.map(|job| NewJob { attempts: one.state.cron.attempts.unwrap_or(attempts), ..job });
            jobs.extend(job.map(|job| ((tick.script.clone(), tick.tick), job)));
            ticks.push(tick);
        }
        states.push((one.script, one.state.settled(now)));
    }
    let new = rows::insert_ticks(connection, tenant, now, &ticks).await?;
    // In the order of the ticks, which is that of those that run one after the other.
    let key = |tick: &Tick| (tick.script.clone(), tick.tick);
    let jobs: Vec<NewJob> =
        ticks.iter().filter(|tick| new.contains(&key(tick))).filter_map(|tick| jobs.remove(&key(tick))).collect();
    if !jobs.is_empty() {
        queue::insert(connection, tenant, now, &jobs).await?;
    }
    rows::advance(connection, tenant, &states).await?;
    let settled = ticks.iter().filter(|tick| new.contains(&key(tick))).map(|tick| (tick.fate, now - tick.tick));
    Ok(Settled { ticks: settled.collect(), more, jobs: !jobs.is_empty() })
}

impl Due {
    /// What becomes of its ticks, and what runs for them. `room` is how many jobs
    /// there may be yet.
    fn decide(&self, tenant: &str, now: Millis, room: &mut i64) -> Vec<(Tick, Option<NewJob>)> {
        let (Ok(timetable), Ok(policy)) = (self.state.cron.timetable(), self.state.cron.policy()) else {
            // What could not be read any more is said when its state is reckoned.
            return Vec::new();
        };
        let times = timetable.between(self.state.settled_to, now, MOST_TICKS);
        let fates = policy.decide(&times, now, self.undone);
        let settled = times.into_iter().zip(fates).map(|(time, fate)| {
            let fate = if fate.runs() && *room <= 0 { Fate::Skipped(Reason::Quota) } else { fate };
            let job = fate.runs().then(|| {
                *room -= 1;
                job(tenant, &self.script, &self.state, &policy, time, fate)
            });
            let id = job.as_ref().and_then(|job| job.id.clone());
            (Tick { script: self.script.clone(), tick: time, fate, job: id }, job)
        });
        settled.collect()
    }
}

fn job(tenant: &str, script: &str, state: &State, policy: &Policy, tick: Millis, fate: Fate) -> NewJob {
    let cron = &state.cron;
    let is_ordered =
        policy.overlap == Overlap::Queue || policy.overlap == Overlap::Skip && policy.catch_up == CatchUp::All;
    NewJob {
        id: Some(Uuid::now_v7().to_string()),
        input: Some(input(cron, tick, fate == Fate::CaughtUp)),
        run_at: Some(tick + policy.delay(tenant, script, tick)),
        order_key: is_ordered.then(|| ORDER.to_owned()),
        ..NewJob::new(script, Trigger::Cron)
    }
}
