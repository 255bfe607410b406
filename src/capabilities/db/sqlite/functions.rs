//! SQL functions that replace SQLite's own of the same name.
//!
//! SQLite's `instr`, `replace` and two-argument `trim` take time in the product
//! of their arguments' lengths: with values of 256 KiB, seconds to minutes in
//! one call, which nothing can interrupt. These answer the same in linear time.

use std::borrow::Cow;
use std::collections::HashSet;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, Result, ffi};

use super::connection::VALUE_BYTES;

/// Gives a connection these functions.
pub fn register(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function(c"instr", 2, flags, instr)?;
    connection.create_scalar_function(c"replace", 3, flags, replace)?;
    connection.create_scalar_function(c"trim", 2, flags, |context| {
        trimmed(context, |text, set| text.trim_matches(|letter| set.contains(&letter)))
    })?;
    connection.create_scalar_function(c"ltrim", 2, flags, |context| {
        trimmed(context, |text, set| text.trim_start_matches(|letter| set.contains(&letter)))
    })?;
    connection.create_scalar_function(c"rtrim", 2, flags, |context| {
        trimmed(context, |text, set| text.trim_end_matches(|letter| set.contains(&letter)))
    })
}

/// Where a value is first found in another, from 1; 0 where it is not. Bytes in
/// two blobs, characters in all else.
fn instr(context: &Context<'_>) -> Result<Option<i64>> {
    if let (ValueRef::Blob(bytes), ValueRef::Blob(sought)) = (context.get_raw(0), context.get_raw(1)) {
        return Ok(Some(position(&latin(bytes), &latin(sought))));
    }
    Ok(match (text(context.get_raw(0)), text(context.get_raw(1))) {
        (Some(text), Some(sought)) => Some(position(&text, &sought)),
        _ => None,
    })
}

fn position(text: &str, sought: &str) -> i64 {
    text.find(sought).map_or(0, |at| text[..at].chars().count() as i64 + 1)
}

/// Bytes as characters of the same number, for the standard library searches
/// only text in linear time.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn replace(context: &Context<'_>) -> Result<Option<String>> {
    let (Some(text), Some(sought), Some(with)) =
        (text(context.get_raw(0)), text(context.get_raw(1)), text(context.get_raw(2)))
    else {
        return Ok(None);
    };
    if sought.is_empty() {
        return Ok(Some(text.into_owned()));
    }
    // Measured before it is built: the product could be gigabytes.
    let matches = text.matches(&*sought).count();
    if text.len() - matches * sought.len() + matches * with.len() > VALUE_BYTES {
        return Err(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_TOOBIG), None));
    }
    Ok(Some(text.replace(&*sought, &with)))
}

fn trimmed(context: &Context<'_>, trim: impl for<'t> Fn(&'t str, &HashSet<char>) -> &'t str) -> Result<Option<String>> {
    let (Some(text), Some(letters)) = (text(context.get_raw(0)), text(context.get_raw(1))) else {
        return Ok(None);
    };
    Ok(Some(trim(&text, &letters.chars().collect()).to_owned()))
}

/// A value as text, as SQLite's functions take it; None for null.
fn text(value: ValueRef<'_>) -> Option<Cow<'_, str>> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(Cow::Owned(number.to_string())),
        ValueRef::Real(number) => Some(Cow::Owned(format!("{number:?}"))),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes)),
    }
}
