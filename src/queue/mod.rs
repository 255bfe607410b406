//! The queue: what scripts are to do, kept in the host's database until it is done.
//!
//! A job is inserted in the transaction of what causes it. A host claims jobs,
//! which counts an attempt of each, and says every few seconds that it is alive.
//! What comes of an attempt is written with its execution in one transaction,
//! and only by the host whose attempt it is. Where a host falls silent, its
//! attempts are lost, and others make the next ones. A job that has used up its
//! attempts is a dead letter until somebody replays or discards it.
//!
//! So each job runs at least once, and each attempt is on record once.

mod insert;
mod job;
mod order;
#[cfg(test)]
mod tests;
mod wake;

pub use insert::{Inserted, Kept, insert};
pub use job::{Caller, NewJob, State, Trigger};

use crate::store::Store;
use wake::Wake;

/// The jobs of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    wake: Wake,
}

impl Queue {
    pub fn new(store: Store) -> Queue {
        Queue { wake: Wake::new(store) }
    }

    /// Has hosts look for jobs at once. For after the commit of [`insert`].
    pub fn wake(&self) {
        self.wake.wake();
    }
}
