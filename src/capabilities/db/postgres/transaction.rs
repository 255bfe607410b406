//! A transaction that a call has open.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::AbortHandle;
use tokio::time::timeout_at;

use super::error::explain;
use super::pool::Lease;
use super::process::Process;
use super::run::{self, Failed};
use crate::capabilities::db::Access;
use crate::capabilities::db::deadline::Deadline;
use crate::capabilities::db::error::{database, ended};
use crate::capabilities::db::statement::Statement;
use crate::runtime::bindings::airlock::script::db::Outcome;
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};

/// A transaction. Its clones are the same one; when the last is dropped, its
/// connection is closed, which rolls it back.
#[derive(Clone)]
pub struct Transaction(Arc<Inner>);

struct Inner {
    process: Process,
    access: Access,
    stage: Arc<Mutex<Stage>>,
    deadline: Deadline,
    limits: Arc<Limits>,
    watchdog: AbortHandle,
}

enum Stage {
    Open(Lease),
    /// With what a further statement answers.
    Over(Failure),
}

impl Transaction {
    pub(super) async fn begin(
        process: &Process,
        access: &Access,
        limits: &Arc<Limits>,
    ) -> Result<Transaction, Failure> {
        let patience = Deadline::of(limits, Limit::DbTimeout);
        let mut lease = process.lease(access.tenant(), patience).await?;
        let session = lease.session()?;
        let begun = async {
            session.after(process.changes()).await?;
            session.begin(access.tenant(), limits, process.keys()).await
        };
        match timeout_at(patience.at, begun).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Failure::internal("beginning a transaction", error)),
            Err(_) => return Err(patience.failure()),
        }
        let deadline = Deadline::of(limits, Limit::DbTransactionTimeout);
        let stage = Arc::new(Mutex::new(Stage::Open(lease)));
        // It holds locks that other calls wait for, whatever the script is
        // doing meanwhile.
        let watched = Arc::downgrade(&stage);
        let watchdog = tokio::spawn(async move {
            tokio::time::sleep_until(deadline.at).await;
            if let Some(stage) = watched.upgrade() {
                let mut stage = stage.lock_owned().await;
                if let Ok(lease) = stage.take() {
                    *stage = Stage::Over(deadline.failure());
                    roll_back(lease).await;
                }
            }
        });
        let (process, access, limits) = (process.clone(), access.clone(), Arc::clone(limits));
        Ok(Transaction(Arc::new(Inner { process, access, stage, deadline, limits, watchdog: watchdog.abort_handle() })))
    }

    /// Runs a statement after those that were started before it.
    pub async fn run(&self, statement: Statement) -> Result<Outcome, Failure> {
        let Inner { process, access, limits, .. } = &*self.0;
        let deadline = Deadline::of(limits, Limit::DbTimeout).sooner(self.0.deadline);
        let (ready, catalog) = process.ready(access, statement, limits).await?;
        let mut stage = self.stage(deadline).await?;
        // Out of its place while it is under way: dropped there, it is closed.
        let mut lease = stage.take()?;
        let failed = match timeout_at(
            process.hard(deadline),
            run::run(lease.session()?, &ready, limits, process.bounds()),
        )
        .await
        {
            Ok(Ok(outcome)) => {
                *stage = Stage::Open(lease);
                return Ok(outcome);
            }
            Ok(Err(Failed::Known(failure))) => {
                // The server has not seen it.
                *stage = Stage::Open(lease);
                return Err(failure);
            }
            Ok(Err(failed)) => failed,
            Err(_) => Failed::Stopped(deadline.failure()),
        };
        // To PostgreSQL, a transaction with an error in it is over.
        if failed.leaves_connection() {
            roll_back(lease).await;
        }
        let failure = explain(failed, Some(&ready), &catalog, access, limits, deadline);
        *stage = Stage::Over(match &failure.limit {
            Some(limit) if limit.name == self.0.deadline.limit.name() => failure.clone(),
            _ => database(format!("the transaction was rolled back: {}", failure.message)),
        });
        Err(failure)
    }

    /// Commits or rolls back. It is over afterwards either way.
    pub async fn end(self, commit: bool) -> Result<(), Failure> {
        let Inner { process, access, limits, .. } = &*self.0;
        let deadline = Deadline::of(limits, Limit::DbTimeout).sooner(self.0.deadline);
        let mut stage = self.stage(deadline).await?;
        let mut lease = match stage.take() {
            Ok(lease) => lease,
            Err(failure) if commit => return Err(failure),
            Err(_) => return Ok(()),
        };
        match timeout_at(process.hard(deadline), lease.session()?.end(commit)).await {
            Ok(Ok(())) => {
                lease.give_back().await;
                Ok(())
            }
            // Such as a foreign key that was to be checked at the end.
            Ok(Err(error)) => {
                let failed = Failed::from(error);
                if failed.leaves_connection() {
                    roll_back(lease).await;
                }
                Err(explain(failed, None, &process.catalog(), access, limits, deadline))
            }
            Err(_) => Err(deadline.failure()),
        }
    }

    async fn stage(&self, deadline: Deadline) -> Result<OwnedMutexGuard<Stage>, Failure> {
        timeout_at(deadline.at, Arc::clone(&self.0.stage).lock_owned()).await.map_err(|_| deadline.failure())
    }
}

/// Frees the locks. Where that fails, closing the connection does.
async fn roll_back(mut lease: Lease) {
    let rolled_back = match lease.session() {
        Ok(session) => {
            matches!(tokio::time::timeout(std::time::Duration::from_secs(1), session.end(false)).await, Ok(Ok(())))
        }
        Err(_) => false,
    };
    if rolled_back {
        lease.give_back().await;
    }
}

impl Stage {
    /// The connection, if the transaction is open. Without it, it has ended.
    fn take(&mut self) -> Result<Lease, Failure> {
        match std::mem::replace(self, Stage::Over(ended())) {
            Stage::Open(lease) => Ok(lease),
            Stage::Over(failure) => {
                *self = Stage::Over(failure.clone());
                Err(failure)
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.watchdog.abort();
    }
}
