//! A connection to one tenant's file, with the guards that SQL of a script
//! runs behind.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit as Sqlite;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};
use tokio::time::Instant;

use super::schema::Schema;
use super::statement::Prepared;
use super::{authorizer, functions};
use crate::capabilities::db::access::{Access, Mode};
use crate::capabilities::db::deadline::Deadline;
use crate::capabilities::db::error::place;
use crate::capabilities::db::statement::Verb;
use crate::files;
use crate::runtime::failure::Failure;
use crate::runtime::limits::Limits;

/// The longest value or row that a script's SQL may make or read, in bytes.
/// Between two looks at the clock SQLite may touch a value some hundred times.
pub const VALUE_BYTES: usize = 256 << 10;

/// Instructions between two looks at the clock: some ten microseconds, and at
/// most this many values of [`VALUE_BYTES`].
const INSTRUCTIONS: i32 = 250;

/// SQLite counts the memory of all connections of the process together. Above
/// the first size it gives up clean pages of its caches. Above the second every
/// statement that has run for [`LONG`] is stopped, for what fills memory is a
/// sort, a grouping or a recursion. Above the third SQLite gets no more at all.
const MEMORY_RECYCLED: i64 = 192 << 20;
const MEMORY_STOPPED: i64 = 384 << 20;
const MEMORY_REFUSED: i64 = 768 << 20;
const LONG: Duration = Duration::from_millis(50);

/// How long a statement may hold up an asynchronous thread. A hop to another
/// thread and back costs some 30 microseconds and a look-up by key about five.
const GLANCE: Duration = Duration::from_micros(200);

/// Longer statements are prepared anew each time: what is cached outlives its
/// call, and a script could fill memory with it.
const CACHED_BYTES: usize = 2048;
/// Statements that a connection keeps prepared.
const CACHED: usize = 32;
/// Statements of which a connection knows what they use: all that are kept, and
/// more, for it forgets them together.
const REMEMBERED: usize = 8 * CACHED;

/// Why a statement was stopped while it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    Deadline,
    /// Nobody waits for it any more.
    Dropped,
    Memory,
}

/// What the guards saw of something that failed.
#[derive(Default)]
pub struct Seen {
    pub stop: Option<Stop>,
    /// What the authorizer refused.
    pub denied: Option<Failure>,
    pub access: Option<Access>,
}

/// What the callbacks of a connection share with whoever runs a statement on it.
#[derive(Default)]
struct Watch {
    run: Option<Run>,
    stop: Option<Stop>,
    /// What the authorizer refused.
    denied: Option<Failure>,
    functions: u32,
    /// Whether the authorizer was asked, and so a statement prepared.
    asked: bool,
    /// The tables that the authorizer was asked for, each once.
    touched: Vec<Touched>,
    /// What the statement that is prepared can name; None: anything.
    names: Option<Names>,
}

/// The names in a statement. What it writes or looks up beside them is the doing
/// of foreign keys and full-text tables, and their own business, as in every
/// database.
struct Names {
    writes: bool,
    /// In small letters.
    text: String,
    /// Whether every name in it stands in quotes, as in those that are built
    /// here. Of a script's own it is enough that the letters are there.
    quoted: bool,
}

impl Names {
    fn of(statement: &Prepared) -> Names {
        Names {
            writes: statement.verb != Verb::Select,
            text: statement.sql.to_ascii_lowercase(),
            quoted: statement.written.is_none(),
        }
    }

    fn have(&self, table: &str) -> bool {
        let table = table.to_ascii_lowercase();
        match self.quoted {
            true => self.text.contains(&format!("\"{table}\"")),
            // A quote within a name is spelt as two.
            false => table.contains(['"', '\'', '`', ']']) || self.text.contains(&table),
        }
    }
}

/// A table that a statement uses, and how.
#[derive(Clone, PartialEq, Eq)]
struct Touched {
    table: String,
    mode: Mode,
    /// Whether the statement itself names it, rather than a view.
    direct: bool,
}

struct Run {
    access: Access,
    began: std::time::Instant,
    deadline: std::time::Instant,
    dropped: Arc<AtomicBool>,
}

