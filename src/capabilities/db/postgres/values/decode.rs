//! What the server answers, as a script's values.

use serde_json::Value as Json;
use sqlx::TypeInfo;
use sqlx::postgres::{PgTypeInfo, PgTypeKind};

use super::{MAX_SAFE, numeric, oid, time};
use crate::capabilities::db::error::database;
use crate::capabilities::db::exact;
use crate::runtime::bindings::airlock::script::db::Value;
use crate::runtime::failure::Failure;

/// How the values of a column are read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reader {
    column: String,
    info: PgTypeInfo,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// One of [`oid`].
    Own(u32),
    Array(Box<Kind>),
    /// A type whose values this can't read.
    Other,
}

/// Whether values of a type can be read. For arrays, what they are of says it.
pub fn readable(number: u32) -> bool {
    own(number) || array_element(number).is_some()
}

fn own(number: u32) -> bool {
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
            | oid::INTERVAL
            | oid::NUMERIC
            | oid::VOID
            | oid::UUID
            | oid::JSONB
    )
}

/// What the arrays among PostgreSQL's own types are of.
fn array_element(array: u32) -> Option<u32> {
    Some(match array {
        143 => oid::XML,
        199 => oid::JSON,
        1000 => oid::BOOL,
        1002 => oid::CHAR,
        1003 => oid::NAME,
        1005 => oid::INT2,
        1007 => oid::INT4,
        1009 => oid::TEXT,
        1014 => oid::BPCHAR,
        1015 => oid::VARCHAR,
        1016 => oid::INT8,
        1021 => oid::FLOAT4,
        1022 => oid::FLOAT8,
        1028 => oid::OID,
        1115 => oid::TIMESTAMP,
        1182 => oid::DATE,
        1183 => oid::TIME,
        1185 => oid::TIMESTAMPTZ,
        1187 => oid::INTERVAL,
        1231 => oid::NUMERIC,
        2951 => oid::UUID,
        3807 => oid::JSONB,
        _ => return None,
    })
}

/// The same, for any type.
pub fn decodable(info: &PgTypeInfo) -> bool {
    kind_of(info) != Kind::Other
}

fn kind_of(info: &PgTypeInfo) -> Kind {
    let number = info.oid().map_or(0, |oid| oid.0);
    if own(number) {
        return Kind::Own(number);
    }
    if let Some(element) = array_element(number) {
        return Kind::Array(Box::new(Kind::Own(element)));
    }
    match info.kind() {
        PgTypeKind::Enum(_) => Kind::Own(oid::TEXT),
        PgTypeKind::Domain(base) => kind_of(base),
        PgTypeKind::Array(element) => match kind_of(element) {
            // Bytes have no place in JSON.
            Kind::Own(oid::BYTEA) | Kind::Other => Kind::Other,
            kind => Kind::Array(Box::new(kind)),
        },
        // An extension's type whose bytes are its text.
        PgTypeKind::Simple if info.name().eq_ignore_ascii_case("citext") => Kind::Own(oid::TEXT),
        _ => Kind::Other,
    }
}

impl Reader {
    /// Fails for a type that no value of a script's is like.
    pub fn new(column: &str, info: &PgTypeInfo) -> Result<Reader, Failure> {
        match kind_of(info) {
            Kind::Other => Err(database(format!(
                "the column {column} is of the type {}, which no value of JavaScript is like; write CAST({column} AS text)",
                info.name().to_lowercase()
            ))),
            kind => Ok(Reader { column: column.to_owned(), info: info.clone(), kind }),
        }
    }

    /// None is NULL.
    pub fn read(&self, bytes: Option<&[u8]>) -> Result<Value, Failure> {
        let Some(bytes) = bytes else { return Ok(Value::Null) };
        match &self.kind {
            Kind::Own(number) => self.own(*number, bytes),
            Kind::Array(element) => {
                let json = self.array(element, bytes)?;
                Ok(Value::Json(json.to_string()))
            }
            Kind::Other => Err(self.broken()),
        }
    }

    fn broken(&self) -> Failure {
        Failure::internal("reading a value", format!("the bytes of {} are no {}", self.column, self.info.name()))
    }

