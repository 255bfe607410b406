//! How many jobs there are, for metrics.

use std::sync::PoisonError;

use super::{Queue, State};
use crate::store::clock::Millis;

/// The jobs of all tenants, by state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub jobs: Vec<(State, i64)>,
    /// Milliseconds that the job waits which waits longest.
    pub oldest: Millis,
}

impl Queue {
    /// What [`count`](Queue::count) found last.
    pub fn counts(&self) -> Counts {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts them anew. Reads an index of all jobs, so not for each request.
    pub async fn count(&self) -> sqlx::Result<()> {
        let found: Vec<(String, i64, Millis)> = self
            .0
            .store
            .read(|connection| {
                Box::pin(async move {
                    sqlx::query_as("SELECT state, COUNT(*), MIN(run_at) FROM jobs GROUP BY state")
                        .fetch_all(connection)
                        .await
                })
            })
            .await?;
        let now = self.0.store.now();
        let mut counts = Counts::default();
        for (state, count, oldest) in found {
            let Ok(state) = state.parse() else { continue };
            if state == State::Waiting {
                counts.oldest = (now - oldest).max(0);
            }
            counts.jobs.push((state, count));
        }
        *self.0.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts;
        Ok(())
    }
}
