//! What has ticks run.
//!
//! Every host looks which schedules are due, and settles their ticks in the turns
//! of their tenants: what becomes of a tick, the job that runs for it, and how far
//! the schedule has come are one commit. There is no leader. Two hosts that settle
//! the same tick are kept apart by its key, whatever they believe.
//!
//! Most schedules name the same minutes, and most tenants have few: so many tenants
//! are settled together. Each by itself took six round trips for one tick.
//!
//! A clock that jumps forward makes ticks that were missed. One that is set back
//! repeats nothing: ticks go on where they were, or from now where that is more
//! than an hour away.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use uuid::Uuid;

use super::cron::{CatchUp, Overlap};
use super::policy::{Fate, Policy, Reason};
use super::rows::{self, Advance, Due, Tick};
use super::state::State;
use super::{Schedules, input};
use crate::queue::{self, NewJob, Trigger};
use crate::random;
use crate::store::clock::{Millis, millis};
use crate::store::usage::{self, Room, Usage};
use crate::store::{Connection, is_refusal, statements};
use crate::tenant::quota::Quota;

/// How often a host looks for what is due, where it knows of nothing earlier.
const LOOK: Duration = Duration::from_millis(500);
/// Schedules that one look finds.
const MOST_DUE: i64 = 2_000;
/// Tenants that one transaction settles. It waits for the turns of all.
const TOGETHER: usize = statements::MOST;
/// Transactions at once: others write as well.
const AT_ONCE: usize = 2;
/// Schedules that one transaction settles.
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
    /// Whose, what became of each, and how late.
    pub ticks: Vec<(String, Fate, Millis)>,
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
        let tenants: BTreeSet<String> = due.into_iter().map(|(tenant, _)| tenant).collect();
        let mut more = is_cut && !tenants.is_empty();
        let tenants: Vec<String> = tenants.into_iter().collect();
        let mut parts: Vec<Vec<String>> = tenants.chunks(TOGETHER).map(<[String]>::to_vec).collect();
        // Hosts that begin with the same ones would wait for each other.
        let first = (random::fraction() * parts.len() as f64) as usize;
        parts.rotate_left(first);
        let settled = stream::iter(parts).map(|part| self.settle(part)).buffer_unordered(AT_ONCE);
        let settled: Vec<sqlx::Result<bool>> = settled.collect().await;
        for one in settled {
            more |= one?;
        }
        if more {
            return Ok(Duration::ZERO);
        }
        let next = later.into_iter().map(|(_, next_at)| next_at).min().unwrap_or(until);
        Ok(Duration::from_millis((next - self.store().now()).clamp(0, millis(LOOK)) as u64))
    }

    /// Settles what is due of some tenants, or a part of it. Answers whether more is.
    /// What the database refuses of one takes nothing of the others with it.
    async fn settle(&self, tenants: Vec<String>) -> sqlx::Result<bool> {
        let settled = self.settle_together(&tenants).await;
        if tenants.len() < 2 || !settled.as_ref().is_err_and(is_refusal) {
            return settled;
        }
        let mut settled = Ok(false);
        for one in tenants.chunks(1) {
            let one = self.settle_together(one).await;
            settled = settled.and_then(|more| Ok(more | one?));
        }
        settled
    }

    async fn settle_together(&self, tenants: &[String]) -> sqlx::Result<bool> {
        let most = |tenant: &String| {
            let account = self.account(tenant);
            let quota = |quota| i64::try_from(account.get(quota)).unwrap_or(i64::MAX);
            Usage { items: quota(Quota::Jobs), bytes: quota(Quota::JobBytes) }
        };
        let most: Vec<(String, Usage)> = tenants.iter().map(|tenant| (tenant.clone(), most(tenant))).collect();
        let (store, attempts) = (self.store().clone(), self.0.attempts);
        let settled = self.store().write_for_all(tenants, move |connection| {
            Box::pin(async move {
                // In their turns, which it may have waited for.
                settle(connection, &most, store.now(), attempts).await
            })
        });
        let settled: Settled = settled.await?;
        if settled.jobs {
            self.queue().wake();
        }
        for (tenant, fate, late) in &settled.ticks {
            if fate.reason() == Some(Reason::Quota) {
                // Counts it among the refusals.
                let account = self.account(tenant);
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
                                let state = state.settled(now);
                                rows::advance(connection, &[Advance { tenant: owner, script, state }]).await
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

/// Settles what is due of some tenants, whose turns these are, with what the jobs of
/// each may take up. Those that do not say are tried `attempts` times.
async fn settle(
    connection: &mut Connection,
    most: &[(String, Usage)],
    now: Millis,
    attempts: i64,
) -> sqlx::Result<Settled> {
    let tenants: Vec<String> = most.iter().map(|(tenant, _)| tenant.clone()).collect();
    let due = rows::due(connection, &tenants, now, PART).await?;
    if due.is_empty() {
        // Another host has.
        return Ok(Settled::default());
    }
    let mut more = due.len() as i64 == PART;
    let used = usage::of_all(connection, &tenants, Room::Jobs).await?;
    let mut rooms: HashMap<String, i64> = HashMap::with_capacity(most.len());
    for (tenant, most) in most {
        let used = used.get(tenant).copied().unwrap_or_default();
        rooms.insert(tenant.clone(), if used.bytes < most.bytes { most.items - used.items } else { 0 });
    }
    let (mut ticks, mut advances) = (Vec::new(), Vec::new());
    for one in due {
        if ticks.len() >= TICKS {
            more = true;
            break;
        }
        let room = rooms.entry(one.tenant.clone()).or_default();
        ticks.extend(one.decide(now, attempts, room));
        let state = one.state.settled(now);
        advances.push(Advance { tenant: one.tenant, script: one.script, state });
    }
    rows::insert_ticks(connection, now, &mut ticks).await?;
    // In the order of the ticks, which is that of those that run one after the other.
    let jobs: Vec<(&str, &NewJob)> =
        ticks.iter().filter_map(|tick| Some((tick.tenant.as_str(), tick.job.as_ref()?))).collect();
    queue::insert_for_all(connection, now, &jobs).await?;
    rows::advance(connection, &advances).await?;
    let jobs = !jobs.is_empty();
    let ticks = ticks.into_iter().map(|tick| (tick.tenant, tick.fate, now - tick.tick)).collect();
    Ok(Settled { ticks, more, jobs })
}

impl Due {
    /// What becomes of its ticks, and what runs for them. `room` is how many jobs
    /// there may be yet.
    fn decide(&self, now: Millis, attempts: i64, room: &mut i64) -> Vec<Tick> {
        let Due { tenant, script, state, undone } = self;
        let (Ok(timetable), Ok(policy)) = (state.cron.timetable(), state.cron.policy()) else {
            // What could not be read any more is said when its state is reckoned.
            return Vec::new();
        };
        let times = timetable.between(state.settled_to, now, MOST_TICKS);
        let fates = policy.decide(&times, now, *undone);
        let settled = times.into_iter().zip(fates).map(|(tick, fate)| {
            let fate = if fate.runs() && *room <= 0 { Fate::Skipped(Reason::Quota) } else { fate };
            let job = fate.runs().then(|| {
                *room -= 1;
                let attempts = state.cron.attempts.unwrap_or(attempts);
                NewJob { attempts, ..job(tenant, script, state, &policy, tick, fate) }
            });
            Tick { tenant: tenant.clone(), script: script.clone(), tick, fate, job }
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
