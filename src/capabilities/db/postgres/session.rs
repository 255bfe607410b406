//! One connection, and what the server holds for it.
//!
//! A connection serves one tenant after the other. Which one is told by a
//! [`token`](super::token), and how long a statement may take by three settings.
//! They are given for the session, so that a statement by itself takes one round
//! trip and not the three of BEGIN, statement and COMMIT, each of which costs as
//! much as a look-up by key. They are given anew when another tenant's turn
//! comes, when the limits differ, and before the token ends. A transaction sets
//! the times for itself, in the round trip of its BEGIN.
//!
//! That holds because a script can't change a setting: there is no SET in its
//! SQL, and neither the list of functions nor the role's privileges have
//! `set_config`. What was half set is not known, so a connection is nobody's
//! while it is being set, and is closed if that fails. Whoever drops a session,
//! closes its connection; only [`Lease`](super::pool::Lease) takes one back.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sqlx::postgres::{PgConnectOptions, PgStatement};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, SqlSafeStr, Statement as _};

use super::token::Keys;
use crate::runtime::limits::Limits;

/// How long a token is good, beside the time that a transaction may take. One
/// that is seen is of no use to anyone else, being good for one connection only.
const TOKEN: Duration = Duration::from_secs(600);
/// When it is replaced. The rest is for clocks that differ.
const TOKEN_RENEWED: Duration = Duration::from_secs(300);

/// Statements that the server keeps prepared for a connection, and the longest
/// of them, in bytes. A longer one is forgotten with all others after it ran:
/// its plan may take a thousand times its text.
const PREPARED: usize = 64;
const PREPARED_BYTES: usize = 4096;

pub struct Session {
    pub connection: PgConnection,
    /// The process that serves it, which its tokens are for.
    pid: i32,
    serves: Option<Serves>,
    /// Whether the prepared statements must be forgotten before the next one.
    forget: bool,
    /// Which reading of the tables they were prepared after.
    reading: u64,
    pub opened: Instant,
    pub used: Instant,
}

/// Whom a session serves, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Serves {
    tenant: String,
    renew: Instant,
    bounds: Bounds,
}

/// In milliseconds, as the server sets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    statement: u64,
    lock: u64,
    idle: u64,
}

impl Bounds {
    fn of(limits: &Limits) -> Bounds {
        // 0 would be no limit at all, and more than this no number of the server's.
        let clamp = |milliseconds: u64| milliseconds.clamp(1, 86_400_000);
        Bounds {
            statement: clamp(limits.db_timeout),
            // Sooner, so that the error says that it was a lock.
            lock: clamp(limits.db_timeout / 5 * 4),
            // The host ends a transaction in time; this is for a host that is gone.
            idle: clamp(limits.db_transaction_timeout.saturating_mul(2)),
        }
    }

    /// `local`: until the end of the transaction.
    fn sql(&self, local: bool) -> String {
        let set = if local { "SET LOCAL" } else { "SET" };
        format!(
            "{set} statement_timeout = {}; {set} lock_timeout = {}; {set} idle_in_transaction_session_timeout = {}",
            self.statement, self.lock, self.idle
        )
    }
}

/// What every connection is opened with.
pub fn options(options: PgConnectOptions, schema: &str) -> PgConnectOptions {
    let path = format!("{}, pg_temp", super::catalog::quoted(schema));
    options
        .application_name("airlock")
        .statement_cache_capacity(PREPARED)
        .options([
            // Triggers of the application find its tables. Scripts' SQL names
            // everything in full.
            ("search_path", path.as_str()),
            ("standard_conforming_strings", "on"),
            ("row_security", "on"),
            ("default_transaction_read_only", "off"),
            ("default_transaction_deferrable", "off"),
            // A statement whose host is gone is noticed.
            ("client_connection_check_interval", "500"),
            // Compiling a plan takes longer than most of these statements may.
            ("jit", "off"),
        ])
        // A statement's text and its values are the tenant's.
        .disable_statement_logging()
}

