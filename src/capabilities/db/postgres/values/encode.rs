//! A script's values, as the server takes them.
//!
//! | type of the parameter | takes |
//! |---|---|
//! | boolean | boolean, 0, 1, `"true"`, `"false"` |
//! | integers, oid | a number without a fraction within the type's range, or its text |
//! | double precision, real | a number that it holds, or its text |
//! | numeric | a number, or its text |
//! | text, varchar, char, name, xml, enums | text; a number as its text; an object as its JSON |
//! | uuid, date, time, timestamp | text, and so a Date; a date only at midnight in UTC |
//! | timestamp with time zone | text, and so a Date; in UTC where it says no zone |
//! | bytea | bytes |
//! | json, jsonb | an object or an array; text that is JSON; a number; a boolean |
//! | arrays of these | an array |

use serde_json::Value as Json;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgTypeKind};
use sqlx::{Encode, Postgres, Type, TypeInfo};

use super::{numeric, oid, time};
use crate::runtime::bindings::airlock::script::db::Value;
use crate::runtime::failure::Failure;

/// A parameter as it is sent.
pub struct Bound {
    /// None is NULL.
    bytes: Option<Vec<u8>>,
    info: PgTypeInfo,
}

/// Why a value does not fit, as the end of a sentence.
type Unfit = String;

/// Whether values can be sent for parameters of a type.
pub fn writable(number: u32) -> bool {
    matches!(
        number,
        oid::BOOL
            | oid::BYTEA
            | oid::CHAR
            | oid::NAME
            | oid::INT8
            | oid::INT2
            | oid::INT4
            | oid::TEXT
            | oid::OID
            | oid::JSON
            | oid::XML
            | oid::FLOAT4
            | oid::FLOAT8
            | oid::UNKNOWN
            | oid::BPCHAR
            | oid::VARCHAR
            | oid::DATE
            | oid::TIME
            | oid::TIMESTAMP
            | oid::TIMESTAMPTZ
            | oid::NUMERIC
            | oid::UUID
            | oid::JSONB
    )
}

impl Bound {
    /// `number` counts from 1.
    pub fn new(number: usize, value: &Value, info: &PgTypeInfo) -> Result<Bound, Failure> {
        let bytes = match value {
            Value::Null => None,
            value => Some(write(value, info).map_err(|reason| {
                Failure::argument(format!("parameter {number} {reason}", reason = unfit(reason, info)))
            })?),
        };
        Ok(Bound { bytes, info: info.clone() })
    }
}

fn unfit(reason: Unfit, info: &PgTypeInfo) -> String {
    if reason.is_empty() {
        let shown = info.name().to_lowercase();
        format!(
            "is of the type {shown}, which no value of JavaScript is like; give a text, and write CAST(CAST($n AS text) AS {shown})"
        )
    } else {
        reason
    }
}

impl Type<Postgres> for Bound {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(sqlx::postgres::types::Oid(oid::TEXT))
    }

    fn compatible(_: &PgTypeInfo) -> bool {
        true
    }
}

impl Encode<'_, Postgres> for Bound {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Ok(match &self.bytes {
            None => IsNull::Yes,
            Some(bytes) => {
                buffer.extend_from_slice(bytes);
                IsNull::No
            }
        })
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.info.clone())
    }
}

fn write(value: &Value, info: &PgTypeInfo) -> Result<Vec<u8>, Unfit> {
    let number = info.oid().map_or(0, |oid| oid.0);
    if writable(number) {
        return own(value, number);
    }
    match info.kind() {
        PgTypeKind::Enum(_) => match value {
            Value::Text(text) => Ok(text.clone().into_bytes()),
            other => Err(format!("takes a text and was given {}", given(other))),
        },
        PgTypeKind::Domain(base) => write(value, base),
        PgTypeKind::Array(element) => array(value, element),
        PgTypeKind::Simple if info.name().eq_ignore_ascii_case("citext") => own(value, oid::TEXT),
        _ => Err(String::new()),
    }
}

