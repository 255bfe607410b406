//! A transaction that a call has open.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::AbortHandle;

use super::connection::Seen;
use super::pool::{Lease, Pool, blocking};
use super::statement::Prepared;
use crate::capabilities::db::Access;
use crate::capabilities::db::deadline::Deadline;
use crate::capabilities::db::error::{database, ended, locked};
use crate::capabilities::db::statement::Statement;
use crate::runtime::bindings::airlock::script::db::Outcome;
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};

/// A transaction. Its clones are the same one; when the last is dropped, it is
/// rolled back and its connection goes back to the pool.
#[derive(Clone)]
pub struct Transaction(Arc<Inner>);

struct Inner {
    stage: Arc<Mutex<Stage>>,
    deadline: Deadline,
    access: Access,
    limits: Arc<Limits>,
    watchdog: AbortHandle,
}

enum Stage {
    Open(Box<Lease>),
    /// With what a further statement answers.
    Over(Failure),
}

impl Transaction {
    /// Waits for the turn to write, and begins.
    pub async fn begin(pool: &Arc<Pool>, access: &Access, limits: &Arc<Limits>) -> Result<Transaction, Failure> {
        let patience = Deadline::of(limits, Limit::DbTimeout);
        let mut lease = pool.lease(true, patience).await?;
        let (bounds, asked) = (Arc::clone(limits), access.clone());
        let lease = blocking(move |dropped| {
            let connection = lease.connection()?;
            // Once under the guards, for the limits of this call and their errors.
            connection.guarded(&asked, &bounds, patience, &dropped, |_| Ok(()))?;
            match connection.trusted(|connection| connection.execute_batch("BEGIN IMMEDIATE")) {
                Ok(()) => Ok(lease),
                Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
                    Err(locked(patience))
                }
                Err(error) => Err(Failure::internal("beginning a transaction", error)),
            }
        })
        .await?;

        let deadline = Deadline::of(limits, Limit::DbTransactionTimeout);
        let stage = Arc::new(Mutex::new(Stage::Open(Box::new(lease))));
        // It holds locks that other calls wait for, whatever the script is
        // doing meanwhile.
        let watched = Arc::downgrade(&stage);
        let watchdog = tokio::spawn(async move {
            tokio::time::sleep_until(deadline.at).await;
            if let Some(stage) = watched.upgrade() {
                let mut stage = stage.lock_owned().await;
                if let Stage::Open(_) = *stage {
                    *stage = Stage::Over(deadline.failure());
                }
            }
        });
        let (access, limits) = (access.clone(), Arc::clone(limits));
        Ok(Transaction(Arc::new(Inner { stage, deadline, access, limits, watchdog: watchdog.abort_handle() })))
    }

    /// Runs a statement after those that were started before it.
    pub async fn run(&self, statement: Statement) -> Result<Outcome, Failure> {
        let deadline = Deadline::of(&self.0.limits, Limit::DbTimeout).sooner(self.0.deadline);
        let statement = Prepared::new(statement, &self.0.limits)?;
        let mut stage = self.stage(deadline).await?;
        let (access, limits) = (self.0.access.clone(), Arc::clone(&self.0.limits));
        blocking(move |dropped| {
            let lease = stage.open()?;
            let connection = lease.connection()?;
            let result = connection.guarded(&access, &limits, deadline, &dropped, |connection| {
                super::run::run(connection, &statement, &limits)
            });
            // SQLite rolls back by itself after some errors, such as a full
            // file or a write that was stopped.
            if connection.at_rest() {
                let reason = match &result {
                    Err(failure) => failure.message.clone(),
                    Ok(_) => "a statement ended it".to_owned(),
                };
                *stage = Stage::Over(database(format!("the transaction was rolled back: {reason}")));
            }
            result
        })
        .await
    }

    /// Commits or rolls back. It is over afterwards either way.
    pub async fn end(self, commit: bool) -> Result<(), Failure> {
        let deadline = Deadline::of(&self.0.limits, Limit::DbTimeout).sooner(self.0.deadline);
        let mut stage = self.stage(deadline).await?;
        let limits = Arc::clone(&self.0.limits);
        blocking(move |_| {
            let mut lease = match std::mem::replace(&mut *stage, Stage::Over(ended())) {
                Stage::Open(lease) => lease,
                Stage::Over(failure) if commit => return Err(failure),
                Stage::Over(_) => return Ok(()),
            };
            let connection = lease.connection()?;
            let sql = if commit { "COMMIT" } else { "ROLLBACK" };
            connection.trusted(|connection| connection.execute_batch(sql)).map_err(|error| {
                // Such as a foreign key that was to be checked at the end. The
                // lease rolls back.
                super::error::explain(connection, error, None, &limits, deadline, Seen::default())
            })
        })
        .await
    }

    async fn stage(&self, deadline: Deadline) -> Result<OwnedMutexGuard<Stage>, Failure> {
        tokio::time::timeout_at(deadline.at, Arc::clone(&self.0.stage).lock_owned())
            .await
            .map_err(|_| deadline.failure())
    }
}

impl Stage {
    fn open(&mut self) -> Result<&mut Lease, Failure> {
        match self {
            Stage::Open(lease) => Ok(lease),
            Stage::Over(failure) => Err(failure.clone()),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.watchdog.abort();
    }
}
