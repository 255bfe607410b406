//! What a script asks of its tables, before either database is asked.

use crate::runtime::bindings::airlock::script::db::{Assignment, Filter, Find, Value};
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};

/// One statement: SQL that a script wrote, or a table operation of `db` and of
/// services. Checked against the limits that hold for both databases.
#[derive(Debug, Clone)]
pub enum Statement {
    /// One statement with parameters `?` or `$1`, `$2`, …
    Script { sql: String, parameters: Vec<Value> },
    /// Rows of a table. An explicit limit is kept; without one, or with one
    /// beyond `limits.db_rows`, more rows than that fail with that limit.
    Find(Find),
    /// How many rows of a table there are, as `count`.
    Count { table: String, filters: Vec<Filter> },
    /// Answers the row as it was written.
    Insert { table: String, row: Vec<Assignment> },
    /// Changes the rows that all filters hold for, of which there is at least
    /// one. Answers the rows as they were written where `returning`.
    Update { table: String, filters: Vec<Filter>, row: Vec<Assignment>, returning: bool },
    /// Deletes the rows that all filters hold for, of which there is at least one.
    Delete { table: String, filters: Vec<Filter> },
}

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads. Also whatever is no statement: the database says what is wrong with it.
    Select,
    Insert,
    Update,
    Delete,
}

impl Statement {
    pub fn script(sql: String, parameters: Vec<Value>, limits: &Limits) -> Result<Statement, Failure> {
        limits.check(Limit::DbStatementBytes, sql.len() as u64)?;
        check(parameters.iter(), limits)?;
        Ok(Statement::Script { sql, parameters })
    }

    pub fn find(find: Find, limits: &Limits) -> Result<Statement, Failure> {
        check(values(&find.filters), limits)?;
        Ok(Statement::Find(find))
    }

    pub fn count(table: &str, filters: Vec<Filter>, limits: &Limits) -> Result<Statement, Failure> {
        check(values(&filters), limits)?;
        Ok(Statement::Count { table: table.to_owned(), filters })
    }

    pub fn insert(table: &str, row: Vec<Assignment>, limits: &Limits) -> Result<Statement, Failure> {
        check(row.iter().map(|given| &given.value), limits)?;
        Ok(Statement::Insert { table: table.to_owned(), row })
    }

    /// Refuses to change all rows.
    pub fn update(
        table: &str,
        filters: Vec<Filter>,
        row: Vec<Assignment>,
        returning: bool,
        limits: &Limits,
    ) -> Result<Statement, Failure> {
        if filters.is_empty() {
            return Err(unfiltered("update", "UPDATE"));
        }
        if row.is_empty() {
            return Err(Failure::argument("update needs at least one column to change"));
        }
        check(row.iter().map(|given| &given.value).chain(values(&filters)), limits)?;
        Ok(Statement::Update { table: table.to_owned(), filters, row, returning })
    }

    /// Refuses to delete all rows.
    pub fn delete(table: &str, filters: Vec<Filter>, limits: &Limits) -> Result<Statement, Failure> {
        if filters.is_empty() {
            return Err(unfiltered("delete", "DELETE"));
        }
        check(values(&filters), limits)?;
        Ok(Statement::Delete { table: table.to_owned(), filters })
    }
}

fn values(filters: &[Filter]) -> impl Iterator<Item = &Value> {
    filters.iter().flat_map(|filter| &filter.values)
}

fn check<'a>(parameters: impl Iterator<Item = &'a Value>, limits: &Limits) -> Result<(), Failure> {
    let (mut count, mut bytes) = (0_u64, 0_u64);
    for value in parameters {
        count += 1;
        bytes = bytes.saturating_add(match value {
            Value::Text(text) | Value::Json(text) => text.len() as u64,
            Value::Blob(bytes) => bytes.len() as u64,
            // SQLite would store null in its place.
            Value::Real(number) if number.is_nan() => {
                return Err(Failure::argument(format!("parameter {count} is NaN, which the database can't hold")));
            }
            _ => 8,
        });
    }
    limits.check(Limit::DbParameters, count)?;
    limits.check(Limit::DbBytes, bytes)
}

fn unfiltered(operation: &str, statement: &str) -> Failure {
    Failure::argument(format!(
        "{operation} without a filter would change every row of the table; if that is meant, write the {statement} \
         as SQL with db.execute"
    ))
}