fn own(value: &Value, number: u32) -> Result<Vec<u8>, Unfit> {
    let takes = |what: &str| Err(format!("takes {what} and was given {}", given(value)));
    match number {
        oid::BOOL => Ok(vec![u8::from(match value {
            Value::Boolean(flag) => *flag,
            Value::Integer(number @ (0 | 1)) => *number == 1,
            Value::Text(text) if text == "true" || text == "false" => text == "true",
            _ => return takes("a boolean"),
        })]),
        oid::INT2 | oid::INT4 | oid::INT8 | oid::OID => {
            let Some(integer) = integer(value) else { return takes("a whole number") };
            let fits = match number {
                oid::INT2 => i16::try_from(integer).ok().map(|number| number.to_be_bytes().to_vec()),
                oid::INT4 => i32::try_from(integer).ok().map(|number| number.to_be_bytes().to_vec()),
                oid::OID => u32::try_from(integer).ok().map(|number| number.to_be_bytes().to_vec()),
                _ => Some(integer.to_be_bytes().to_vec()),
            };
            let range = match number {
                oid::INT2 => "-32768 to 32767",
                oid::OID => "0 to 4294967295",
                _ => "-2147483648 to 2147483647",
            };
            fits.ok_or_else(|| format!("takes a whole number from {range} and was given {integer}"))
        }
        oid::FLOAT8 | oid::FLOAT4 => {
            let real = match value {
                Value::Real(real) => Some(*real),
                Value::Integer(integer) if (*integer as f64) as i128 == i128::from(*integer) => Some(*integer as f64),
                Value::Text(text) => text.trim().parse().ok(),
                _ => None,
            };
            match real {
                Some(real) if number == oid::FLOAT8 => Ok(real.to_be_bytes().to_vec()),
                // What PostgreSQL would refuse too: a number beyond its range.
                Some(real) if (real as f32).is_infinite() == real.is_infinite() => {
                    Ok((real as f32).to_be_bytes().to_vec())
                }
                _ => takes("a number that it can hold"),
            }
        }
        oid::NUMERIC => {
            let text = match value {
                Value::Integer(number) => number.to_string(),
                Value::Real(number) => number.to_string().replace("inf", "Infinity"),
                Value::Text(text) => text.trim().to_owned(),
                _ => return takes("a number"),
            };
            numeric::write(&text).map_or_else(|| takes("a number"), Ok)
        }
        oid::BYTEA => match value {
            Value::Blob(bytes) => Ok(bytes.clone()),
            _ => takes("bytes, a Uint8Array,"),
        },
        oid::UUID => match value {
            Value::Text(text) => match uuid::Uuid::try_parse(text.trim()) {
                Ok(id) => Ok(id.as_bytes().to_vec()),
                Err(_) => takes("a UUID"),
            },
            _ => takes("a UUID"),
        },
        oid::DATE => match value {
            Value::Text(text) => time::write_date(text)
                .map_or_else(|| takes("a date such as 2024-01-31"), |day| Ok(day.to_be_bytes().to_vec())),
            _ => takes("a date"),
        },
        oid::TIME => match value {
            Value::Text(text) => time::write_time(text)
                .map_or_else(|| takes("a time such as 13:05:09"), |time| Ok(time.to_be_bytes().to_vec())),
            _ => takes("a time of day"),
        },
        oid::TIMESTAMP => match value {
            Value::Text(text) => time::write_timestamp(text).map_or_else(
                || takes("a date and time such as 2024-01-31T13:05:09, without a zone or in UTC,"),
                |time| Ok(time.to_be_bytes().to_vec()),
            ),
            _ => takes("a date and time"),
        },
        oid::TIMESTAMPTZ => match value {
            Value::Text(text) => time::write_timestamptz(text).map_or_else(
                || takes("a date and time such as 2024-01-31T13:05:09Z"),
                |time| Ok(time.to_be_bytes().to_vec()),
            ),
            _ => takes("a date and time"),
        },
        oid::JSON | oid::JSONB => {
            let text = match value {
                Value::Json(json) => json.clone(),
                Value::Text(text) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => text.clone(),
                Value::Boolean(flag) => flag.to_string(),
                Value::Integer(number) => number.to_string(),
                Value::Real(number) if number.is_finite() => number.to_string(),
                _ => return takes("an object, or a text that is JSON,"),
            };
            // The first byte is the version of the format.
            let mut bytes = if number == oid::JSONB { vec![1] } else { Vec::new() };
            bytes.extend(text.into_bytes());
            Ok(bytes)
        }
        _ => {
            let text = match value {
                Value::Text(text) | Value::Json(text) => text.clone(),
                Value::Integer(number) => number.to_string(),
                Value::Real(number) => number.to_string(),
                _ => return takes("a text"),
            };
            if text.contains('\0') {
                return Err("holds a NUL character, which PostgreSQL's texts can't".to_owned());
            }
            Ok(text.into_bytes())
        }
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        // Within the range, every one without a fraction is exact.
        Value::Real(number) if number.fract() == 0.0 && number.abs() < 9.2e18 => Some(*number as i64),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn given(value: &Value) -> String {
    let short = |text: &str| {
        let shown: String = text.chars().take(40).collect();
        format!("{shown:?}")
    };
    match value {
        Value::Null => "null".to_owned(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => short(text),
        Value::Json(json) if json.starts_with('[') => "an array".to_owned(),
        Value::Json(_) => "an object".to_owned(),
        Value::Blob(_) => "bytes".to_owned(),
    }
}

/// An array on the wire: the dimensions, whether there is a NULL, the type, and
/// the elements row by row.
fn array(value: &Value, element: &PgTypeInfo) -> Result<Vec<u8>, Unfit> {
    let json = match value {
        Value::Json(json) if json.starts_with('[') => serde_json::from_str::<Json>(json).ok(),
        _ => None,
    };
    let Some(json) = json else {
        return Err(format!("takes an array and was given {}", given(value)));
    };
    // JSON elements are taken as they are: an array there is an element.
    let of_json = matches!(element.oid().map(|oid| oid.0), Some(oid::JSON | oid::JSONB));
    let mut lengths = Vec::new();
    let mut level = &json;
    while let Json::Array(items) = level {
        lengths.push(items.len());
        match items.first() {
            Some(first) if !of_json => level = first,
            _ => break,
        }
    }
    if lengths.len() > 6 {
        return Err("takes an array of at most 6 dimensions".to_owned());
    }
    let mut bytes = Vec::new();
    if lengths.contains(&0) {
        lengths.clear();
    }
    bytes.extend((lengths.len() as i32).to_be_bytes());
    bytes.extend(1_i32.to_be_bytes());
    bytes.extend(element.oid().map_or(0, |oid| oid.0).to_be_bytes());
    for length in &lengths {
        bytes.extend((*length as i32).to_be_bytes());
        bytes.extend(1_i32.to_be_bytes());
    }
    if !lengths.is_empty() {
        elements(&json, &lengths, element, of_json, &mut bytes)?;
    }
    Ok(bytes)
}

fn elements(
    json: &Json,
    lengths: &[usize],
    element: &PgTypeInfo,
    of_json: bool,
    bytes: &mut Vec<u8>,
) -> Result<(), Unfit> {
    if let Some((&length, inner)) = lengths.split_first() {
        let Json::Array(items) = json else {
            return Err("takes an array whose rows are all as long".to_owned());
        };
        if items.len() != length {
            return Err("takes an array whose rows are all as long".to_owned());
        }
        return items.iter().try_for_each(|item| elements(item, inner, element, of_json, bytes));
    }
    let value = match json {
        Json::Null => {
            bytes.extend((-1_i32).to_be_bytes());
            return Ok(());
        }
        json if of_json => Value::Json(json.to_string()),
        Json::Bool(flag) => Value::Boolean(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Value::Integer(integer),
            None => Value::Real(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Object(_) => Value::Json(json.to_string()),
        Json::Array(_) => return Err("takes an array whose rows are all as long".to_owned()),
    };
    let written = write(&value, element).map_err(|reason| match reason.is_empty() {
        true => reason,
        false => format!("has an element that {reason}"),
    })?;
    bytes.extend((written.len() as i32).to_be_bytes());
    bytes.extend(written);
    Ok(())
}