impl Watch {
    fn count_function(&mut self, action: &AuthAction<'_>) -> Result<(), Failure> {
        self.asked |= !matches!(action, AuthAction::Pragma { .. });
        if let AuthAction::Function { .. } = action {
            self.functions += 1;
            if self.functions > authorizer::FUNCTIONS_PER_STATEMENT {
                let most = authorizer::FUNCTIONS_PER_STATEMENT;
                return Err(Failure::denied(format!("a statement may call at most {most} functions")));
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Control {
    /// The host's own statements pass the authorizer. They are never prepared
    /// through the statement cache, where a script's text could find them.
    trusted: AtomicBool,
    watch: Mutex<Watch>,
    schema: Mutex<Schema>,
}

impl Control {
    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn schema(&self) -> MutexGuard<'_, Schema> {
        self.schema.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn authorize(&self, context: &AuthContext<'_>) -> Authorization {
        if self.trusted.load(Ordering::Relaxed) {
            return Authorization::Allow;
        }
        let mut watch = self.watch();
        let answer = match authorizer::check(context) {
            Ok(Some(touch)) => self.touch(&mut watch, &touch),
            Ok(None) => watch.count_function(&context.action),
            Err(reason) => Err(Failure::denied(reason)),
        };
        match answer {
            Ok(()) => Authorization::Allow,
            Err(failure) => {
                watch.denied.get_or_insert(failure);
                Authorization::Deny
            }
        }
    }

    /// Refuses a table that the call has no access to, and notes one that it has.
    fn touch(&self, watch: &mut Watch, touch: &authorizer::Touch<'_>) -> Result<(), Failure> {
        watch.asked = true;
        let schema = self.schema();
        let Some(table) = schema.asked_of(touch) else { return Ok(()) };
        let unnamed = |names: &Names| {
            // Foreign keys only matter to what writes; a full-text table always
            // reads and writes the tables beneath it.
            (names.writes || table != touch.table) && !names.have(touch.table)
        };
        if touch.within.is_none() && watch.names.as_ref().is_some_and(unnamed) {
            return Ok(());
        }
        let Some(run) = &watch.run else { return Err(Failure::denied("no call is running")) };
        let touched = Touched { table: table.to_owned(), mode: touch.mode, direct: touch.within.is_none() };
        if !watch.touched.contains(&touched) {
            run.access.check(table, touch.mode)?;
            watch.touched.push(touched);
        }
        Ok(())
    }

    /// Whether what runs must stop.
    fn stop(&self) -> bool {
        if self.trusted.load(Ordering::Relaxed) {
            return false;
        }
        let mut watch = self.watch();
        let Some(run) = &watch.run else { return false };
        let now = std::time::Instant::now();
        let stop = if run.dropped.load(Ordering::Relaxed) {
            Stop::Dropped
        } else if now >= run.deadline {
            Stop::Deadline
        } else if memory_used() > MEMORY_STOPPED && now - run.began > LONG {
            Stop::Memory
        } else {
            return false;
        };
        watch.stop = Some(stop);
        true
    }
}

/// What SQLite uses in this process, in bytes.
fn memory_used() -> i64 {
    // SAFETY: takes nothing, keeps nothing, may be called from any thread.
    unsafe { ffi::sqlite3_memory_used() }
}

/// The connection.
pub struct Guarded {
    connection: Connection,
    control: Arc<Control>,
    /// The limits that the connection is set to: statement bytes, parameters,
    /// value bytes and file bytes.
    set: Option<[u64; 4]>,
    /// What the statements use that are kept prepared: the authorizer is asked
    /// when one is prepared, for the call that runs then, and not for the next.
    remembered: RefCell<HashMap<String, Vec<Touched>>>,
}

static TURNING_TO_LOG: Mutex<()> = Mutex::new(());

/// Opens a file, without guards, and makes it where it is not there.
pub fn open(path: &Path) -> anyhow::Result<Connection> {
    if let Some(directory) = path.parent() {
        files::private_folder(directory)?;
    }
    files::private_file(path)?;
    // Without SQLITE_OPEN_URI: a path is a path.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    {
        // Two connections that turn a new file to a log get in each other's way,
        // and SQLite waits for neither.
        let _turn = TURNING_TO_LOG.lock().unwrap_or_else(PoisonError::into_inner);
        connection.pragma_update(None, "journal_mode", "WAL")?;
    }
    // What was acknowledged is on disk, also after a power failure.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A log that one large transaction made is cut again.
    connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
    functions::register(&connection)?;
    Ok(connection)
}

impl Guarded {
    /// Opens a file for SQL of scripts.
    pub fn open(path: &Path) -> anyhow::Result<Guarded> {
        let connection = open(path)?;
        // Sorts, groupings and recursions stay in memory, where they are counted.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "cache_size", -1024)?;
        connection.pragma_update(None, "soft_heap_limit", MEMORY_RECYCLED)?;
        connection.pragma_update(None, "hard_heap_limit", MEMORY_REFUSED)?;
        for (config, on) in [
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
            (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, false),
            // A statement is planned once, whatever is bound to its parameters:
            // a kept one would be prepared again for every new LIMIT.
            (DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true),
            // A misspelt "column" is an error, not a text.
            (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        ] {
            connection.set_db_config(config, on)?;
        }
        for (limit, value) in [
            (Sqlite::SQLITE_LIMIT_ATTACHED, 0),
            (Sqlite::SQLITE_LIMIT_COLUMN, 1000),
            (Sqlite::SQLITE_LIMIT_COMPOUND_SELECT, 50),
            (Sqlite::SQLITE_LIMIT_EXPR_DEPTH, 100),
            (Sqlite::SQLITE_LIMIT_FUNCTION_ARG, 100),
            // LIKE takes time in the product of text and pattern.
            (Sqlite::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, LIKE_BYTES as i32),
            (Sqlite::SQLITE_LIMIT_TRIGGER_DEPTH, 20),
            (Sqlite::SQLITE_LIMIT_VDBE_OP, 25_000),
            (Sqlite::SQLITE_LIMIT_WORKER_THREADS, 0),
        ] {
            connection.set_limit(limit, value)?;
        }
        connection.set_prepared_statement_cache_capacity(CACHED);
        let control = Arc::new(Control::default());
        let asked = Arc::clone(&control);
        connection.authorizer(Some(move |context: AuthContext<'_>| asked.authorize(&context)))?;
        let asked = Arc::clone(&control);
        connection.progress_handler(INSTRUCTIONS, Some(move || asked.stop()))?;
        Ok(Guarded { connection, control, set: None, remembered: RefCell::default() })
    }

    /// Lets `work` use the connection under a script's limits.
    pub fn guarded<T>(
        &mut self,
        access: &Access,
        limits: &Limits,
        deadline: Deadline,
        dropped: &Arc<AtomicBool>,
        work: impl FnOnce(&Guarded) -> Result<T, Failed>,
    ) -> Result<T, Failure> {
        let left = deadline.at.saturating_duration_since(Instant::now());
        if left.is_zero() || dropped.load(Ordering::Relaxed) {
            return Err(deadline.failure());
        }
        // Writers of this process take turns without it; this is for other processes.
        self.prepare(access, limits, left.min(Duration::from_secs(60)), left, dropped)?;
        let result = work(self);
        self.conclude(result, limits, deadline)
    }

    /// Lets `work` use the connection as [`guarded`](Self::guarded) does, but
    /// for so short a time that it need not leave the asynchronous thread.
    /// None where it takes longer, or would wait.
    pub fn glance<T>(
        &mut self,
        access: &Access,
        limits: &Limits,
        deadline: Deadline,
        work: impl FnOnce(&Guarded) -> Result<T, Failed>,
    ) -> Result<Option<T>, Failure> {
        self.prepare(access, limits, Duration::ZERO, GLANCE, &Arc::default())?;
        let result = match work(self) {
            Err(Failed::Sqlite(error, _))
                if matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::OperationInterrupted | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
                ) =>
            {
                Ok(None)
            }
            result => result.map(Some),
        };
        self.conclude(result, limits, deadline)
    }

    /// Sets for whom what runs, its limits, how long to wait for a lock, and
    /// when to stop.
    fn prepare(
        &mut self,
        access: &Access,
        limits: &Limits,
        patience: Duration,
        left: Duration,
        dropped: &Arc<AtomicBool>,
    ) -> Result<(), Failure> {
        self.apply(limits)
            .and_then(|()| self.connection.busy_timeout(patience))
            .map_err(|error| Failure::internal("setting up the database", error))?;
        let began = std::time::Instant::now();
        let run = Run { access: access.clone(), began, deadline: began + left, dropped: Arc::clone(dropped) };
        *self.control.watch() = Watch { run: Some(run), ..Watch::default() };
        Ok(())
    }

    /// Makes an error of SQLite's a script's, with the reason if a guard was it.
    fn conclude<T>(&self, result: Result<T, Failed>, limits: &Limits, deadline: Deadline) -> Result<T, Failure> {
        let watch = std::mem::take(&mut *self.control.watch());
        if watch.asked || watch.denied.is_some() {
            // A statement was prepared again while it ran, for the schema has
            // changed: what is remembered of it may be wrong.
            self.forget();
        }
        result.map_err(|failed| match failed {
            Failed::Known(failure) => failure,
            Failed::Sqlite(error, written) => {
                let seen = Seen { stop: watch.stop, denied: watch.denied, access: watch.run.map(|run| run.access) };
                super::error::explain(self, error, written.as_ref(), limits, deadline, seen)
            }
        })
    }

    /// The connection itself, for a statement that [`ready`](Self::ready) and
    /// [`admit`](Self::admit) go around.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Belongs before a statement is prepared: brings what is known of the
    /// schema up to date, unless the statement is one that is kept.
    pub fn ready(&self, statement: &Prepared) -> rusqlite::Result<()> {
        if self.remembered.borrow().contains_key(&statement.sql) {
            return Ok(());
        }
        self.control.watch().names = Some(Names::of(statement));
        let changed = self.trusted(|connection| self.control.schema().read_if_changed(connection))?;
        if let Some(schema) = changed {
            *self.control.schema() = schema;
        }
        Ok(())
    }

    /// Belongs after a statement was prepared, and before it runs: refuses one
    /// that the call has no access for, whoever it was prepared for.
    pub fn admit(&self, sql: &str, prepared: &rusqlite::Statement<'_>) -> Result<(), Failure> {
        let mut watch = self.control.watch();
        let asked = std::mem::take(&mut watch.asked);
        let mut touched = std::mem::take(&mut watch.touched);
        let Some(Run { access, .. }) = &watch.run else { return Err(Failure::denied("no call is running")) };
        let check = |touched: &Touched| access.check(&touched.table, touched.mode);
        let mut remembered = self.remembered.borrow_mut();
        if !asked {
            let known = remembered
                .get(sql)
                .ok_or_else(|| Failure::internal("the database", "a kept statement is not known"))?;
            return known.iter().try_for_each(check);
        }
        // The authorizer is not asked for what RETURNING reads.
        if !prepared.readonly() && prepared.column_count() > 0 {
            let written = touched.iter().filter(|touched| touched.mode == Mode::Write && touched.direct);
            let read: Vec<_> = written.map(|written| Touched { mode: Mode::Read, ..written.clone() }).collect();
            touched.extend(read);
        }
        let admitted = touched.iter().try_for_each(check);
        if cached(sql) {
            if remembered.len() >= REMEMBERED {
                remembered.clear();
                self.connection.flush_prepared_statement_cache();
            }
            remembered.insert(sql.to_owned(), touched);
        }
        admitted
    }

    /// How many statements are known.
    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.remembered.borrow().len()
    }

    /// Forgets every statement that is kept.
    fn forget(&self) {
        self.remembered.borrow_mut().clear();
        self.connection.flush_prepared_statement_cache();
    }

    /// Runs the host's own SQL.
    pub fn trusted<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        self.control.trusted.store(true, Ordering::Relaxed);
        let result = work(&self.connection);
        self.control.trusted.store(false, Ordering::Relaxed);
        result
    }

    /// Whether no transaction is open.
    pub fn at_rest(&self) -> bool {
        self.connection.is_autocommit()
    }

    fn apply(&mut self, limits: &Limits) -> rusqlite::Result<()> {
        let value = limits.db_bytes.min(VALUE_BYTES as u64);
        let wanted = [limits.db_statement_bytes, limits.db_parameters, value, limits.db_size];
        if self.set == Some(wanted) {
            return Ok(());
        }
        let small = |value: u64| i32::try_from(value).unwrap_or(i32::MAX);
        self.connection.set_limit(Sqlite::SQLITE_LIMIT_SQL_LENGTH, small(limits.db_statement_bytes))?;
        self.connection.set_limit(Sqlite::SQLITE_LIMIT_VARIABLE_NUMBER, small(limits.db_parameters))?;
        self.connection.set_limit(Sqlite::SQLITE_LIMIT_LENGTH, small(value))?;
        self.trusted(|connection| {
            let page: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
            let pages = (limits.db_size / u64::from(page.max(1))).clamp(1, u64::from(u32::MAX) - 1);
            connection.pragma_update(None, "max_page_count", pages as u32)
        })?;
        self.set = Some(wanted);
        Ok(())
    }
}

/// The longest pattern of LIKE and GLOB, in bytes.
pub const LIKE_BYTES: usize = 256;

/// Whether a statement's prepared form is kept for the next time.
pub fn cached(sql: &str) -> bool {
    sql.len() <= CACHED_BYTES
}

/// Lets a later [`Connection::last_insert_rowid`] tell whether a rowid was written.
pub fn forget_last_insert(connection: &Connection) {
    // SAFETY: the handle is open as long as the connection is borrowed, and
    // setting the number that `last_insert_rowid` answers frees nothing.
    unsafe { ffi::sqlite3_set_last_insert_rowid(connection.handle(), 0) }
}

/// Why something on a connection failed.
pub enum Failed {
    Known(Failure),
    /// With the text that SQLite's places refer to, where a script wrote it.
    Sqlite(rusqlite::Error, Option<Written>),
}

/// A text that a script wrote.
pub struct Written {
    pub sql: String,
    /// Where SQLite's text starts in it, in bytes.
    pub offset: usize,
}

impl Written {
    /// A place that SQLite names, in the script's text.
    pub fn place(&self, offset: i32) -> Option<String> {
        place(&self.sql, self.offset.checked_add(usize::try_from(offset).ok()?)?)
    }
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Failed {
        Failed::Sqlite(error, None)
    }
}
