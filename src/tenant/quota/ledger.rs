//! All accounts, and how often each tenant was refused.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::{Account, Quota, Quotas};
use crate::store::clock::Clock;

/// Calls of different tenants seldom wait for each other at this many locks.
const SHARDS: usize = 16;
/// Accounts of a shard before the idle among them are looked for.
const FEW: usize = 64;

/// The accounts of all tenants. Cheap to clone.
///
/// An account is opened when it is asked for. One that is idle is no different
/// from a new one and is forgotten, so that a host pays for the tenants that are
/// busy and not for all it has ever seen.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    defaults: Quotas,
    /// Of tenants that have quotas of their own.
    own: RwLock<HashMap<String, Quotas>>,
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    clock: Clock,
    refusals: Arc<Refusals>,
}

#[derive(Default)]
struct Shard {
    accounts: HashMap<Arc<str>, Arc<Account>>,
    /// At how many the idle are looked for next.
    sweep_at: usize,
}

/// How often a tenant was refused something for want of a quota, since the host
/// was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub tenant: String,
    pub quota: Quota,
    pub count: u64,
}

/// Counted apart from the accounts, which are forgotten. Takes room for tenants
/// that were ever refused something, about a hundred bytes each.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<Arc<str>, [u64; Quota::ALL.len()]>>);

impl Refusals {
    pub(super) fn count(&self, tenant: &Arc<str>, quota: Quota) {
        let mut counts = lock(&self.0);
        if !counts.contains_key(tenant) {
            counts.insert(tenant.clone(), Default::default());
        }
        if let Some(counts) = counts.get_mut(tenant) {
            counts[quota as usize] += 1;
        }
    }
}

impl Ledger {
    /// `own` are the quotas of tenants that have others than the defaults.
    pub fn new(defaults: Quotas, own: HashMap<String, Quotas>, clock: Clock) -> Ledger {
        Ledger(Arc::new(Inner {
            defaults,
            own: RwLock::new(own),
            shards: Default::default(),
            hasher: RandomState::new(),
            clock,
            refusals: Arc::default(),
        }))
    }

    /// A tenant's account.
    pub fn account(&self, tenant: &str) -> Arc<Account> {
        let mut shard = self.shard(tenant);
        if let Some(account) = shard.accounts.get(tenant) {
            return account.clone();
        }
        if shard.accounts.len() >= shard.sweep_at.max(FEW) {
            shard.accounts.retain(|_, account| Arc::strong_count(account) > 1 || !account.is_idle());
            // Twice what is left: a sweep costs each new account the same.
            shard.sweep_at = shard.accounts.len() * 2;
        }
        let inner = &self.0;
        let own = inner.own.read().unwrap_or_else(PoisonError::into_inner);
        let quotas = own.get(tenant).unwrap_or(&inner.defaults);
        let id: Arc<str> = tenant.into();
        let account = Arc::new(Account::new(id.clone(), quotas, inner.clock.clone(), inner.refusals.clone()));
        shard.accounts.insert(id, account.clone());
        account
    }

    /// Gives a tenant quotas of its own from now on. What it has used of the old
    /// ones counts in proportion.
    pub fn set(&self, tenant: &str, quotas: Quotas) {
        let shard = self.shard(tenant);
        if let Some(account) = shard.accounts.get(tenant) {
            account.set(&quotas);
        }
        self.0.own.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.to_owned(), quotas);
    }

    /// How often tenants were refused something, by tenant and quota.
    pub fn refusals(&self) -> Vec<Refusal> {
        let counts = lock(&self.0.refusals.0);
        let mut refusals: Vec<Refusal> = counts
            .iter()
            .flat_map(|(tenant, counts)| {
                let refused = Quota::ALL.iter().zip(counts).filter(|(_, count)| **count > 0);
                refused.map(|(quota, count)| Refusal { tenant: tenant.to_string(), quota: *quota, count: *count })
            })
            .collect();
        refusals.sort_by(|a, b| (&a.tenant, a.quota).cmp(&(&b.tenant, b.quota)));
        refusals
    }

    fn shard(&self, tenant: &str) -> MutexGuard<'_, Shard> {
        let hash = self.0.hasher.hash_one(tenant);
        lock(&self.0.shards[hash as usize % SHARDS])
    }

    #[cfg(test)]
    pub(super) fn accounts(&self) -> usize {
        self.0.shards.iter().map(|shard| lock(shard).accounts.len()).sum()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
