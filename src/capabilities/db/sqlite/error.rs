//! What a script reads when SQLite refuses.

use rusqlite::{Error, ErrorCode};

use super::connection::{Guarded, LIKE_BYTES, Stop, VALUE_BYTES, Written};
use crate::capabilities::db::deadline::Deadline;
use crate::capabilities::db::error::{closest, database, fixed, locked, table_hint};
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};

/// Makes an error of SQLite's one that a script's author can act on. What is
/// not the script's doing goes to the operator's log instead.
pub fn explain(
    connection: &Guarded,
    error: Error,
    written: Option<&Written>,
    limits: &Limits,
    deadline: Deadline,
    stop: Option<Stop>,
    denied: Option<String>,
) -> Failure {
    if let Some(reason) = denied {
        return Failure::denied(reason);
    }
    match error {
        Error::SqlInputError { msg, offset, .. } => {
            let mut message = match (written, unquoted(&msg)) {
                // A table operation quotes every name.
                (None, Some(message)) => message,
                _ => msg,
            };
            if let Some(hint) = hint(connection, &message) {
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
                ErrorCode::Unknown => match hint(connection, &message) {
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
fn hint(connection: &Guarded, message: &str) -> Option<String> {
    if let Some(name) = message.strip_prefix("no such table: ") {
        let name = name.strip_prefix("main.").unwrap_or(name);
        let tables = names(
            connection,
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
             ORDER BY name LIMIT 500",
        );
        return Some(table_hint(name, &tables));
    }
    let name = match message.strip_prefix("no such column: ") {
        Some(name) => name,
        None if message.starts_with("table ") => message.split_once(" has no column named ")?.1,
        None => return None,
    };
    let columns = names(
        connection,
        "SELECT DISTINCT columns.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns \
         WHERE tables.type IN ('table', 'view') LIMIT 2000",
    );
    let name = name.rsplit('.').next().unwrap_or(name);
    closest(name, &columns).map(|column| format!("did you mean {column}?"))
}

fn names(connection: &Guarded, sql: &str) -> Vec<String> {
    // Without names there is no hint, and the error itself stands.
    connection
        .trusted(|connection| connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect())
        .unwrap_or_default()
}
