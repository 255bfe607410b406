//! Scripts that run by the clock.
//!
//! A schedule is kept beside its script and changes in the same transaction. Each
//! time that it names is a tick, and each tick is settled once: it is queued as a
//! job, or on record with the reason why not. `scheduler.rs` does that; what is
//! decided there, `timetable.rs`, `policy.rs` and `state.rs` decide without asking
//! the clock or the database.

pub mod cron;
mod listed;
pub mod policy;
mod rows;
mod scheduler;
mod state;
#[cfg(test)]
mod tests;
pub mod timetable;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

pub use cron::Cron;
pub use listed::{Listed, Tick};
pub use state::State;

use crate::metrics::Metrics;
use crate::queue::{self, Caller, NewJob, Queue, Trigger};
use crate::scripts::shelf::Places;
use crate::scripts::{Refused, Stored};
use crate::settings::{ScheduleSettings, Settings};
use crate::store::clock::{Millis, millis, rfc3339};
use crate::store::{Connection, Store, plain};
use crate::tenant::quota::{Account, Ledger};

/// How often old ticks are deleted, and a wrong clock is looked for.
const HOUSE: Duration = Duration::from_secs(600);
/// Schedules whose old ticks one transaction deletes.
const PART: i64 = 100;
/// The longest wait for a database that is away.
const MOST_PATIENT: Duration = Duration::from_secs(10);

/// The schedules of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Schedules(Arc<Inner>);

struct Inner {
    store: Store,
    queue: Queue,
    places: Arc<Places>,
    quotas: Ledger,
    metrics: Arc<Metrics>,
    settings: ScheduleSettings,
    /// How often a run is tried whose schedule does not say.
    attempts: i64,
}

impl Schedules {
    pub fn new(
        store: Store,
        queue: Queue,
        places: Arc<Places>,
        quotas: Ledger,
        metrics: Arc<Metrics>,
        settings: &Settings,
    ) -> Schedules {
        let attempts = i64::from(settings.queue.attempts);
        let settings = settings.schedules.clone();
        Schedules(Arc::new(Inner { store, queue, places, quotas, metrics, settings, attempts }))
    }

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn queue(&self) -> &Queue {
        &self.0.queue
    }

    fn places(&self) -> &Places {
        &self.0.places
    }

    fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    fn account(&self, tenant: &str) -> Arc<Account> {
        self.0.quotas.account(tenant)
    }

    /// Notes the schedules of the settings, and forgets those that they have no
    /// more. Of hosts with other settings, the one that began last is believed.
    pub async fn begin(&self) -> sqlx::Result<()> {
        let mut known = self.store().read(|connection| Box::pin(rows::of_settings(connection))).await?;
        for place in self.places().iter() {
            let (tenant, now) = (place.tenant.id.clone(), self.store().now());
            let mut gone: HashMap<String, State> = known.remove(&tenant).unwrap_or_default();
            let mut changed = Vec::new();
            for script in place.own() {
                let Some(cron) = &script.cron else { continue };
                let before = gone.remove(&script.id);
                if Some(State::following(before.clone(), cron.clone(), true, now)) != before {
                    changed.push((script.id.clone(), cron.clone()));
                }
            }
            if gone.is_empty() && changed.is_empty() {
                continue;
            }
            let noted: sqlx::Result<()> = self
                .store()
                .write(&place.tenant.id, move |connection| {
                    Box::pin(async move {
                        for script in gone.keys() {
                            rows::delete(connection, &tenant, script).await?;
                        }
                        for (script, cron) in &changed {
                            note(connection, &tenant, script, false, cron, true, now).await?;
                        }
                        Ok(())
                    })
                })
                .await;
            noted?;
        }
        Ok(())
    }