impl Session {
    pub async fn open(options: &PgConnectOptions) -> Result<Session, sqlx::Error> {
        let mut connection = options.connect().await?;
        let pid = sqlx::query_scalar("SELECT pg_catalog.pg_backend_pid()").fetch_one(&mut connection).await?;
        let now = Instant::now();
        Ok(Session { connection, pid, serves: None, forget: false, reading: 0, opened: now, used: now })
    }

    /// Whether the connection was set up for a tenant last.
    pub fn is_of(&self, tenant: &str) -> bool {
        self.serves.as_ref().is_some_and(|serves| serves.tenant == tenant)
    }

    /// Sets the connection up for statements of a tenant.
    pub async fn serve(&mut self, tenant: &str, limits: &Limits, keys: &Keys) -> Result<(), sqlx::Error> {
        let bounds = Bounds::of(limits);
        let served =
            |serves: &Serves| serves.tenant == tenant && serves.bounds == bounds && Instant::now() < serves.renew;
        if self.serves.as_ref().is_some_and(served) {
            return Ok(());
        }
        self.serves = None;
        let token = self.token(tenant, bounds, keys)?;
        let sql = format!("SELECT airlock.enter('{token}'); {}", bounds.sql(false));
        self.own(sql).await?;
        self.serves = Some(Serves { tenant: tenant.to_owned(), renew: Instant::now() + TOKEN_RENEWED, bounds });
        Ok(())
    }

    /// Begins a transaction for a tenant.
    pub async fn begin(&mut self, tenant: &str, limits: &Limits, keys: &Keys) -> Result<(), sqlx::Error> {
        // Not within the transaction: undone with it, the token would be lost.
        self.serve(tenant, limits, keys).await?;
        self.own(format!("BEGIN; {}", Bounds::of(limits).sql(true))).await
    }

    pub async fn end(&mut self, commit: bool) -> Result<(), sqlx::Error> {
        self.own(if commit { "COMMIT" } else { "ROLLBACK" }.to_owned()).await
    }

    /// Runs the host's own SQL, several statements in one round trip.
    async fn own(&mut self, sql: String) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await.map(drop)
    }

    fn token(&self, tenant: &str, bounds: Bounds, keys: &Keys) -> Result<String, sqlx::Error> {
        let expires = SystemTime::now() + TOKEN + Duration::from_millis(bounds.idle);
        let expires = expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        keys.sign(tenant, self.pid, expires)
            .ok_or_else(|| sqlx::Error::Configuration("there is no key to sign tenants' tokens with".into()))
    }

    /// The server's description of a statement, kept for the next time.
    pub async fn prepare(&mut self, sql: &str) -> Result<PgStatement, sqlx::Error> {
        self.forget |= sql.len() > PREPARED_BYTES;
        self.connection.prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await
    }

    /// Makes the connection ready for whoever comes next.
    pub async fn rest(&mut self) -> Result<(), sqlx::Error> {
        if self.forget {
            self.connection.clear_cached_statements().await?;
            self.forget = false;
        }
        self.used = Instant::now();
        Ok(())
    }

    /// Has what was prepared before this reading of the tables forgotten: it may
    /// answer columns that are not there any more, or lack new ones.
    pub async fn after(&mut self, reading: u64) -> Result<(), sqlx::Error> {
        if self.reading != reading {
            self.connection.clear_cached_statements().await?;
            self.reading = reading;
        }
        Ok(())
    }

    /// Has the prepared statements forgotten, such as after a table has changed.
    pub fn forget(&mut self) {
        self.forget = true;
    }
}

/// What the server says a statement's parameters are.
pub fn parameters(statement: &PgStatement) -> &[sqlx::postgres::PgTypeInfo] {
    match statement.parameters() {
        Some(sqlx::Either::Left(types)) => types,
        _ => &[],
    }
}
