//! One statement on a connection, from its text to its rows.

use rusqlite::Row;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};

use super::connection::{Failed, Guarded, Written, cached, forget_last_insert};
use super::statement::Prepared;
use crate::capabilities::db::statement::Verb;
use crate::capabilities::db::{error, exact};
use crate::runtime::bindings::airlock::script::db::{Outcome, Value};
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};

/// What a value costs beside its text or bytes, so that many small ones count.
const VALUE_COST: u64 = 16;

/// Runs a statement and reads its rows, as many as the limits allow.
pub fn run(guarded: &Guarded, statement: &Prepared, limits: &Limits) -> Result<Outcome, Failed> {
    let written = || {
        let (sql, offset) = statement.written.as_ref()?;
        Some(Written { sql: sql.clone(), offset: *offset })
    };
    let failed = |error| Failed::Sqlite(error, written());
    let connection = guarded.connection();
    guarded.ready(statement)?;
    let (mut kept, mut plain);
    let prepared: &mut rusqlite::Statement<'_> = if cached(&statement.sql) {
        kept = connection.prepare_cached(&statement.sql).map_err(failed)?;
        &mut kept
    } else {
        plain = connection.prepare(&statement.sql).map_err(failed)?;
        &mut plain
    };
    guarded.admit(&statement.sql, prepared).map_err(Failed::Known)?;
    bind(prepared, &statement.parameters)?;
    let writes = !prepared.readonly();
    if writes {
        forget_last_insert(connection);
    }

    let mut answer = Answer::new(limits);
    let mut rows = prepared.raw_query();
    while let Some(row) = rows.next().map_err(failed)? {
        answer.row(row).map_err(Failed::Known)?;
    }
    drop(rows);
    if answer.rows == 0 {
        answer.read_columns(prepared);
    }

    let affected = if writes { connection.changes() } else { 0 };
    let rowid = Some(connection.last_insert_rowid())
        .filter(|&rowid| writes && statement.verb == Verb::Insert && affected > 0 && rowid != 0);
    Ok(Outcome { columns: answer.columns, values: answer.values, affected, last_insert_id: rowid })
}

/// SQLite numbers `$1`, `$2` in the order in which they appear, as it does
/// every name; here the number says which parameter it is.
fn bind(prepared: &mut rusqlite::Statement<'_>, parameters: &[Value]) -> Result<(), Failed> {
    let places = prepared.parameter_count();
    let (mut named, mut expected) = (0, places);
    let mut order = Vec::with_capacity(places);
    for place in 1..=places {
        let number = match prepared.parameter_name(place).and_then(|name| name.strip_prefix('$')) {
            Some(number) => {
                named += 1;
                number.parse::<usize>().ok().filter(|&number| number > 0)
            }
            None => Some(place),
        };
        order.push(
            number.ok_or_else(|| Failed::Known(Failure::argument("parameters are `?`, or `$1`, `$2` and so on")))?,
        );
    }
    if named > 0 {
        if named < places {
            return Err(Failed::Known(Failure::argument(
                "the statement mixes `?` and `$1`; use one of them, so that it is clear which parameter is which",
            )));
        }
        expected = order.iter().copied().max().unwrap_or(0);
    }
    if parameters.len() != expected {
        return Err(Failed::Known(error::parameters(expected, parameters.len())));
    }
    for (place, number) in order.into_iter().enumerate() {
        prepared.raw_bind_parameter(place + 1, Bound(&parameters[number - 1]))?;
    }
    Ok(())
}

/// A value as SQLite stores it: booleans as 1 and 0, JSON as its text.
struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Boolean(flag) => ValueRef::Integer(i64::from(*flag)),
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Real(number) => ValueRef::Real(*number),
            Value::Text(text) | Value::Json(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// What a column is declared as, where that is more than SQLite's own types say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Declared {
    Boolean,
    Json,
    Other,
}

impl Declared {
    fn of(kind: Option<&str>) -> Declared {
        let is = |names: [&str; 2]| kind.is_some_and(|kind| names.iter().any(|name| kind.eq_ignore_ascii_case(name)));
        if is(["BOOLEAN", "BOOL"]) {
            Declared::Boolean
        } else if is(["JSON", "JSONB"]) {
            Declared::Json
        } else {
            Declared::Other
        }
    }
}

/// What a column declared JSON holds. SQLite takes any text for it; what is no
/// JSON stays one.
fn json(column: &str, text: String) -> Result<Value, Failure> {
    if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_err() {
        return Ok(Value::Text(text));
    }
    exact::check(column, &text)?;
    Ok(Value::Json(text))
}

struct Answer<'a> {
    limits: &'a Limits,
    columns: Vec<String>,
    declared: Vec<Declared>,
    values: Vec<Value>,
    rows: u64,
    bytes: u64,
}

impl<'a> Answer<'a> {
    fn new(limits: &'a Limits) -> Answer<'a> {
        Answer { limits, columns: Vec::new(), declared: Vec::new(), values: Vec::new(), rows: 0, bytes: 0 }
    }

    fn read_columns(&mut self, statement: &rusqlite::Statement<'_>) {
        for column in statement.columns() {
            self.columns.push(column.name().to_owned());
            self.declared.push(Declared::of(column.decl_type()));
        }
    }

    fn row(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        if self.rows == 0 {
            // Only now: the first step prepares the statement anew if the schema changed.
            self.read_columns(row.as_ref());
        }
        self.rows += 1;
        self.limits.check(Limit::DbRows, self.rows)?;
        for index in 0..self.columns.len() {
            let value = row.get_ref(index).map_err(|error| Failure::internal("reading a row", error))?;
            let size = match value {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() as u64,
                _ => 0,
            };
            self.bytes += size + VALUE_COST;
            self.limits.check(Limit::DbBytes, self.bytes)?;
            self.values.push(match value {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number @ (0 | 1)) if self.declared[index] == Declared::Boolean => {
                    Value::Boolean(number == 1)
                }
                ValueRef::Integer(number) => Value::Integer(number),
                ValueRef::Real(number) => Value::Real(number),
                // SQLite takes any bytes for text; what is no UTF-8 becomes U+FFFD.
                ValueRef::Text(bytes) => {
                    let text = String::from_utf8_lossy(bytes).into_owned();
                    match self.declared[index] {
                        Declared::Json => json(&self.columns[index], text)?,
                        _ => Value::Text(text),
                    }
                }
                ValueRef::Blob(bytes) => Value::Blob(bytes.to_owned()),
            });
        }
        Ok(())
    }
}
