//! What a tenant may use of what all share: a list with defaults, and the
//! accounts that are charged. Every refusal is a [`Exceeded`], and is counted.
//!
//! A quota per minute flows back evenly: a tenant that has used nothing may use
//! a minute's worth at once, and then as much as flows back. Accounts are kept
//! in memory, so a restarted host has forgotten what was used.

mod account;
mod ledger;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use account::{Account, Admission};
pub use ledger::{Ledger, Refusal};

use crate::runtime::failure::Failure;
use crate::runtime::limits::limits;

limits! {
    /// A quota by name.
    enum Quota;
    /// The quotas in force for a tenant. Sizes in bytes, everything else a
    /// count. 0 is no limit for those per minute, and nothing at all for others.
    struct Quotas;
    section "quotas";

    /// Calls that run at once; further ones wait. Half of the sandboxes that
    /// there are by default, so that two tenants that are busy still leave room.
    ConcurrentCalls concurrent_calls: Count = 32;
    /// Calls that wait for a sandbox, or that are still being sent; further ones
    /// are refused. A quarter of the requests that a host takes by default.
    WaitingCalls waiting_calls: Count = 128;
    /// Calls that begin. What they cost is bounded by the others.
    CallsPerMinute calls_per_minute: Count = 0;
    /// Work, as the limit `fuel` counts it. How much a tenant pays for is the operator's to say; that
    /// it leaves others their turn does not depend on it.
    FuelPerMinute fuel_per_minute: Count = 0;
    /// HTTP requests of scripts, redirects included: a host must not be made to
    /// flood somebody else's.
    HttpCallsPerMinute http_calls_per_minute: Count = 3_000;
    /// Published events: each is a write to the disk that all share.
    EventsPerMinute events_per_minute: Count = 6_000;
    /// Keys in the storage.
    StorageKeys storage_keys: Count = 100_000;
    /// Bytes of keys and values in the storage.
    StorageBytes storage_bytes: Size = 64 << 20;
    /// Scripts in the host's database. Each is looked through when a host starts.
    Scripts scripts: Count = 2_000;
    /// Bytes of all their versions, which are kept: years of daily changes to a
    /// few dozen scripts.
    ScriptBytes script_bytes: Size = 256 << 20;
    /// Tokens that its users made and that have not expired.
    Tokens tokens: Count = 200;
    /// Jobs that wait, run or are dead letters: a night's work of a busy tenant.
    Jobs jobs: Count = 100_000;
    /// Bytes of them, their arguments included.
    JobBytes job_bytes: Size = 256 << 20;
}

impl Quota {
    fn is_rate(self) -> bool {
        self.name().ends_with("_per_minute")
    }

    /// What an error says: the quota, its value, what was used, the setting.
    fn message(self, value: u64, used: u64) -> String {
        let what = self.name().replace('_', " ").replace("http", "HTTP");
        let (value, used) = self.shown(value, used);
        format!(
            "the quota of {what} is {value}, and this tenant used {used}; the setting {} changes it",
            self.setting()
        )
    }
}

/// A tenant has used what it may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", quota.message(*value, *used))]
pub struct Exceeded {
    pub quota: Quota,
    pub value: u64,
    /// What would have been used.
    pub used: u64,
    /// When the same may be tried again with hope, from now. At least a second.
    pub retry_after: Duration,
}

impl From<Exceeded> for Failure {
    fn from(exceeded: Exceeded) -> Failure {
        let Exceeded { quota, value, used, .. } = exceeded;
        Failure { limit: Some(quota.hit(value, used)), ..Failure::new("LimitError", quota.message(value, used)) }
    }
}
