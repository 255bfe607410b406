//! One tenant's account.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::ledger::Refusals;
use super::{Exceeded, Quota, Quotas};
use crate::runtime::limits::Unit;
use crate::store::clock::Clock;

/// In nanoseconds, as all times here.
const MINUTE: i64 = 60 * 1_000_000_000;

const SECOND: Duration = Duration::from_secs(1);

const QUOTAS: usize = Quota::ALL.len();

/// What a tenant may use and has used. Charging it takes no lock.
#[derive(Debug)]
pub struct Account {
    tenant: Arc<str>,
    clock: Clock,
    quotas: [AtomicU64; QUOTAS],
    /// For each quota per minute, when all that was used will have flowed back
    /// (the generic cell rate algorithm, ITU-T I.371).
    restored: [AtomicI64; QUOTAS],
    /// Calls that were admitted and have not ended.
    under_way: AtomicU64,
    refusals: Arc<Refusals>,
}

/// A call that counts as under way until this is dropped.
#[derive(Debug)]
pub struct Admission(Arc<Account>);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Account {
    pub(super) fn new(tenant: Arc<str>, quotas: &Quotas, clock: Clock, refusals: Arc<Refusals>) -> Account {
        let account = Account {
            tenant,
            clock,
            quotas: Default::default(),
            restored: Default::default(),
            under_way: AtomicU64::new(0),
            refusals,
        };
        account.set(quotas);
        account
    }

    pub(super) fn set(&self, quotas: &Quotas) {
        for quota in Quota::ALL {
            self.quotas[*quota as usize].store(quotas.get(*quota), Ordering::Relaxed);
        }
    }

    /// The tenant's id.
    pub fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    pub fn get(&self, quota: Quota) -> u64 {
        self.quotas[quota as usize].load(Ordering::Relaxed)
    }

    /// Lets a call begin, or refuses it where too many of this tenant are under
    /// way, or its minute's calls or fuel are used up.
    pub fn admit(self: &Arc<Self>) -> Result<Admission, Exceeded> {
        let admission = {
            let before = self.under_way.fetch_add(1, Ordering::Relaxed);
            let admission = Admission(self.clone());
            let waiting = self.get(Quota::WaitingCalls);
            if before >= self.get(Quota::ConcurrentCalls).saturating_add(waiting) {
                return Err(self.refuse(Quota::WaitingCalls, waiting.saturating_add(1), SECOND));
            }
            admission
        };
        if self.left(Quota::FuelPerMinute) == Some(0) {
            return Err(self.exhausted(Quota::FuelPerMinute));
        }
        self.take(Quota::CallsPerMinute, 1)?;
        Ok(admission)
    }

    /// Err where `used` is beyond the quota. For what is kept elsewhere.
    pub fn check(&self, quota: Quota, used: u64) -> Result<(), Exceeded> {
        if used > self.get(quota) { Err(self.refuse(quota, used, SECOND)) } else { Ok(()) }
    }

    /// Uses some of a quota per minute, or refuses and uses nothing.
    pub fn take(&self, quota: Quota, by: u64) -> Result<(), Exceeded> {
        let Some(cost) = self.cost(quota, by) else { return Ok(()) };
        let now = self.now();
        let taken = self.restored[quota as usize].fetch_update(Ordering::Relaxed, Ordering::Relaxed, |restored| {
            let after = restored.max(now).saturating_add(cost);
            (after - now <= MINUTE).then_some(after)
        });
        taken.map(|_| ()).map_err(|restored| {
            let behind = restored.max(now).saturating_add(cost) - now;
            self.refuse(quota, self.amount(quota, behind), Duration::from_nanos((behind - MINUTE).max(0) as u64))
        })
    }

    /// Charges a quota per minute for what was used already, be it too much: the
    /// debt has to flow back before anything else is granted.
    pub fn charge(&self, quota: Quota, used: u64) {
        let Some(cost) = self.cost(quota, used) else { return };
        let now = self.now();
        let restored = &self.restored[quota as usize];
        // It never answers None.
        let _ = restored.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |restored| {
            Some(restored.max(now).saturating_add(cost))
        });
    }

    /// What is left of a quota per minute. None where it has no limit.
    pub fn left(&self, quota: Quota) -> Option<u64> {
        let value = self.get(quota);
        (value > 0).then(|| value.saturating_sub(self.amount(quota, self.behind(quota))))
    }

    /// That a quota per minute is used up.
    pub fn exhausted(&self, quota: Quota) -> Exceeded {
        let behind = self.behind(quota);
        let wait = Duration::from_nanos((behind - MINUTE).max(0) as u64);
        self.refuse(quota, self.amount(quota, behind).max(self.get(quota)), wait)
    }

    /// Whether a new account would be no different.
    pub(super) fn is_idle(&self) -> bool {
        let now = self.now();
        self.under_way.load(Ordering::Relaxed) == 0
            && self.restored.iter().all(|restored| restored.load(Ordering::Relaxed) <= now)
    }

    fn refuse(&self, quota: Quota, used: u64, wait: Duration) -> Exceeded {
        self.refusals.count(&self.tenant, quota);
        Exceeded { quota, value: self.get(quota), used, retry_after: wait.max(SECOND) }
    }

    /// How long it takes until what was used has flowed back.
    fn behind(&self, quota: Quota) -> i64 {
        let now = self.now();
        self.restored[quota as usize].load(Ordering::Relaxed).max(now) - now
    }

    fn now(&self) -> i64 {
        self.clock.elapsed().saturating_mul(1_000_000)
    }

    /// How long it takes until so much has flowed back. None without a limit.
    fn cost(&self, quota: Quota, amount: u64) -> Option<i64> {
        let value = self.get(quota);
        debug_assert!(quota.is_rate() && quota.unit() == Unit::Count, "{quota:?} is used by the minute");
        let cost = (u128::from(amount) * MINUTE as u128).div_ceil(u128::from(value.max(1)));
        (value > 0).then(|| i64::try_from(cost).unwrap_or(i64::MAX))
    }

    /// What flows back in that time, rounded up.
    fn amount(&self, quota: Quota, behind: i64) -> u64 {
        let amount = (behind.max(0) as u128 * u128::from(self.get(quota))).div_ceil(MINUTE as u128);
        u64::try_from(amount).unwrap_or(u64::MAX)
    }
}
