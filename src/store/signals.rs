//! What hosts on one database tell each other at once: no more than that there
//! is something to look for. A signal may be lost, so who waits for one looks
//! now and then all the same.

use std::sync::Arc;

use sqlx::AnyPool;
use sqlx::postgres::PgListener;

/// Tells hosts on the same PostgreSQL database, and hears them. A SQLite file is
/// one host's, which needs no telling.
#[derive(Clone)]
pub struct Signals {
    pool: AnyPool,
    url: Option<Arc<str>>,
}

/// Hears signals, of this host as well.
pub struct Listener(Option<PgListener>);

impl Signals {
    pub(super) fn new(pool: AnyPool, url: Option<Arc<str>>) -> Signals {
        Signals { pool, url }
    }

    /// Whether others may hear.
    pub fn reach_others(&self) -> bool {
        self.url.is_some()
    }

    /// Tells all that listen to a channel.
    pub async fn send(&self, channel: &'static str) -> sqlx::Result<()> {
        if self.url.is_some() {
            sqlx::query("SELECT pg_notify($1, '')").bind(channel).execute(&self.pool).await?;
        }
        Ok(())
    }

    pub async fn listen(&self, channel: &'static str) -> sqlx::Result<Listener> {
        let Some(url) = &self.url else { return Ok(Listener(None)) };
        let mut listener = PgListener::connect(url).await?;
        listener.listen(channel).await?;
        Ok(Listener(Some(listener)))
    }
}

impl Listener {
    /// Waits for the next signal. Err where the connection has ended, and what
    /// came meanwhile was missed.
    pub async fn next(&mut self) -> sqlx::Result<()> {
        match &mut self.0 {
            None => std::future::pending().await,
            Some(listener) => match listener.try_recv().await? {
                Some(_) => Ok(()),
                None => Err(sqlx::Error::WorkerCrashed),
            },
        }
    }
}
