//! Answers whose rows are not larger than a call may have.
//!
//! The server sends a row in one piece, and the driver keeps all of it before
//! anyone can count it: a script could make the host hold a value of a gigabyte.
//! So a statement that answers values of any length is put into another, which
//! adds up how long they are and leaves them out where that is too much. The
//! last column says how long they were.

use sqlx::Column;
use sqlx::postgres::{PgColumn, PgTypeInfo};

use super::values::{decodable, oid};

/// A statement that bounds another's rows, by two more parameters: the bytes of
/// a row, and, if it only reads, how many rows there are.
#[derive(Debug, PartialEq, Eq)]
pub struct Bounded {
    pub sql: String,
    /// What the other calls its columns.
    pub names: Vec<String>,
}

/// None where no value can be long.
pub fn bounded(sql: &str, columns: &[PgColumn], parameters: usize, writes: bool) -> Option<Bounded> {
    let number = |info: &PgTypeInfo| info.oid().map_or(0, |oid| oid.0);
    if columns.iter().all(|column| short(number(column.type_info()))) {
        return None;
    }
    let (mut aliases, mut sizes, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let most = parameters + 1;
    for (index, column) in columns.iter().enumerate() {
        let info = column.type_info();
        let number = number(info);
        let alias = format!("\"~{index}\"");
        if short(number) {
            values.push(alias.clone());
        } else {
            let text = format!("CAST({alias} AS text)");
            let measured = if counted(number) { &alias } else { &text };
            sizes.push(format!("CAST(COALESCE(pg_catalog.octet_length({measured}), 0) AS int8)"));
            // What has no value of its own comes as its text.
            let value = if decodable(info) { &alias } else { &text };
            values.push(format!("CASE WHEN \"~size\" <= ${most} THEN {value} END"));
        }
        aliases.push(alias);
    }
    let (aliases, sizes, values) = (aliases.join(", "), sizes.join(" + "), values.join(", "));
    // OFFSET keeps the planner from working out the size for every value anew.
    let sql = if writes {
        format!(
            "WITH \"~rows\" ({aliases}) AS ({sql}) SELECT {values}, \"~size\" \
             FROM (SELECT *, {sizes} AS \"~size\" FROM \"~rows\" OFFSET 0) AS \"~sized\""
        )
    } else {
        format!(
            "SELECT {values}, \"~size\" FROM (SELECT *, {sizes} AS \"~size\" FROM ({sql}) AS \"~rows\" ({aliases}) OFFSET 0) \
             AS \"~sized\" LIMIT ${}",
            most + 1
        )
    };
    Some(Bounded { sql, names: columns.iter().map(|column| column.name().to_owned()).collect() })
}

/// Whether no value of a type is long.
fn short(number: u32) -> bool {
    matches!(
        number,
        oid::BOOL
            | oid::CHAR
            | oid::NAME
            | oid::INT8
            | oid::INT2
            | oid::INT4
            | oid::OID
            | oid::FLOAT4
            | oid::FLOAT8
            | oid::DATE
            | oid::TIME
            | oid::TIMESTAMP
            | oid::TIMESTAMPTZ
            | oid::INTERVAL
            // 150,000 digits at most.
            | oid::NUMERIC
            | oid::VOID
            | oid::UUID
    )
}

/// Whether the server knows how long a value is without making a text of it.
fn counted(number: u32) -> bool {
    matches!(number, oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::BYTEA)
}
