//! What a script reads when SQLite refuses.

use rusqlite::{Error, ErrorCode};

use super::connection::{Guarded, LIKE_BYTES, Seen, Stop, VALUE_BYTES, Written};
use crate::capabilities::db::Access;
use crate::capabilities::db::deadline::Deadline;
use crate::capabilities::db::error::{database, fixed, locked, table_hint};
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};
use crate::spelling::closest;

/// Makes an error of SQLite's one that a script's author can act on. What is
/// not the script's doing goes to the operator's log instead.
pub fn explain(
    connection: &Guarded,
    error: Error,
    written: Option<&Written>,
    limits: &Limits,
    deadline: Deadline,
    Seen { stop, denied, access }: Seen,
) -> Failure {
    if let Some(failure) = denied {
        return failure;
    }
    match error {
        Error::SqlInputError { msg, offset, .. } => {
            let mut message = match (written, unquoted(&msg)) {
                // A table operation quotes every name.
                (None, Some(message)) => message,
                _ => msg,
            };
            if let Some(hint) = hint(connection, access.as_ref(), &message) {
                message = format!("{message}; {hint}");
            }
            if let Some(place) = written.and_then(|written| written.place(offset)) {
                message = format!("{message} ({place})");
            }
            database(message)
        }
        Error::SqliteFailure(error, message) => {
            let message = message.unwrap_or_else(|| error.to_string());
            match error.code {
                ErrorCode::OperationInterrupted => match stop {
                    Some(Stop::Memory) => fixed(
                        "the statement was stopped because it sorted, grouped or recursed over more than the \
                         database's memory holds"
                            .to_owned(),
                    ),
                    _ => deadline.failure(),
                },
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => locked(deadline),
                ErrorCode::DiskFull => Failure::limit(Limit::DbSize, limits.db_size, limits.db_size),
                ErrorCode::TooBig => fixed(format!(
                    "a value or a row is longer than {}KiB, the most that the database takes",
                    limits.db_bytes.min(VALUE_BYTES as u64) >> 10
                )),
                ErrorCode::OutOfMemory => {
                    fixed("the statement needs more memory, or more instructions, than one may have".to_owned())
                }
                ErrorCode::AuthorizationForStatementDenied => Failure::denied(message),
                ErrorCode::Unknown if message.contains("LIKE or GLOB pattern too complex") => {
                    fixed(format!("a pattern of LIKE or GLOB is longer than {LIKE_BYTES} bytes"))
                }
                ErrorCode::Unknown => match hint(connection, access.as_ref(), &message) {
                    Some(hint) => database(format!("{message}; {hint}")),
                    None => database(message),
                },
                ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::ParameterOutOfRange => {
                    database(message)
                }
                _ => Failure::internal("the database", format!("{error}: {message}")),
            }
        }
        Error::MultipleStatement => Failure::argument("the text holds more than one SQL statement"),
        error => Failure::internal("the database", error),
    }
}

/// `no such column: "x" - should this be a string literal in single-quotes?`
/// without what it asks.
fn unquoted(message: &str) -> Option<String> {
    let (name, _) = message.strip_prefix("no such column: \"")?.rsplit_once("\" - should this be")?;
    Some(format!("no such column: {name}"))
}

/// What was perhaps meant.
fn hint(connection: &Guarded, access: Option<&Access>, message: &str) -> Option<String> {
    // A script learns no names of what it may not read.
    let known = |table: &str| access.is_none_or(|access| access.read(table).is_ok());
    if let Some(name) = message.strip_prefix("no such table: ") {
        let name = name.strip_prefix("main.").unwrap_or(name);
        let tables = names(
            connection,
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
             ORDER BY name LIMIT 500",
            |row| row.get::<_, String>(0),
        );
        return Some(table_hint(name, &tables, known));
    }
    let name = match message.strip_prefix("no such column: ") {
        Some(name) => name,
        None if message.starts_with("table ") => message.split_once(" has no column named ")?.1,
        None => return None,
    };
    let columns = names(
        connection,
        "SELECT DISTINCT tables.name, columns.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns \
         WHERE tables.type IN ('table', 'view') LIMIT 2000",
        |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
    );
    let columns: Vec<_> = columns.into_iter().filter(|(table, _)| known(table)).map(|(_, column)| column).collect();
    let name = name.rsplit('.').next().unwrap_or(name);
    closest(name, &columns).map(|column| format!("did you mean {column}?"))
}

fn names<T>(connection: &Guarded, sql: &str, read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
    // Without names there is no hint, and the error itself stands.
    connection.trusted(|connection| connection.prepare(sql)?.query_map([], read)?.collect()).unwrap_or_default()
}
