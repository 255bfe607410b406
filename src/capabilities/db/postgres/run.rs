//! One statement on a connection, from its text to its rows.

use futures_util::StreamExt;
use sqlx::postgres::{PgArguments, PgRow, PgStatement};
use sqlx::{Arguments, Column, Either, Executor, Row, Statement as _, ValueRef};

use super::bounded::{self, Bounded};
use super::cache::Cache;
use super::ready::{Ready, Rows};
use super::session::{Session, parameters};
use super::values::{Bound, Reader};
use crate::capabilities::db::error;
use crate::capabilities::db::statement::Verb;
use crate::runtime::bindings::airlock::script::db::{Outcome, Value};
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};

/// What a value costs beside its text or bytes, so that many small ones count.
const VALUE_COST: u64 = 16;

/// Why a statement failed.
pub enum Failed {
    /// The server refused, and waits for the next statement.
    Refused(Box<sqlx::postgres::PgDatabaseError>),
    /// Nothing was sent, or all of it was answered.
    Known(Failure),
    /// Rows are still on the way: the connection is of no use any more.
    Stopped(Failure),
    /// The connection is broken.
    Broken(sqlx::Error),
}

impl Failed {
    /// Whether the connection may be used again.
    pub fn leaves_connection(&self) -> bool {
        matches!(self, Failed::Refused(_) | Failed::Known(_))
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Failed {
        use sqlx::postgres::{PgDatabaseError, PgSeverity};
        match error {
            sqlx::Error::Database(database) => match database.try_downcast::<PgDatabaseError>() {
                Ok(error) if matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic) => {
                    Failed::Broken(sqlx::Error::Database(error))
                }
                Ok(error) => Failed::Refused(error),
                Err(other) => Failed::Broken(sqlx::Error::Database(other)),
            },
            other => Failed::Broken(other),
        }
    }
}

/// A statement that the server has, and its parameters.
struct Described {
    statement: PgStatement,
    values: Vec<Value>,
    /// What the script knows the columns as.
    names: Vec<String>,
}

/// Runs a statement and reads its rows, as many as the limits allow.
pub async fn run(
    session: &mut Session,
    ready: &Ready,
    limits: &Limits,
    bounds: &Cache<Option<Bounded>>,
) -> Result<Outcome, Failed> {
    let Described { statement, values, names } = describe(session, ready, limits, bounds).await?;
    let types = parameters(&statement);
    if types.len() != values.len() {
        return Err(Failed::Known(error::parameters(types.len(), values.len())));
    }
    let mut arguments = PgArguments::default();
    for (index, (value, info)) in values.iter().zip(types).enumerate() {
        let bound = Bound::new(index + 1, value, info).map_err(Failed::Known)?;
        arguments.add(bound).map_err(|error| Failed::Known(Failure::internal("sending a parameter", error)))?;
    }
    let mut readers = Vec::with_capacity(names.len());
    for (name, column) in names.iter().zip(statement.columns()) {
        readers.push(Reader::new(name, column.type_info()).map_err(Failed::Known)?);
    }

    let mut answer = Answer { limits, readers, values: Vec::new(), rows: 0, bytes: 0 };
    let (mut affected, mut last) = (0, None);
    {
        let mut stream = (&mut session.connection).fetch_many(statement.query_with(arguments));
        while let Some(next) = stream.next().await {
            match next? {
                Either::Left(done) => affected = done.rows_affected(),
                Either::Right(row) if ready.numbering.is_hidden() => {
                    last = answer.only(&row).map_err(Failed::Stopped)?
                }
                Either::Right(row) => answer.row(&row).map_err(Failed::Stopped)?,
            }
        }
    }
    let Answer { values, .. } = answer;
    if let Some(position) = ready.numbering.among(&names)
        && let Some(row) = values.len().checked_sub(names.len())
    {
        last = values.get(row + position).and_then(integer);
    }
    Ok(Outcome {
        columns: if ready.numbering.is_hidden() { Vec::new() } else { names },
        values,
        affected: if ready.verb == Verb::Select { 0 } else { affected },
        last_insert_id: last,
    })
}

/// Has the server read a statement, or the one that bounds its rows.
async fn describe(
    session: &mut Session,
    ready: &Ready,
    limits: &Limits,
    bounds: &Cache<Option<Bounded>>,
) -> Result<Described, Failed> {
    let writes = ready.verb != Verb::Select;
    let mut values = ready.parameters.clone();
    if let Rows::Bounded(names) = &ready.rows {
        let statement = session.prepare(&ready.sql).await?;
        return Ok(Described { statement, values, names: names.clone() });
    }
    let mut known = if ready.rows == Rows::Any { bounds.get(&ready.sql) } else { None };
    if !matches!(known.as_deref(), Some(Some(_))) {
        let statement = session.prepare(&ready.sql).await?;
        let columns = statement.columns();
        if ready.rows == Rows::Any && known.is_none() {
            known = Some(bounds.insert(&ready.sql, bounded::around(&ready.sql, columns, values.len(), writes)));
        }
        if !matches!(known.as_deref(), Some(Some(_))) {
            let names = columns.iter().map(|column| column.name().to_owned()).collect();
            return Ok(Described { statement, values, names });
        }
    }
    let Some(Some(bounded)) = known.as_deref() else {
        return Err(Failed::Known(Failure::internal("the database", "a statement is bounded and is not")));
    };
    let integer = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    values.push(integer(limits.db_bytes));
    if !writes {
        // One more than may be answered, so that too many are noticed.
        values.push(integer(limits.db_rows.saturating_add(1)));
    }
    let statement = session.prepare(&bounded.sql).await?;
    Ok(Described { statement, values, names: bounded.names.clone() })
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        _ => None,
    }
}

struct Answer<'a> {
    limits: &'a Limits,
    readers: Vec<Reader>,
    values: Vec<Value>,
    rows: u64,
    bytes: u64,
}

impl Answer<'_> {
    fn row(&mut self, row: &PgRow) -> Result<(), Failure> {
        self.rows += 1;
        self.limits.check(Limit::DbRows, self.rows)?;
        for index in 0..self.readers.len() {
            let value = self.value(row, index)?;
            self.values.push(value);
        }
        Ok(())
    }

    /// The number of a row that was inserted, where the script did not ask for it.
    fn only(&self, row: &PgRow) -> Result<Option<i64>, Failure> {
        let raw = row.try_get_raw(0).map_err(|error| Failure::internal("reading a row", error))?;
        match (self.readers.first(), raw.is_null()) {
            (Some(reader), false) => {
                let bytes = raw.as_bytes().map_err(|error| Failure::internal("reading a row", error))?;
                Ok(integer(&reader.read(Some(bytes))?))
            }
            _ => Ok(None),
        }
    }

    fn value(&mut self, row: &PgRow, index: usize) -> Result<Value, Failure> {
        let broken = |error: &dyn std::fmt::Display| Failure::internal("reading a row", error);
        let raw = row.try_get_raw(index).map_err(|error| broken(&error))?;
        let bytes = if raw.is_null() { None } else { Some(raw.as_bytes().map_err(|error| broken(&error))?) };
        self.bytes += bytes.map_or(0, <[u8]>::len) as u64 + VALUE_COST;
        self.limits.check(Limit::DbBytes, self.bytes)?;
        let Some(reader) = self.readers.get(index) else {
            return Err(Failure::internal("reading a row", "it has more values than were described"));
        };
        reader.read(bytes)
    }
}
