//! The connections, and whose turn they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::session::Session;
use crate::capabilities::db::deadline::Deadline;
use crate::runtime::failure::Failure;

/// A connection that has been silent for longer is asked whether it is still there.
const SILENT: Duration = Duration::from_secs(1);
/// One that nobody has used for so long is closed.
const IDLE: Duration = Duration::from_secs(300);
/// One that is older is closed: what the server keeps for it only grows.
const OLD: Duration = Duration::from_secs(1800);

pub struct Pool {
    options: PgConnectOptions,
    idle: Mutex<Vec<Session>>,
    connections: Arc<Semaphore>,
    /// How many of them one tenant may have at once.
    each: usize,
    tenants: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl Pool {
    pub fn new(options: PgConnectOptions, connections: usize) -> Pool {
        Pool {
            options,
            idle: Mutex::default(),
            connections: Arc::new(Semaphore::new(connections)),
            // One tenant's long statements leave connections for the others.
            each: (connections / 2).max(1),
            tenants: Mutex::default(),
        }
    }

    /// Waits for a connection, if need be one that is opened.
    pub async fn lease(self: &Arc<Self>, tenant: &str, deadline: Deadline) -> Result<Lease, Failure> {
        let leased = async {
            let turn = self.tenant(tenant).acquire_owned().await.map_err(closed)?;
            let permit = Arc::clone(&self.connections).acquire_owned().await.map_err(closed)?;
            while let Some(mut session) = self.take(tenant) {
                if session.used.elapsed() < SILENT || session.connection.ping().await.is_ok() {
                    return Ok((session, [turn, permit]));
                }
            }
            match Session::open(&self.options).await {
                Ok(session) => Ok((session, [turn, permit])),
                Err(error) => Err(Failure::internal("connecting to the database", error)),
            }
        };
        match tokio::time::timeout_at(deadline.at, leased).await {
            Ok(Ok((session, permits))) => {
                Ok(Lease { pool: Arc::clone(self), session: Some(session), _permits: permits })
            }
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(self.busy(deadline)),
        }
    }

    fn busy(&self, deadline: Deadline) -> Failure {
        let mut failure = deadline.failure();
        failure.message = format!(
            "no connection to the database was free within the time that a statement may take ({}, the setting {} \
             changes it); a tenant has at most {} at once, and each open transaction keeps one",
            deadline.limit.show(deadline.value),
            deadline.limit.setting(),
            self.each,
        );
        failure
    }

    fn tenant(&self, tenant: &str) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = tenants.get(tenant).and_then(Weak::upgrade) {
            return semaphore;
        }
        if tenants.len() >= 1024 {
            tenants.retain(|_, semaphore| semaphore.strong_count() > 0);
        }
        let semaphore = Arc::new(Semaphore::new(self.each));
        tenants.insert(tenant.to_owned(), Arc::downgrade(&semaphore));
        semaphore
    }

    /// An idle connection, rather one that served this tenant last, else the one
    /// that was used the longest ago: its tenant is the least likely to come back.
    fn take(&self, tenant: &str) -> Option<Session> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|session| session.used.elapsed() < IDLE && session.opened.elapsed() < OLD);
        let index = match idle.iter().rposition(|session| session.is_of(tenant)) {
            Some(index) => index,
            None => idle.iter().enumerate().min_by_key(|(_, session)| session.used)?.0,
        };
        Some(idle.swap_remove(index))
    }

    fn give(&self, session: Session) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }
}

fn closed(error: impl std::fmt::Display) -> Failure {
    Failure::internal("the database", error)
}

/// A connection while someone uses it. Dropped, the connection is closed: only
/// who knows that nothing is left on it gives it back.
pub struct Lease {
    pool: Arc<Pool>,
    session: Option<Session>,
    _permits: [OwnedSemaphorePermit; 2],
}

impl Lease {
    /// The connection.
    pub fn session(&mut self) -> Result<&mut Session, Failure> {
        self.session.as_mut().ok_or_else(|| Failure::internal("the database", "the connection was given back"))
    }

    /// Gives the connection back. Nothing may be under way on it.
    pub async fn give_back(mut self) {
        if let Some(mut session) = self.session.take()
            && session.rest().await.is_ok()
        {
            session.used = Instant::now();
            self.pool.give(session);
        }
    }
}
