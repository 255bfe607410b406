//! The host's wall clock, which tests set by hand.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat};

/// Milliseconds since the Unix epoch.
pub type Millis = i64;

/// A length of time. The longest is one that a time can be moved by.
pub fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX / 4)
}

/// A time as `2026-01-05T09:30:00.045Z`.
pub fn rfc3339(time: Millis) -> String {
    let time = DateTime::from_timestamp_millis(time).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A source of the time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    pub fn system() -> Clock {
        Clock(Source::System)
    }

    /// Stands still until it is advanced; its clones advance with it.
    pub fn manual(now: Millis) -> Clock {
        Clock(Source::Manual(Arc::new(AtomicI64::new(now))))
    }

    pub fn now(&self) -> Millis {
        match &self.0 {
            Source::System => chrono::Utc::now().timestamp_millis(),
            Source::Manual(now) => now.load(Ordering::Relaxed),
        }
    }

    /// Whether it is the machine's.
    pub fn is_system(&self) -> bool {
        matches!(self.0, Source::System)
    }

    /// Milliseconds since some time in the past. Only ever goes on, where the
    /// time of day may be set back.
    pub fn elapsed(&self) -> Millis {
        match &self.0 {
            Source::System => millis(START.elapsed()),
            Source::Manual(_) => self.now(),
        }
    }

    /// Moves a manual clock. The system's stays as it is.
    pub fn advance(&self, by: Millis) {
        if let Source::Manual(now) = &self.0 {
            now.fetch_add(by, Ordering::Relaxed);
        }
    }
}
