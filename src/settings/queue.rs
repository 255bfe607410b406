//! `[queue]`: jobs, and who runs them.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::error::Fault;
use super::file::{MAX_EXECUTIONS, MAX_SANDBOXES, Scalar, count, duration, keep};

/// More would keep a job that cannot succeed for weeks.
pub const MAX_ATTEMPTS: u64 = 100;

/// What scripts are to do, and who does it.
#[derive(Debug, Clone)]
pub struct QueueSettings {
    /// Jobs that this host has in hand at once. 0: it runs none.
    pub concurrency: usize,
    /// How long after its last sign of life a host counts as dead.
    pub lease: Duration,
    /// How often it gives one: at most a third of the lease.
    pub heartbeat: Duration,
    /// How often hosts look for what a dead one has left.
    pub sweep: Duration,
    /// How often a job is tried that does not say.
    pub attempts: u32,
    /// How long a job waits after its first failure; twice as long after each
    /// further one, up to `max_backoff`.
    pub backoff: Duration,
    pub max_backoff: Duration,
    /// How long dead letters are kept, and how many of one tenant.
    pub keep_dead: Duration,
    pub max_dead_per_tenant: u64,
}

impl Default for QueueSettings {
    fn default() -> Self {
        QueueSettings {
            // As many as there are sandboxes: what waits for one is in hand too.
            concurrency: 64,
            lease: Duration::from_secs(30),
            heartbeat: Duration::from_secs(10),
            sweep: Duration::from_secs(5),
            attempts: 5,
            backoff: Duration::from_secs(2),
            max_backoff: Duration::from_secs(10 * 60),
            keep_dead: Duration::from_secs(30 * 24 * 60 * 60),
            max_dead_per_tenant: 10_000,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct QueueTable {
    concurrency: Option<Spanned<Scalar>>,
    lease: Option<Spanned<Scalar>>,
    heartbeat: Option<Spanned<Scalar>>,
    sweep: Option<Spanned<Scalar>>,
    attempts: Option<Spanned<Scalar>>,
    backoff: Option<Spanned<Scalar>>,
    max_backoff: Option<Spanned<Scalar>>,
    keep_dead: Option<Spanned<Scalar>>,
    max_dead_per_tenant: Option<Spanned<Scalar>>,
}

/// Reads the table.
pub(super) fn read(table: &QueueTable, settings: &mut QueueSettings) -> Result<(), Fault> {
    if let Some(count) = count(&table.concurrency, 0..=MAX_SANDBOXES)? {
        settings.concurrency = count as usize;
    }
    for (setting, value) in [
        (&table.lease, &mut settings.lease),
        (&table.heartbeat, &mut settings.heartbeat),
        (&table.sweep, &mut settings.sweep),
        (&table.backoff, &mut settings.backoff),
        (&table.max_backoff, &mut settings.max_backoff),
    ] {
        duration(setting, value)?;
    }
    // Two signs of life may be late before a host counts as dead.
    if settings.heartbeat > settings.lease / 3 {
        let at = table.heartbeat.as_ref().or(table.lease.as_ref()).map(Spanned::span).unwrap_or_default();
        let message = format!(
            "a heartbeat of {} is too seldom for a lease of {}",
            humantime::format_duration(settings.heartbeat),
            humantime::format_duration(settings.lease),
        );
        return Err(Fault::new(at, message).help("make the lease at least three times as long as the heartbeat"));
    }
    if let Some(count) = count(&table.attempts, 1..=MAX_ATTEMPTS)? {
        settings.attempts = count as u32;
    }
    keep(&table.keep_dead, &mut settings.keep_dead)?;
    if let Some(count) = count(&table.max_dead_per_tenant, 1..=MAX_EXECUTIONS)? {
        settings.max_dead_per_tenant = count;
    }
    Ok(())
}
