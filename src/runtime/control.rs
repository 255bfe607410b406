//! What others know of a call while it is under way, and how they stop it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Shared by a call and by who watches it.
#[derive(Debug, Default)]
pub struct Control {
    cancelled: AtomicBool,
    told: Notify,
    recalled: AtomicBool,
    called_back: Notify,
    /// Microseconds that it waited for its sandbox.
    waited: AtomicU64,
    fuel: AtomicU64,
    memory_bytes: AtomicU64,
    host_calls: AtomicU64,
    /// Whether its result shows a secret that it was given.
    secret: AtomicBool,
}

/// What a call has used so far: nothing before its sandbox is closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    pub waited: Duration,
    pub fuel: u64,
    pub memory_bytes: u64,
    pub host_calls: u64,
}

impl Control {
    /// Stops the call, before or while it runs. Nothing in the script can catch it.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        // Kept for a call that does not listen yet.
        self.told.notify_one();
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Resolves once the call is to stop. The call alone waits for it.
    pub(super) async fn cancelled(&self) {
        while !self.is_cancelled() {
            self.told.notified().await;
        }
    }

    /// The call is not to begin. One that has a sandbox goes on.
    pub fn recall(&self) {
        self.recalled.store(true, Ordering::Relaxed);
        self.called_back.notify_one();
    }

    /// Resolves once the call is not to begin. The call alone waits for it.
    pub(super) async fn recalled(&self) {
        while !self.recalled.load(Ordering::Relaxed) {
            self.called_back.notified().await;
        }
    }

    pub(super) fn waited(&self, waited: Duration) {
        self.waited.store(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn used(&self, fuel: u64, memory_bytes: u64, host_calls: u64) {
        self.fuel.store(fuel, Ordering::Relaxed);
        self.memory_bytes.store(memory_bytes, Ordering::Relaxed);
        self.host_calls.store(host_calls, Ordering::Relaxed);
    }

    pub(super) fn shows_secret(&self) {
        self.secret.store(true, Ordering::Relaxed);
    }

    /// Whether the call's result is not to be kept: it shows a secret.
    pub fn result_is_secret(&self) -> bool {
        self.secret.load(Ordering::Relaxed)
    }

    pub fn read(&self) -> Used {
        Used {
            waited: Duration::from_micros(self.waited.load(Ordering::Relaxed)),
            fuel: self.fuel.load(Ordering::Relaxed),
            memory_bytes: self.memory_bytes.load(Ordering::Relaxed),
            host_calls: self.host_calls.load(Ordering::Relaxed),
        }
    }
}
