//! PostgreSQL's values and a script's.
//!
//! | PostgreSQL | `value` |
//! |---|---|
//! | NULL | `null` |
//! | boolean | `boolean` |
//! | smallint, integer, bigint, oid | `integer`, all 64 bits |
//! | real, double precision | `real` |
//! | numeric | `text` with exactly its digits: `"12.50"` |
//! | text, varchar, char, name, xml, citext, enums | `text` |
//! | uuid | `text`, in lower case |
//! | date | `text`: `2024-01-31` |
//! | time | `text`: `13:05:09`, with a fraction where it has one |
//! | timestamp | `text`: `2024-01-31T13:05:09.000` |
//! | timestamp with time zone | `text`, in UTC, as `toISOString` writes it: `2024-01-31T13:05:09.000Z` |
//! | interval | `text`, as ISO 8601 writes it: `P1Y2M3DT4H5M6.7S` |
//! | bytea | `blob` |
//! | json, jsonb | `json` |
//! | arrays of these but bytea | `json`, an array |
//! | domains | as the type that they are of |
//! | all others | `text`, as the server writes it |
//!
//! Microseconds are six digits where milliseconds do not say it all. In arrays,
//! integers beyond 2^53 are texts. JSON with a number that JavaScript can't hold
//! exactly is an error: the script casts it to text.
//!
//! The other way, the server says of which type a parameter is, and a value
//! that does not fit is an error. [`encode`] has the table.

mod decode;
mod encode;
mod numeric;
mod time;

pub use self::decode::{Reader, decodable, readable};
pub use self::encode::{Bound, writable};

/// The numbers that PostgreSQL gives its own types. They never change.
pub mod oid {
    pub const BOOL: u32 = 16;
    pub const BYTEA: u32 = 17;
    pub const CHAR: u32 = 18;
    pub const NAME: u32 = 19;
    pub const INT8: u32 = 20;
    pub const INT2: u32 = 21;
    pub const INT4: u32 = 23;
    pub const TEXT: u32 = 25;
    pub const OID: u32 = 26;
    pub const JSON: u32 = 114;
    pub const XML: u32 = 142;
    pub const FLOAT4: u32 = 700;
    pub const FLOAT8: u32 = 701;
    pub const UNKNOWN: u32 = 705;
    pub const BPCHAR: u32 = 1042;
    pub const VARCHAR: u32 = 1043;
    pub const DATE: u32 = 1082;
    pub const TIME: u32 = 1083;
    pub const TIMESTAMP: u32 = 1114;
    pub const TIMESTAMPTZ: u32 = 1184;
    pub const INTERVAL: u32 = 1186;
    pub const NUMERIC: u32 = 1700;
    pub const VOID: u32 = 2278;
    pub const UUID: u32 = 2950;
    pub const JSONB: u32 = 3802;
}

/// The largest integer that a JavaScript number holds exactly.
const MAX_SAFE: i64 = (1 << 53) - 1;

#[cfg(test)]
mod tests;
