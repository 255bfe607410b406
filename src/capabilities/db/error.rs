//! What a script reads when SQLite refuses.

use rusqlite::{Error, ErrorCode};

use super::access::Access;
use super::sqlite::{Deadline, Guarded, LIKE_BYTES, Seen, Stop, VALUE_BYTES, Written};
use super::text::fixed;
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};

/// An error of the script's own SQL.
pub fn database(message: impl Into<String>) -> Failure {
    Failure::new("DatabaseError", message)
}

/// The wait for a lock was too long. Names the limit that bounds it.
pub fn locked(deadline: Deadline) -> Failure {
    let mut failure = deadline.failure();
    failure.message = format!(
        "the database is locked: another transaction of this tenant, perhaps of this same call, has been writing \
         for longer than this one may wait ({}, the setting {} changes it)",
        deadline.limit.show(deadline.value),
        deadline.limit.setting(),
    );
    failure
}

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
            let mut message = msg;
            if let Some(hint) = hint(connection, access.as_ref(), &message) {
                message = format!("{message}; {hint}");
            }
            if let Some(place) = written.and_then(|written| place(written, offset)) {
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

/// Where in the script's text, counted from 1.
fn place(written: &Written, offset: i32) -> Option<String> {
    let at = written.offset.checked_add(usize::try_from(offset).ok()?)?;
    let before = written.sql.get(..at)?;
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    Some(format!("line {line}, column {column}"))
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
        if tables.is_empty() {
            return Some("this tenant has no tables yet".to_owned());
        }
        let tables: Vec<_> = tables.into_iter().filter(|table| known(table)).collect();
        return Some(match closest(name, &tables) {
            Some(table) => format!("did you mean {table}?"),
            None if tables.is_empty() => "there are none that this script may read".to_owned(),
            None => format!("there are: {}", list(&tables)),
        });
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

/// The first ten.
pub fn list<T: AsRef<str>>(names: &[T]) -> String {
    let mut text = names.iter().take(10).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if names.len() > 10 {
        text.push_str(&format!(" and {} more", names.len() - 10));
    }
    text
}

/// The name that was perhaps meant: it differs by at most a third of its letters.
pub fn closest<'n, T: AsRef<str>>(name: &str, known: &'n [T]) -> Option<&'n str> {
    // The distance takes time in the product of the lengths.
    if name.len() > 64 {
        return None;
    }
    let name = name.to_lowercase();
    known
        .iter()
        .map(AsRef::as_ref)
        .filter(|known| known.len() <= 64)
        .map(|known| (strsim::osa_distance(&name, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= known.chars().count().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}
