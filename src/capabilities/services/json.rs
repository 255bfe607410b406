//! Values of the database as JSON, and JSON as values of the database.
//!
//! | database | JSON |
//! |---|---|
//! | null, text, boolean | the same |
//! | integer within ±(2^53 − 1) | number |
//! | integer beyond | text of its digits: as a number JavaScript would round it |
//! | real | number; `"Infinity"` and `"-Infinity"` as text, for JSON has none |
//! | blob | Base64 text |
//!
//! The other way a number without a fraction within 64 bits is an integer,
//! every other a real, and an object or array its JSON text.

use serde_json::{Map, Number, Value as Json};

use crate::runtime::bindings::airlock::script::db::{Outcome, Value};

/// JavaScript's `Number.MAX_SAFE_INTEGER`.
const SAFE: u64 = (1 << 53) - 1;

/// The rows as an array of objects.
pub fn rows(outcome: Outcome) -> Vec<Json> {
    let Outcome { columns, values, .. } = outcome;
    let mut rows = Vec::with_capacity(values.len() / columns.len().max(1));
    let mut values = values.into_iter().peekable();
    while !columns.is_empty() && values.peek().is_some() {
        let row: Map<String, Json> = columns.iter().cloned().zip(values.by_ref().map(json)).collect();
        rows.push(Json::Object(row));
    }
    rows
}

fn json(value: Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(flag) => Json::Bool(flag),
        Value::Integer(number) if number.unsigned_abs() <= SAFE => Json::Number(number.into()),
        Value::Integer(number) => Json::String(number.to_string()),
        Value::Real(number) => match Number::from_f64(number) {
            Some(number) => Json::Number(number),
            None if number > 0.0 => Json::String("Infinity".to_owned()),
            None => Json::String("-Infinity".to_owned()),
        },
        Value::Text(text) => Json::String(text),
        Value::Json(text) => serde_json::from_str(&text).unwrap_or(Json::String(text)),
        Value::Blob(bytes) => Json::String(base64(&bytes)),
    }
}

/// What a script gave for a column or to compare one with.
pub fn value(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Boolean(flag),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None => number.as_f64().map_or(Value::Null, Value::Real),
        },
        Json::String(text) => Value::Text(text),
        nested => Value::Json(nested.to_string()),
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let three = [chunk[0], *chunk.get(1).unwrap_or(&0), *chunk.get(2).unwrap_or(&0)];
        let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
        for index in 0..4 {
            if index <= chunk.len() {
                text.push(char::from(LETTERS[(bits >> (18 - 6 * index)) as usize & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}
