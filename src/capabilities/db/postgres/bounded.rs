//! Answers whose rows are not larger than a call may have.
//!
//! The server sends a row in one piece, and the driver keeps all of it before
//! anyone can count it: a script could make the host hold a value of a gigabyte.
//! So a statement that answers values of any length adds up how long they are in
//! one column more, which fails where that is too much, before the row is sent.

use sqlx::postgres::{PgColumn, PgTypeInfo};
use sqlx::{Column, ColumnOrigin};

use super::routine::Function;
use super::values::{decodable, oid};

/// What [`TOO_LARGE`] fails with. The message is the row's size in bytes.
pub const TOO_LARGE_CODE: &str = "AL001";

/// Refuses a row before it is sent.
pub(super) const TOO_LARGE: Function = Function {
    signature: "airlock.too_large(bigint)",
    create: "airlock.too_large(bytes bigint) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL RESTRICTED",
    body: "
BEGIN
  RAISE SQLSTATE 'AL001' USING MESSAGE = bytes::pg_catalog.text;
END
",
    returns: "boolean",
    volatility: "s",
    parallel: "r",
    settings: &[],
};

/// A column whose values are measured.
#[derive(Debug)]
pub struct Measured {
    /// Quoted.
    pub name: String,
    pub oid: u32,
    /// Whether it is answered as its text, for it has no value of its own.
    pub text: bool,
    pub not_null: bool,
    /// Whether its type bounds its values, as `varchar(80)` does.
    pub short: bool,
}

impl Measured {
    fn as_text(&self) -> String {
        format!("CAST({} AS text)", self.name)
    }

    /// As a statement answers it.
    pub fn plain(&self) -> String {
        if self.text { format!("{} AS {}", self.as_text(), self.name) } else { self.name.clone() }
    }

    /// How many bytes its values have, where they can be many.
    fn size(&self) -> Option<String> {
        if self.short || short(self.oid) {
            return None;
        }
        // Of these the server knows it without making a text of them.
        let counted = matches!(self.oid, oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::BYTEA);
        let measured = if counted { self.name.clone() } else { self.as_text() };
        let size = format!("pg_catalog.octet_length({measured})");
        Some(if self.not_null { size } else { format!("COALESCE({size}, 0)") })
    }
}

/// What stops a row that is too large: a column, always NULL, that cannot be
/// worked out for it. None where no value can be long.
fn guard(columns: &[Measured], most: &str) -> Option<String> {
    let sizes: Vec<String> = columns.iter().filter_map(Measured::size).collect();
    // The sum of a row may be beyond 2^31.
    let size = match sizes.as_slice() {
        [] => return None,
        [size] => size.clone(),
        sizes => format!("CAST(0 AS int8) + {}", sizes.join(" + ")),
    };
    Some(format!("CASE WHEN {size} <= {most} THEN NULL ELSE airlock.too_large({size}) END"))
}

/// What a SELECT answers, with rows of no more bytes than the most. The guard,
/// if there is one, comes last.
pub fn answered(columns: &[Measured], most: &str) -> String {
    let columns_and_guard = columns.iter().map(Measured::plain).chain(guard(columns, most));
    columns_and_guard.collect::<Vec<_>>().join(", ")
}

/// A statement that bounds another's rows, by two more parameters: the bytes of
/// a row, and, if it only reads, how many rows there are.
#[derive(Debug, PartialEq, Eq)]
pub struct Bounded {
    pub sql: String,
    /// What the other calls its columns.
    pub names: Vec<String>,
}

/// None where no value can be long.
pub fn around(sql: &str, columns: &[PgColumn], parameters: usize, writes: bool) -> Option<Bounded> {
    let number = |info: &PgTypeInfo| info.oid().map_or(0, |oid| oid.0);
    let measured: Vec<Measured> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| Measured {
            name: format!("\"~{index}\""),
            oid: number(column.type_info()),
            text: !decodable(column.type_info()),
            not_null: false,
            short: false,
        })
        .collect();
    let most = format!("CAST(${} AS int8)", parameters + 1);
    guard(&measured, &most)?;
    let names: Vec<&str> = measured.iter().map(|column| column.name.as_str()).collect();
    let names = names.join(", ");
    // What is more than a column might be worked out as often as it is named,
    // but for OFFSET.
    let plain =
        |column: &PgColumn| matches!(column.origin(), ColumnOrigin::Table(_)) || short(number(column.type_info()));
    let (with, rows) = if writes {
        (format!("WITH \"~rows\" ({names}) AS ({sql}) "), "\"~rows\"".to_owned())
    } else if columns.iter().all(plain) {
        (String::new(), format!("({sql}) AS \"~rows\" ({names})"))
    } else {
        (String::new(), format!("(SELECT * FROM ({sql}) AS \"~all\" OFFSET 0) AS \"~rows\" ({names})"))
    };
    let limit = if writes { String::new() } else { format!(" LIMIT ${}", parameters + 2) };
    Some(Bounded {
        sql: format!("{with}SELECT {} FROM {rows}{limit}", answered(&measured, &most)),
        names: columns.iter().map(|column| column.name().to_owned()).collect(),
    })
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