    /// Notes the schedules of the settings, and settles ticks until this is dropped.
    pub async fn run(self) {
        let mut has_begun = false;
        let mut kept_house: Option<Instant> = None;
        let mut patience = Duration::ZERO;
        loop {
            let turn = async {
                if !has_begun {
                    self.begin().await?;
                    has_begun = true;
                }
                if kept_house.is_none_or(|at| at.elapsed() >= HOUSE) {
                    self.keep_house().await?;
                    kept_house = Some(Instant::now());
                }
                self.turn().await
            };
            let wait = match turn.await {
                Ok(wait) => {
                    if !patience.is_zero() {
                        tracing::info!("schedules go on");
                        patience = Duration::ZERO;
                    }
                    wait
                }
                Err(reason) => {
                    if patience.is_zero() {
                        tracing::error!(%reason, "schedules wait for the host's database");
                    }
                    patience = (patience * 2).clamp(Duration::from_millis(100), MOST_PATIENT);
                    patience
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Puts right what a wrong clock has done, and deletes ticks that were kept
    /// long enough.
    async fn keep_house(&self) -> sqlx::Result<()> {
        self.put_right().await?;
        let settings = &self.0.settings;
        let before = self.store().now() - millis(settings.keep);
        let most = i64::try_from(settings.max_ticks).unwrap_or(i64::MAX);
        let mut after = (String::new(), String::new());
        loop {
            let swept: sqlx::Result<Vec<(String, String)>> = self
                .store()
                .write_without_turn(move |connection| {
                    Box::pin(async move {
                        let keys = rows::keys(connection, &after, PART).await?;
                        for (tenant, script) in &keys {
                            rows::sweep(connection, tenant, script, before, most).await?;
                        }
                        Ok(keys)
                    })
                })
                .await;
            match swept?.pop() {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    /// A tenant's schedules by their scripts' names, after one.
    pub async fn list(&self, tenant: &str, after: &str, most: i64) -> Result<Vec<Listed>, Refused> {
        let (tenant, after) = (tenant.to_owned(), plain(after));
        let found = self.store().read(move |connection| {
            Box::pin(async move { listed::schedules(connection, &tenant, &after, most).await })
        });
        Ok(found.await?)
    }

    /// One of them, by its script's id or name.
    pub async fn get(&self, tenant: &str, named: &str) -> Result<Listed, Refused> {
        let (tenant, named) = (tenant.to_owned(), plain(named));
        let found = self
            .store()
            .read(move |connection| Box::pin(async move { listed::schedule(connection, &tenant, &named).await }));
        found.await?.ok_or(Refused::NotFound)
    }

    /// Its ticks before a time, the latest first.
    pub async fn ticks(&self, tenant: &str, script: &str, before: Millis, most: i64) -> Result<Vec<Tick>, Refused> {
        let (tenant, script) = (tenant.to_owned(), script.to_owned());
        let found = self.store().read(move |connection| {
            Box::pin(async move { listed::ticks(connection, &tenant, &script, before, most).await })
        });
        Ok(found.await?)
    }

    /// Lets a schedule rest, or wakes it. What it sleeps through is not missed.
    pub async fn pause(&self, tenant: &str, named: &str, paused: bool) -> Result<Listed, Refused> {
        let script = self.get(tenant, named).await?.script;
        let (owner, id, now) = (tenant.to_owned(), script.clone(), self.store().now());
        let done: Result<(), Refused> = self
            .store()
            .write(tenant, move |connection| {
                Box::pin(async move {
                    let before = rows::state(connection, &owner, &id).await?.ok_or(Refused::NotFound)?;
                    rows::rest(connection, &owner, &id, &before.resting(paused, now)).await?;
                    Ok(())
                })
            })
            .await;
        done?;
        self.get(tenant, &script).await
    }

    /// Runs a scheduled script once, now, whatever its schedule says, as the job
    /// of that id.
    pub async fn run_now(&self, tenant: &str, listed: &Listed, id: &str, caller: Caller) -> Result<(), queue::Refused> {
        let cron = &listed.state.cron;
        let job = NewJob {
            id: Some(id.to_owned()),
            input: Some(input(cron, self.store().now(), false)),
            caller: Some(caller),
            attempts: cron.attempts.unwrap_or(self.0.attempts),
            ..NewJob::new(&listed.script, Trigger::Api)
        };
        self.queue().add(self.account(tenant), vec![job]).await
    }
}

/// What a scheduled script is called with.
fn input(cron: &Cron, time: Millis, caught_up: bool) -> String {
    let input = json!({
        "scheduledAt": rfc3339(time),
        "schedule": cron.schedule,
        "timezone": cron.timezone,
        "caughtUp": caught_up,
    });
    input.to_string()
}

/// Follows a change of a script in the host's database. Belongs into the
/// transaction that makes the change, in the tenant's turn.
pub async fn follow(connection: &mut Connection, tenant: &str, script: &Stored, now: Millis) -> sqlx::Result<()> {
    match &script.draft.cron {
        Some(cron) => {
            let enabled = script.enabled && script.deployed.is_some();
            note(connection, tenant, &script.id, true, cron, enabled, now).await
        }
        None => forget(connection, tenant, &script.id).await,
    }
}

/// Deletes the schedule of a script, if it has one, with its ticks.
pub async fn forget(connection: &mut Connection, tenant: &str, script: &str) -> sqlx::Result<()> {
    rows::delete(connection, tenant, script).await
}

async fn note(
    connection: &mut Connection,
    tenant: &str,
    script: &str,
    is_stored: bool,
    cron: &Cron,
    enabled: bool,
    now: Millis,
) -> sqlx::Result<()> {
    let before = rows::state(connection, tenant, script).await?;
    let state = State::following(before.clone(), cron.clone(), enabled, now);
    if before.as_ref() != Some(&state) {
        rows::put(connection, tenant, script, is_stored, &state).await?;
    }
    Ok(())
}