    fn own(&self, number: u32, bytes: &[u8]) -> Result<Value, Failure> {
        let value = match number {
            oid::BOOL => bytes.first().map(|&byte| Value::Boolean(byte != 0)),
            oid::BYTEA => Some(Value::Blob(bytes.to_owned())),
            oid::INT8 => fixed(bytes).map(|bytes| Value::Integer(i64::from_be_bytes(bytes))),
            oid::INT4 => fixed(bytes).map(|bytes| Value::Integer(i32::from_be_bytes(bytes).into())),
            oid::INT2 => fixed(bytes).map(|bytes| Value::Integer(i16::from_be_bytes(bytes).into())),
            oid::OID => fixed(bytes).map(|bytes| Value::Integer(u32::from_be_bytes(bytes).into())),
            oid::FLOAT8 => fixed(bytes).map(|bytes| Value::Real(f64::from_be_bytes(bytes))),
            // With the digits that it was written with: 0.1 and not 0.10000000149011612.
            oid::FLOAT4 => {
                fixed(bytes).and_then(|bytes| f32::from_be_bytes(bytes).to_string().parse().ok()).map(Value::Real)
            }
            oid::NUMERIC => numeric::read(bytes).map(Value::Text),
            oid::DATE => fixed(bytes).map(|bytes| Value::Text(time::read_date(i32::from_be_bytes(bytes)))),
            oid::TIME => fixed(bytes).map(|bytes| Value::Text(time::read_time(i64::from_be_bytes(bytes)))),
            oid::TIMESTAMP => {
                fixed(bytes).map(|bytes| Value::Text(time::read_timestamp(i64::from_be_bytes(bytes), "")))
            }
            oid::TIMESTAMPTZ => {
                fixed(bytes).map(|bytes| Value::Text(time::read_timestamp(i64::from_be_bytes(bytes), "Z")))
            }
            oid::INTERVAL => interval(bytes).map(Value::Text),
            oid::UUID => fixed(bytes).map(|bytes| Value::Text(uuid::Uuid::from_bytes(bytes).to_string())),
            oid::JSON => text(bytes).map(Value::Json),
            // The first byte is the version of the format.
            oid::JSONB => bytes.strip_prefix(&[1]).and_then(text).map(Value::Json),
            oid::VOID => Some(Value::Null),
            _ => text(bytes).map(Value::Text),
        };
        match value.ok_or_else(|| self.broken())? {
            Value::Json(json) => {
                exact::check(&self.column, &json)?;
                Ok(Value::Json(json))
            }
            value => Ok(value),
        }
    }

    /// An array on the wire: its dimensions, and its elements row by row.
    fn array(&self, element: &Kind, bytes: &[u8]) -> Result<Json, Failure> {
        let broken = || self.broken();
        let word = |at: usize| Some(i32::from_be_bytes(fixed(bytes.get(at..at + 4)?)?));
        let dimensions = usize::try_from(word(0).ok_or_else(broken)?).map_err(|_| broken())?;
        if dimensions == 0 {
            return Ok(Json::Array(Vec::new()));
        }
        let mut lengths = Vec::new();
        for dimension in 0..dimensions.min(6) {
            let length = word(12 + dimension * 8).and_then(|length| usize::try_from(length).ok());
            lengths.push(length.ok_or_else(broken)?);
        }
        let mut rest = bytes.get(12 + dimensions * 8..).ok_or_else(broken)?;
        self.dimension(element, &lengths, &mut rest)
    }

    fn dimension(&self, element: &Kind, lengths: &[usize], rest: &mut &[u8]) -> Result<Json, Failure> {
        let Some((&length, inner)) = lengths.split_first() else {
            return self.element(element, rest);
        };
        // No more than there are bytes: each element has four.
        let mut array = Vec::with_capacity(length.min(rest.len() / 4));
        for _ in 0..length {
            array.push(self.dimension(element, inner, rest)?);
        }
        Ok(Json::Array(array))
    }

    fn element(&self, element: &Kind, rest: &mut &[u8]) -> Result<Json, Failure> {
        let length = rest.get(..4).and_then(fixed).map(i32::from_be_bytes).ok_or_else(|| self.broken())?;
        *rest = &rest[4..];
        if length < 0 {
            return Ok(Json::Null);
        }
        let length = length as usize;
        let bytes = rest.get(..length).ok_or_else(|| self.broken())?;
        *rest = &rest[length..];
        let Kind::Own(number) = element else { return Err(self.broken()) };
        Ok(match self.own(*number, bytes)? {
            Value::Null | Value::Blob(_) => Json::Null,
            Value::Boolean(flag) => Json::Bool(flag),
            Value::Integer(number) if (-MAX_SAFE..=MAX_SAFE).contains(&number) => Json::from(number),
            Value::Integer(number) => Json::String(number.to_string()),
            Value::Real(number) => match serde_json::Number::from_f64(number) {
                Some(number) => Json::Number(number),
                None => Json::String(number.to_string().replace("inf", "Infinity")),
            },
            Value::Text(text) => Json::String(text),
            Value::Json(json) => serde_json::from_str(&json).map_err(|_| self.broken())?,
        })
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_owned()).ok()
}

fn interval(bytes: &[u8]) -> Option<String> {
    let microseconds = i64::from_be_bytes(fixed(bytes.get(..8)?)?);
    let days = i32::from_be_bytes(fixed(bytes.get(8..12)?)?);
    let months = i32::from_be_bytes(fixed(bytes.get(12..16)?)?);
    Some(time::read_interval(microseconds, days, months))
}
