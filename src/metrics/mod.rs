//! Metrics, for Prometheus.
//!
//! What a series is named after is bounded: beyond so many tenants, or scripts,
//! all others are `other`. Names of tenants and scripts come from the host; what
//! scripts publish themselves is bounded in number and spelling.

mod bounds;
mod listener;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value};

use crate::queue::Counts;
use crate::runtime::control::Used;
use crate::settings::MetricsSettings;
use crate::tenant::Identity;
use crate::tenant::quota::Refusal;
use crate::triggers::schedules::policy::Fate;
use bounds::Bounds;
pub use listener::{Listener, content_type};

/// The event whose numbers become metrics.
pub const EVENT: &str = "script.metric";

/// Seconds: from a call that does next to nothing to the default timeout and beyond.
const SECONDS: [f64; 14] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0];
/// Bytes.
const MEMORY: [f64; 8] = [1e6, 2e6, 4e6, 8e6, 16e6, 32e6, 64e6, 128e6];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByScript {
    tenant: Arc<str>,
    script: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    tenant: Arc<str>,
    script: Arc<str>,
    trigger: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTenant {
    tenant: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTrigger {
    tenant: Arc<str>,
    trigger: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLimit {
    tenant: Arc<str>,
    limit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByQuota {
    tenant: Arc<str>,
    quota: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByMetric {
    tenant: Arc<str>,
    script: Arc<str>,
    metric: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySource {
    tenant: Arc<str>,
    source: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByWay {
    way: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: &'static str,
}

type Float = Counter<f64, AtomicU64>;

/// The metrics of a host.
pub struct Metrics {
    bounds: Mutex<Bounds>,
    registry: Registry,
    executions: Family<ByStatus, Counter>,
    durations: Family<ByTrigger, Histogram>,
    waits: Family<ByTenant, Histogram>,
    seconds: Family<ByScript, Float>,
    fuel: Family<ByScript, Counter>,
    memory: Family<ByTenant, Histogram>,
    host_calls: Family<ByScript, Counter>,
    limits: Family<ByLimit, Counter>,
    sums: Family<ByMetric, Gauge<f64, AtomicU64>>,
    counts: Family<ByMetric, Counter>,
    ignored: Counter,
    unrecorded: Family<ByState, Counter>,
    refusals: Family<ByQuota, Counter>,
    events: Family<BySource, Counter>,
    bridged: Family<ByWay, Counter>,
    bridge_waiting: Gauge,
    ticks: Family<ByState, Counter>,
    lateness: Histogram,
    under_way: Gauge,
    sandboxes: Family<ByState, Gauge>,
    jobs: Family<ByState, Gauge>,
    oldest_job: Gauge<f64, AtomicU64>,
    attempts: Family<ByState, Counter>,
    dead: Counter,
}

/// An execution that has ended.
pub struct Ran<'a> {
    pub tenant: &'a str,
    pub script: &'a str,
    pub trigger: &'a str,
    pub status: &'static str,
    /// The limit that stopped it.
    pub limit: Option<&'a str>,
    pub duration: Duration,
    pub used: Used,
}

/// What is read when metrics are asked for.
#[derive(Debug, Clone, Default)]
pub struct Now {
    /// Executions that run or wait.
    pub under_way: usize,
    /// Sandboxes, and those of them that are in use.
    pub sandboxes: usize,
    pub busy: usize,
    /// Calls that wait for one.
    pub waiting: usize,
    pub refusals: Vec<Refusal>,
    pub jobs: Counts,
}

impl Metrics {
    pub fn new(settings: &MetricsSettings) -> Metrics {
        let seconds: fn() -> Histogram = || Histogram::new(SECONDS);
        let memory: fn() -> Histogram = || Histogram::new(MEMORY);
        let mut metrics = Metrics {
            bounds: Mutex::new(Bounds::new(settings.max_tenants, settings.max_scripts)),
            registry: Registry::with_prefix("airlock"),
            executions: Family::default(),
            durations: Family::new_with_constructor(seconds),
            waits: Family::new_with_constructor(seconds),
            seconds: Family::default(),
            fuel: Family::default(),
            memory: Family::new_with_constructor(memory),
            host_calls: Family::default(),
            limits: Family::default(),
            sums: Family::default(),
            counts: Family::default(),
            ignored: Counter::default(),
            unrecorded: Family::default(),
            refusals: Family::default(),
            events: Family::default(),
            bridged: Family::default(),
            bridge_waiting: Gauge::default(),
            ticks: Family::default(),
            lateness: Histogram::new(SECONDS),
            under_way: Gauge::default(),
            sandboxes: Family::default(),
            jobs: Family::default(),
            oldest_job: Gauge::default(),
            attempts: Family::default(),
            dead: Counter::default(),
        };
        let m = &metrics;
        let mut registry = Registry::with_prefix("airlock");
        registry.register("executions", "Executions that have ended", m.executions.clone());
        registry.register("execution_duration_seconds", "How long executions ran", m.durations.clone());
        registry.register("execution_queue_seconds", "How long executions waited for a sandbox", m.waits.clone());
        registry.register("execution_seconds", "Time that executions ran, all together", m.seconds.clone());
        registry.register("fuel", "Work done, as the limit fuel counts it", m.fuel.clone());
        registry.register("execution_memory_bytes", "Memory of executions at its largest", m.memory.clone());
        registry.register("host_calls", "Host calls of executions", m.host_calls.clone());
        registry.register("limits_hit", "Executions that a limit stopped", m.limits.clone());
        registry.register("script_metric_sum", "Numbers in script.metric events, added up", m.sums.clone());
        registry.register("script_metric_samples", "Numbers in script.metric events", m.counts.clone());
        registry.register("script_metric_ignored", "Numbers beyond what is kept apart", m.ignored.clone());
        registry.register("executions_unrecorded", "Records left out or shortened for speed", m.unrecorded.clone());
        registry.register("quota_refusals", "What tenants were refused for want of a quota", m.refusals.clone());
        registry.register("events_published", "Events published, by what they come from", m.events.clone());
        registry.register("nats_events", "Events sent to NATS and taken from there", m.bridged.clone());
        registry.register("nats_events_waiting", "Events of all hosts that are to be sent", m.bridge_waiting.clone());
        registry.register("executions_under_way", "Executions that run or wait", m.under_way.clone());
        registry.register("sandboxes", "Sandboxes by state, and calls that wait for one", m.sandboxes.clone());
        registry.register("jobs", "Jobs of all hosts by state", m.jobs.clone());
        registry.register("job_wait_seconds", "How long the job waits that waits longest", m.oldest_job.clone());
        registry.register("job_attempts", "Attempts of jobs by what they came to", m.attempts.clone());
        registry.register("dead_letters", "Jobs that were given up", m.dead.clone());
        registry.register("schedule_ticks", "Ticks of schedules, by what became of them", m.ticks.clone());
        registry.register("schedule_lateness_seconds", "How late ticks were queued", m.lateness.clone());
        metrics.registry = registry;
        metrics
    }

    /// Counts an execution that has ended.
    pub fn ran(&self, ran: &Ran<'_>) {
        let (tenant, script) = self.names(ran.tenant, ran.script);
        let trigger = trigger(ran.trigger);
        let seconds = ran.duration.as_secs_f64();
        let by_script = ByScript { tenant: tenant.clone(), script: script.clone() };
        let by_tenant = ByTenant { tenant: tenant.clone() };
        let by_status = ByStatus { tenant: tenant.clone(), script, trigger, status: ran.status };
        self.executions.get_or_create(&by_status).inc();
        self.durations.get_or_create(&ByTrigger { tenant: tenant.clone(), trigger }).observe(seconds);
        self.waits.get_or_create(&by_tenant).observe(ran.used.waited.as_secs_f64());
        self.seconds.get_or_create(&by_script).inc_by(seconds);
        self.fuel.get_or_create(&by_script).inc_by(ran.used.fuel);
        self.memory.get_or_create(&by_tenant).observe(ran.used.memory_bytes as f64);
        self.host_calls.get_or_create(&by_script).inc_by(ran.used.host_calls);
        if let Some(limit) = ran.limit {
            self.limits.get_or_create(&ByLimit { tenant, limit: bounds::limit(limit) }).inc();
        }
    }

    /// The numbers of an event that a script published. Everything in it is the
    /// script's word, but not for whom it is.
    pub fn published(&self, identity: &Identity, data: &str) {
        let Ok(data) = serde_json::from_str::<Map<String, Value>>(data) else { return };
        let (tenant, script) = self.names(&identity.tenant.id, &identity.script.name);
        for (name, value) in data {
            let Some(value) = value.as_f64().filter(|value| value.is_finite()) else { continue };
            let known = self.bounds.lock().unwrap_or_else(PoisonError::into_inner).metric(&tenant, &script, &name);
            if !known {
                self.ignored.inc();
                continue;
            }
            let by = ByMetric { tenant: tenant.clone(), script: script.clone(), metric: name };
            self.sums.get_or_create(&by).inc_by(value);
            self.counts.get_or_create(&by).inc();
        }
    }

    /// Counts an event that was published. `source` is one of few.
    pub fn event(&self, tenant: &str, source: &'static str) {
        let (tenant, _) = self.names(tenant, "");
        self.events.get_or_create(&BySource { tenant, source }).inc();
    }

    /// Counts an event that goes `out` or comes `in`, by what became of it.
    pub fn bridged(&self, way: &'static str, state: &'static str) {
        self.bridged.get_or_create(&ByWay { way, state }).inc();
    }

    /// How many events are to be sent.
    pub fn bridge_waiting(&self, events: i64) {
        self.bridge_waiting.set(events);
    }

    /// Counts an attempt of a job, by what it came to.
    pub fn attempted(&self, state: &'static str) {
        self.attempts.get_or_create(&ByState { state }).inc();
    }

    /// Counts jobs that are dead letters now.
    pub fn died(&self, jobs: usize) {
        self.dead.inc_by(jobs as u64);
    }

    /// Counts a tick of a schedule, settled so long after its time.
    pub fn tick(&self, fate: Fate, late: Duration) {
        self.ticks.get_or_create(&ByState { state: fate.name() }).inc();
        if fate == Fate::Queued {
            self.lateness.observe(late.as_secs_f64());
        }
    }

    /// How many records were left out, and how many shortened, since the start.
    pub fn left_out(&self, left_out: u64, shortened: u64) {
        for (state, count) in [("left_out", left_out), ("shortened", shortened)] {
            let counter = self.unrecorded.get_or_create(&ByState { state });
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }

    /// All of it, as OpenMetrics text.
    pub fn text(&self, now: &Now) -> String {
        self.under_way.set(now.under_way as i64);
        let free = now.sandboxes.saturating_sub(now.busy);
        for (state, count) in [("busy", now.busy), ("free", free), ("waited_for", now.waiting)] {
            self.sandboxes.get_or_create(&ByState { state }).set(count as i64);
        }
        self.jobs.clear();
        for (state, count) in &now.jobs.jobs {
            self.jobs.get_or_create(&ByState { state: state.name() }).set(*count);
        }
        self.oldest_job.set(now.jobs.oldest as f64 / 1e3);
        self.refusals.clear();
        for refusal in &now.refusals {
            let (tenant, _) = self.names(&refusal.tenant, "");
            self.refusals.get_or_create(&ByQuota { tenant, quota: refusal.quota.name() }).inc_by(refusal.count);
        }
        let mut text = String::new();
        // Writing to a text can't fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }

    fn names(&self, tenant: &str, script: &str) -> (Arc<str>, Arc<str>) {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner).names(tenant, script)
    }
}

/// The triggers that there are; an embedding application may name others.
fn trigger(name: &str) -> &'static str {
    const KNOWN: [&str; 6] = ["http", "api", "cron", "event", "manual", "oneoff"];
    KNOWN.into_iter().find(|known| *known == name).unwrap_or(bounds::OTHER)
}
