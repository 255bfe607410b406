//! Until when something may take.

use tokio::time::Instant;

use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};

/// Until when something may take, and the limit that says so.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    pub at: Instant,
    pub limit: Limit,
    /// The limit's value, in milliseconds.
    pub value: u64,
}

impl Deadline {
    /// From now on.
    pub fn of(limits: &Limits, limit: Limit) -> Deadline {
        Deadline { at: Instant::now() + limits.duration(limit), limit, value: limits.get(limit) }
    }

    pub fn failure(&self) -> Failure {
        Failure::limit(self.limit, self.value, self.value)
    }

    pub fn sooner(self, other: Deadline) -> Deadline {
        if other.at < self.at { other } else { self }
    }
}
