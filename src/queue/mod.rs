//! The queue: what scripts are to do, kept in the host's database until it is done.
//!
//! A job is inserted in the transaction of what causes it. A host claims jobs,
//! which counts an attempt of each, and says every few seconds that it is alive.
//! What comes of an attempt is written with its execution in one transaction,
//! and only by the host whose attempt it is. Where a host falls silent, its
//! attempts are lost, and others make the next ones. A job that has used up its
//! attempts, or whose script throws what says `retry: false`, is a dead letter
//! until somebody replays or discards it.
//!
//! So each job runs at least once, and each attempt is on record once.

mod argument;
mod aside;
mod attempt;
mod claim;
mod count;
mod desk;
mod finish;
mod hands;
mod insert;
mod job;
mod lease;
mod order;
mod retention;
#[cfg(test)]
mod tests;
mod wake;
mod workers;

pub use count::Counts;
pub use desk::{Changed, Filter, Job, Refused, check};
pub use insert::{Inserted, Kept, insert, insert_beside, insert_for_all};
pub use job::{Caller, NewJob, State, Trigger};
pub use workers::Workers;

use std::sync::{Arc, Mutex};

use uuid::Uuid;

use crate::store::Store;
use wake::Wake;

/// The id of an attempt's execution: the first one's is the job's own, so that
/// who asked for the job knows it.
fn execution_id(job: &str, attempt: i64) -> String {
    if attempt == 1 { job.to_owned() } else { Uuid::now_v7().to_string() }
}

/// Whom a job runs as, by what is kept of that.
fn user_id(caller: &str) -> Option<String> {
    serde_json::from_str::<Caller>(caller).ok().map(|caller| caller.user.id)
}

/// The jobs of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    store: Store,
    wake: Wake,
    counts: Mutex<Counts>,
}

impl Queue {
    pub fn new(store: Store) -> Queue {
        Queue(Arc::new(Inner { wake: Wake::new(store.clone()), store, counts: Mutex::default() }))
    }

    /// Has hosts look for jobs at once. For after the commit of [`insert`].
    pub fn wake(&self) {
        self.0.wake.wake();
    }
}
