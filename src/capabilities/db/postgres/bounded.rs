//! Answers whose rows are not larger than a call may have.
//!
//! The server sends a row in one piece, and the driver keeps all of it before
//! anyone can count it: a script could make the host hold a value of a gigabyte.
//! So a statement that answers values of any length adds up how long they are,
//! and leaves them out where that is too much. Its last column says how long
//! they were.

use sqlx::postgres::{PgColumn, PgTypeInfo};
use sqlx::{Column, ColumnOrigin};

use super::values::{decodable, oid};

/// A column whose values are measured.
#[derive(Debug)]
pub struct Measured {
    /// Quoted.
    pub name: String,
    pub oid: u32,
    /// Whether it is answered as its text, for it has no value of its own.
    pub text: bool,
}

impl Measured {
    fn as_text(&self) -> String {
        format!("CAST({} AS text)", self.name)
    }

    /// As a statement answers it that is not bounded.
    pub fn plain(&self) -> String {
        if self.text { format!("{} AS {}", self.as_text(), self.name) } else { self.name.clone() }
    }

    /// How many bytes its values have, where they can be many.
    fn size(&self) -> Option<String> {
        if short(self.oid) {
            return None;
        }
        // Of these the server knows it without making a text of them.
        let counted = matches!(self.oid, oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::BYTEA);
        let measured = if counted { self.name.clone() } else { self.as_text() };
        Some(format!("COALESCE(pg_catalog.octet_length({measured}), 0)"))
    }

    /// The value, where the size is not more than the most.
    fn value(&self, size: &str, most: &str) -> String {
        let value = if self.text { self.as_text() } else { self.name.clone() };
        if short(self.oid) { value } else { format!("CASE WHEN {size} <= {most} THEN {value} END") }
    }
}

/// Columns whose sizes are worked out for each of them anew. That costs less
/// than a plan with one more step, until they are many.
const IN_PLACE: usize = 6;

/// Whether the sizes are worked out in place.
pub fn few(columns: &[Measured]) -> bool {
    columns.iter().filter(|column| !short(column.oid)).count() <= IN_PLACE
}

/// What a SELECT answers, with the sizes worked out in place.
pub fn in_place(columns: &[Measured], most: &str) -> String {
    let sizes: Vec<String> = columns.iter().filter_map(Measured::size).collect();
    let size = sum(&sizes);
    let mut answered: Vec<String> = columns.iter().map(|column| column.value(&size, most)).collect();
    answered.push(size);
    answered.join(", ")
}

/// The sum of a row may be beyond 2^31.
fn sum(sizes: &[String]) -> String {
    match sizes {
        [] => "CAST(0 AS int8)".to_owned(),
        sizes => format!("CAST(0 AS int8) + {}", sizes.join(" + ")),
    }
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
        })
        .collect();
    let sizes: Vec<String> = measured.iter().filter_map(Measured::size).collect();
    if sizes.is_empty() {
        return None;
    }
    let names: Vec<&str> = measured.iter().map(|column| column.name.as_str()).collect();
    let (names, most) = (names.join(", "), format!("${}", parameters + 1));
    let (with, rows) = if writes {
        (format!("WITH \"~rows\" ({names}) AS ({sql}) "), "\"~rows\"".to_owned())
    } else {
        (String::new(), format!("({sql}) AS \"~rows\" ({names})"))
    };
    // What is more than a column might be worked out as often as it is named.
    let plain =
        |column: &PgColumn| matches!(column.origin(), ColumnOrigin::Table(_)) || short(number(column.type_info()));
    let select = if few(&measured) && columns.iter().all(plain) {
        format!("SELECT {} FROM {rows}", in_place(&measured, &most))
    } else {
        let values: Vec<String> = measured.iter().map(|column| column.value("\"~size\"", &most)).collect();
        // OFFSET keeps the planner from working out the size for every value anew.
        format!(
            "SELECT {}, \"~size\" FROM (SELECT *, {} AS \"~size\" FROM {rows} OFFSET 0) AS \"~sized\"",
            values.join(", "),
            sum(&sizes)
        )
    };
    let limit = if writes { String::new() } else { format!(" LIMIT ${}", parameters + 2) };
    Some(Bounded {
        sql: format!("{with}{select}{limit}"),
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
