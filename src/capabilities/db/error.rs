//! What both databases say in the same words.

use super::deadline::Deadline;
use crate::runtime::failure::Failure;
use crate::spelling::closest;

/// An error of the script's own SQL.
pub fn database(message: impl Into<String>) -> Failure {
    Failure::new("DatabaseError", message)
}

/// A limit that no setting changes.
pub fn fixed(message: String) -> Failure {
    Failure::new("LimitError", message)
}

/// What a statement of a transaction that was ended answers.
pub fn ended() -> Failure {
    database("the transaction has ended")
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

/// A place in a script's text, counted from 1. None where the text has no such byte.
pub fn place(text: &str, at: usize) -> Option<String> {
    let before = text.get(..at)?;
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    Some(format!("line {line}, column {column}"))
}

/// A statement was given another number of parameters than it has.
pub fn parameters(expected: usize, given: usize) -> Failure {
    Failure::argument(format!(
        "the statement takes {}, and {} given",
        match expected {
            0 => "no parameters".to_owned(),
            1 => "1 parameter".to_owned(),
            many => format!("{many} parameters"),
        },
        match given {
            0 => "none were".to_owned(),
            1 => "1 was".to_owned(),
            many => format!("{many} were"),
        },
    ))
}

/// What is perhaps meant where there is no table of that name.
/// Names none that are not `known` to the script.
pub fn table_hint<T: AsRef<str>>(name: &str, tables: &[T], known: impl Fn(&str) -> bool) -> String {
    if tables.is_empty() {
        return "this tenant has no tables yet".to_owned();
    }
    let tables: Vec<&str> = tables.iter().map(AsRef::as_ref).filter(|table| known(table)).collect();
    match closest(name, &tables) {
        Some(table) => format!("did you mean {table}?"),
        None if tables.is_empty() => "there are none that this script may read".to_owned(),
        None => format!("there are: {}", list(&tables)),
    }
}

/// The first ten.
pub fn list<T: AsRef<str>>(names: &[T]) -> String {
    let mut text = names.iter().take(10).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if names.len() > 10 {
        text.push_str(&format!(" and {} more", names.len() - 10));
    }
    text
}
