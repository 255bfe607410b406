//! What a host has in hand: how many jobs, and whose.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The jobs of a host, from when they are claimed until it is on record what
/// became of them.
#[derive(Debug, Default)]
pub struct Hands {
    held: Mutex<Held>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    jobs: usize,
    /// Those whose calls have not ended.
    tenants: HashMap<String, usize>,
}

/// A job in hand until this is dropped.
#[derive(Debug)]
pub struct Grip(Arc<Hands>);

/// A call of a job that has not ended until this is dropped.
#[derive(Debug)]
pub struct Call {
    hands: Arc<Hands>,
    tenant: String,
}

impl Hands {
    pub fn jobs(&self) -> usize {
        self.held().jobs
    }

    /// Calls of a tenant.
    pub fn calls(&self, tenant: &str) -> usize {
        self.held().tenants.get(tenant).copied().unwrap_or_default()
    }

    pub fn take(self: &Arc<Self>, tenant: &str) -> (Grip, Call) {
        let mut held = self.held();
        held.jobs += 1;
        *held.tenants.entry(tenant.to_owned()).or_default() += 1;
        (Grip(self.clone()), Call { hands: self.clone(), tenant: tenant.to_owned() })
    }

    /// Waits until a job or a call has ended since the last time.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Waits until there are no more jobs than this.
    pub async fn eased(&self, jobs: usize) {
        while self.jobs() > jobs {
            self.freed().await;
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Grip {
    fn drop(&mut self) {
        self.0.held().jobs -= 1;
        self.0.freed.notify_one();
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        {
            let mut held = self.hands.held();
            if let Some(calls) = held.tenants.get_mut(&self.tenant) {
                *calls -= 1;
                if *calls == 0 {
                    held.tenants.remove(&self.tenant);
                }
            }
        }
        self.hands.freed.notify_one();
    }
}
