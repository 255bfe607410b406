//! Who has queued a job spares it the wait for the next look.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::store::{Listener, Store};

const CHANNEL: &str = "airlock_jobs";
/// How often other hosts are told at most: each time wakes all of them.
const EVERY: Duration = Duration::from_millis(50);

#[derive(Clone)]
pub struct Wake(Arc<Inner>);

struct Inner {
    store: Store,
    here: Notify,
    /// Whether the others are about to be told.
    telling: AtomicBool,
    told: Mutex<Option<Instant>>,
}

impl Wake {
    pub fn new(store: Store) -> Wake {
        Wake(Arc::new(Inner { store, here: Notify::new(), telling: AtomicBool::new(false), told: Mutex::default() }))
    }

    /// Tells this host at once, and the others within 50 ms.
    pub fn wake(&self) {
        self.here();
        if !self.0.store.signals().reach_others() || self.0.telling.swap(true, Ordering::Relaxed) {
            return;
        }
        let inner = self.0.clone();
        tokio::spawn(async move {
            let told = *inner.told.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(told) = told {
                tokio::time::sleep_until(told + EVERY).await;
            }
            *inner.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            // What is queued from here on is told once more.
            inner.telling.store(false, Ordering::Relaxed);
            if let Err(reason) = inner.store.signals().send(CHANNEL).await {
                tracing::debug!(%reason, "the other hosts were not told of a job; they look every second");
            }
        });
    }

    /// Tells this host alone.
    pub fn here(&self) {
        self.0.here.notify_one();
    }

    /// Waits until somebody wakes this host.
    pub async fn woken(&self) {
        self.0.here.notified().await;
    }

    /// Hears the other hosts.
    pub async fn listen(&self) -> sqlx::Result<Listener> {
        self.0.store.signals().listen(CHANNEL).await
    }
}
