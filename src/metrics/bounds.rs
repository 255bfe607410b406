//! Bounds what series are named after, whatever scripts and tenants there are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::runtime::limits::Limit;
use crate::tenant::quota::Quota;

pub const OTHER: &str = "other";

/// Metrics that one script may name, and all together.
const OF_A_SCRIPT: usize = 20;
const METRICS: usize = 2_000;
/// A metric's name, in bytes.
const NAME: usize = 64;

/// First come, first named, until the host is started again.
pub struct Bounds {
    max_tenants: usize,
    max_scripts: usize,
    tenants: HashMap<Arc<str>, Tenant>,
    scripts: usize,
    metrics: usize,
    other: Arc<str>,
}

#[derive(Default)]
struct Tenant {
    scripts: HashSet<Arc<str>>,
    metrics: HashMap<Arc<str>, HashSet<String>>,
}

impl Bounds {
    /// Tenants, and scripts of all of them together, that have names. One tenant
    /// names a tenth of the scripts at most, and ten at least.
    pub fn new(max_tenants: usize, max_scripts: usize) -> Bounds {
        Bounds { max_tenants, max_scripts, tenants: HashMap::new(), scripts: 0, metrics: 0, other: OTHER.into() }
    }

    /// The names to use. An empty script is none.
    pub fn names(&mut self, tenant: &str, script: &str) -> (Arc<str>, Arc<str>) {
        if !self.tenants.contains_key(tenant) {
            if self.tenants.len() >= self.max_tenants {
                return (self.other.clone(), self.other.clone());
            }
            self.tenants.insert(tenant.into(), Tenant::default());
        }
        let Some((name, _)) = self.tenants.get_key_value(tenant) else {
            return (self.other.clone(), self.other.clone());
        };
        let name = name.clone();
        let Some(known) = self.tenants.get_mut(tenant) else { return (name, self.other.clone()) };
        if let Some(script) = known.scripts.get(script) {
            return (name, script.clone());
        }
        let of_one = (self.max_scripts / 10).max(10);
        if script.is_empty() || known.scripts.len() >= of_one || self.scripts >= self.max_scripts {
            return (name, self.other.clone());
        }
        let script: Arc<str> = script.into();
        known.scripts.insert(script.clone());
        self.scripts += 1;
        (name, script)
    }

    /// Whether a number that a script published has a name of its own.
    pub fn metric(&mut self, tenant: &str, script: &Arc<str>, metric: &str) -> bool {
        let first = metric.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        let plain = metric.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !first || !plain || metric.len() > NAME || **script == *OTHER {
            return false;
        }
        let Some(known) = self.tenants.get_mut(tenant) else { return false };
        let names = known.metrics.entry(script.clone()).or_default();
        if names.contains(metric) {
            return true;
        }
        let room = names.len() < OF_A_SCRIPT && self.metrics < METRICS;
        if room {
            names.insert(metric.to_owned());
            self.metrics += 1;
        }
        room
    }
}

/// The limit or the quota of that name.
pub fn limit(name: &str) -> &'static str {
    let limit = Limit::named(name).map(Limit::name);
    limit.or_else(|| Quota::named(name).map(Quota::name)).unwrap_or(OTHER)
}
