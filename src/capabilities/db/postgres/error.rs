//! What a script reads when PostgreSQL refuses.
//!
//! Only the message's first line is used, and of the rest the names of tables,
//! columns and constraints: DETAIL, HINT and CONTEXT quote values and statements
//! that may be another tenant's.

use sqlx::postgres::PgDatabaseError;

use super::bounded::TOO_LARGE_CODE;
use super::catalog::Catalog;
use super::ready::Ready;
use super::run::Failed;
use crate::capabilities::db::Access;
use crate::capabilities::db::deadline::Deadline;
use crate::capabilities::db::error::{database, fixed, locked};
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};
use crate::spelling::closest;

/// Makes an error of PostgreSQL's one that a script's author can act on. What is
/// not the script's doing goes to the operator's log instead.
pub fn explain(
    failed: Failed,
    ready: Option<&Ready>,
    catalog: &Catalog,
    access: &Access,
    limits: &Limits,
    deadline: Deadline,
) -> Failure {
    let error = match failed {
        Failed::Known(failure) | Failed::Stopped(failure) => return failure,
        Failed::Broken(sqlx::Error::Database(error)) => {
            return match error.try_downcast::<PgDatabaseError>() {
                // Idle too long in a transaction: the host should have been sooner.
                Ok(error) if error.code() == "25P03" => deadline.failure(),
                Ok(error) => Failure::internal("the database", error.message()),
                Err(error) => Failure::internal("the database", error),
            };
        }
        Failed::Broken(error) => return Failure::internal("the database", error),
        Failed::Refused(error) => error,
    };
    match (error.code(), error.message().parse()) {
        (TOO_LARGE_CODE, Ok(bytes)) => Failure::limit(Limit::DbBytes, limits.db_bytes, bytes),
        _ => refused(&error, ready, catalog, access, deadline),
    }
}

fn refused(
    error: &PgDatabaseError,
    ready: Option<&Ready>,
    catalog: &Catalog,
    access: &Access,
    deadline: Deadline,
) -> Failure {
    let message = error.message().replace("pg_catalog.", "");
    let table = error.table().unwrap_or_default();
    let constraint = error.constraint().unwrap_or_default();
    match error.code() {
        "23505" => database(format!("UNIQUE constraint failed: {}", key(catalog, table, constraint))),
        "23503" => database("FOREIGN KEY constraint failed"),
        "23502" => database(format!("NOT NULL constraint failed: {table}.{}", error.column().unwrap_or_default())),
        "23514" => database(format!("CHECK constraint failed: {constraint}")),
        "23P01" => database(format!("EXCLUDE constraint failed: {constraint}")),
        "42703" => column(&message, ready, catalog, access),
        "42883" => match message.strip_prefix("function ").and_then(|rest| rest.strip_suffix(" does not exist")) {
            Some(function) => database(format!("no such function: {function}")),
            None => database(message),
        },
        "57014" => deadline.failure(),
        "55P03" => locked(deadline),
        "40001" | "40P01" => Failure::new(
            "ConflictError",
            "the statement was undone because another transaction changed the same rows at the same time; begin the \
             transaction again",
        ),
        "25P02" => database("the transaction was rolled back by an error before"),
        "53400" => fixed("the statement needs more temporary space than one may have".to_owned()),
        "53200" => fixed("the statement needs more memory than one may have".to_owned()),
        "42501" => privilege(&message, catalog, table),
        code if code.starts_with("54") => fixed(format!("the statement is beyond what the database takes: {message}")),
        code if ["0A", "21", "22", "2B", "34", "42", "44", "P0"].iter().any(|class| code.starts_with(class)) => {
            database(message)
        }
        code => Failure::internal("the database", format!("{code}: {message}")),
    }
}

/// The columns of a key, without the tenant's, which begins all of them.
fn key(catalog: &Catalog, table: &str, constraint: &str) -> String {
    let known = catalog.table(table);
    let columns = known.and_then(|known| known.keys.get(constraint));
    match (known, columns) {
        (Some(known), Some(columns)) if !columns.is_empty() => {
            let own: Vec<String> = columns
                .iter()
                .filter(|column| Some(*column) != known.tenant.as_ref())
                .map(|column| format!("{table}.{column}"))
                .collect();
            own.join(", ")
        }
        _ => constraint.to_owned(),
    }
}

/// `column "x" does not exist`, `column i.x does not exist`, or
/// `column "x" of relation "items" does not exist`.
fn column(message: &str, ready: Option<&Ready>, catalog: &Catalog, access: &Access) -> Failure {
    let Some(rest) = message.strip_prefix("column ").and_then(|rest| rest.strip_suffix(" does not exist")) else {
        return database(message);
    };
    let (shown, relation) = match rest.split_once(" of relation ") {
        Some((column, relation)) => (column.trim_matches('"'), Some(relation.trim_matches('"'))),
        None => (rest.trim_matches('"'), None),
    };
    let name = shown.rsplit('.').next().unwrap_or(shown).trim_matches('"');
    let hint =
        |known: &[&str]| closest(name, known).map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
    if let Some((table, relation)) = relation.and_then(|relation| Some((catalog.table(relation)?, relation))) {
        let known: Vec<&str> = table.shown().map(|column| column.name.as_str()).collect();
        return database(format!("table {relation} has no column named {name}{}", hint(&known)));
    }
    let place = ready
        .and_then(|ready| ready.written.as_ref())
        .and_then(|checked| checked.places.iter().find(|(known, _)| known == name))
        .map(|(_, span)| super::text::place(*span))
        .unwrap_or_default();
    database(format!("no such column: {shown}{}{place}", hint(&catalog.columns(|table| access.read(table).is_ok()))))
}

fn privilege(message: &str, catalog: &Catalog, table: &str) -> Failure {
    if message.contains("row-level security") {
        let tenant = catalog.table(table).and_then(|known| known.tenant.clone()).unwrap_or_default();
        return Failure::denied(format!(
            "a row of another tenant can't be written; leave the column {tenant} out, and it is this tenant's"
        ));
    }
    let named = |prefix: &str| message.strip_prefix(prefix).map(str::to_owned);
    if let Some(name) = named("permission denied for function ") {
        return Failure::denied(format!("the SQL function {name}() is not available to scripts"));
    }
    if let Some(name) = named("permission denied for table ") {
        return Failure::denied(format!("this is not granted to scripts on the table {name}"));
    }
    Failure::internal("the database", message)
}
