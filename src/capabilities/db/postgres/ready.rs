//! A statement as it is sent, and how it came about.

use std::sync::Arc;

use super::bounded::{self, Measured};
use super::catalog::{self, Catalog, Table};
use super::text::{Checked, Tables};
use super::values::{oid, readable, writable};
use crate::capabilities::db::Access;
use crate::capabilities::db::build::{self, Dialect, Purpose, quoted};
use crate::capabilities::db::error::{self, database, table_hint};
use crate::capabilities::db::statement::{Statement, Verb};
use crate::runtime::bindings::airlock::script::db::Value;
use crate::runtime::failure::Failure;
use crate::runtime::limits::Limits;
use crate::spelling::closest;

/// A statement that may be sent.
#[derive(Debug)]
pub struct Ready {
    pub sql: String,
    pub parameters: Vec<Value>,
    pub verb: Verb,
    pub numbering: Numbering,
    /// Whether it writes and answers rows. What it wrote must be undone where
    /// the rows are too many.
    pub undoable: bool,
    pub rows: Rows,
    /// What the script wrote, if it did.
    pub written: Option<Arc<Checked>>,
    pub tables: Tables,
}

/// How large the rows of an answer can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// No larger than what the script gave.
    Small,
    /// As large as what the tables hold, or what the statement makes of it.
    Any,
    /// The statement bounds them itself, as [`bounded::answered`] does. With
    /// what the script knows the columns as.
    Bounded(Vec<String>),
}

/// Where the number is that the database gave the last row of an INSERT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Numbering {
    None,
    /// In the column of that name, if the statement answers it.
    Answered(String),
    /// In the only column, which the script did not ask for.
    Hidden,
}

impl Numbering {
    pub fn is_hidden(&self) -> bool {
        *self == Numbering::Hidden
    }

    /// The column that has it.
    pub fn among(&self, columns: &[String]) -> Option<usize> {
        match self {
            Numbering::Answered(name) => columns.iter().position(|column| column == name),
            _ => None,
        }
    }
}

impl Ready {
    /// What a script wrote, once it is checked.
    pub fn written(checked: Arc<Checked>, parameters: Vec<Value>, catalog: &Catalog) -> Result<Ready, Failure> {
        if checked.parameters != parameters.len() {
            return Err(error::parameters(checked.parameters, parameters.len()));
        }
        let mut sql = checked.sql.clone();
        let numbered = checked.inserts.as_ref().and_then(|name| catalog.table(name)).and_then(Table::numbered);
        let numbering = match numbered {
            None => Numbering::None,
            Some(column) if checked.returns => Numbering::Answered(column.name.clone()),
            Some(column) => {
                sql.push_str(&format!(" RETURNING {}", catalog::quoted(&column.name)));
                Numbering::Hidden
            }
        };
        Ok(Ready {
            sql,
            parameters,
            verb: checked.verb,
            numbering,
            undoable: checked.returns && checked.verb != Verb::Select,
            rows: if checked.returns { Rows::Any } else { Rows::Small },
            tables: Tables { read: checked.tables.read.clone(), write: checked.tables.write.clone() },
            written: Some(checked),
        })
    }

    /// A table operation. None for SQL that a script wrote.
    pub fn operation(
        statement: Statement,
        catalog: &Catalog,
        access: &Access,
        limits: &Limits,
    ) -> Result<Option<Ready>, Failure> {
        let name = match &statement {
            Statement::Script { .. } => return Ok(None),
            Statement::Find(find) => &find.table,
            Statement::Count { table, .. }
            | Statement::Insert { table, .. }
            | Statement::Update { table, .. }
            | Statement::Delete { table, .. } => table,
        };
        quoted(name)?;
        let Some(table) = catalog.table(name) else {
            return Err(database(format!(
                "no such table: {name}; {}",
                table_hint(name, &catalog.names(), |table| access.read(table).is_ok())
            )));
        };
        let mut tables = Tables::default();
        let returning = matches!(&statement, Statement::Update { returning: true, .. });
        match &statement {
            Statement::Find(_) | Statement::Count { .. } => tables.read.insert(table.name.clone()),
            // The row that is answered is the one that was given, with defaults.
            Statement::Insert { .. } => tables.write.insert(table.name.clone()),
            _ => tables.read.insert(table.name.clone()) && tables.write.insert(table.name.clone()),
        };
        let inserts = matches!(&statement, Statement::Insert { .. });
        let rows = match &statement {
            Statement::Find(find) => match find.columns.as_slice() {
                [] => Rows::Bounded(table.shown().map(|column| column.name.clone()).collect()),
                columns => Rows::Bounded(columns.to_vec()),
            },
            Statement::Update { returning: true, .. } => Rows::Any,
            _ => Rows::Small,
        };
        let built = build::build(statement, &Named(table), limits)?;
        let numbering = match table.numbered() {
            Some(column) if inserts => Numbering::Answered(column.name.clone()),
            _ => Numbering::None,
        };
        Ok(built.map(|built| Ready {
            sql: built.sql,
            parameters: built.parameters,
            verb: built.verb,
            numbering,
            undoable: returning,
            rows,
            written: None,
            tables,
        }))
    }
}

/// A protected table, for table operations.
struct Named<'a>(&'a Table);

impl Dialect for Named<'_> {
    fn table(&self) -> Result<String, Failure> {
        Ok(self.0.quoted())
    }

    fn column(&self, name: &str, purpose: Purpose) -> Result<String, Failure> {
        let quoted = quoted(name)?;
        if self.0.column(name).is_some() {
            return Ok(quoted);
        }
        let shown: Vec<&str> = self.0.shown().map(|column| column.name.as_str()).collect();
        let hint = closest(name, &shown).map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        Err(database(match purpose {
            Purpose::Read => format!("no such column: {name}{hint}"),
            Purpose::Write => format!("table {} has no column named {name}{hint}", self.0.name),
        }))
    }

    fn selected(&self, columns: &[String], limits: &Limits) -> Result<String, Failure> {
        for name in columns {
            self.column(name, Purpose::Read)?;
        }
        Ok(bounded::answered(&self.0.answered(columns), &limits.db_bytes.to_string()))
    }

    fn written(&self) -> String {
        self.0.answered(&[]).iter().map(Measured::plain).collect::<Vec<_>>().join(", ")
    }

    fn parameter(&self, number: usize, column: Option<&str>) -> String {
        match column.and_then(|name| self.0.column(name)) {
            // As text, which the server then reads.
            Some(column) if !column.writable() => format!("CAST(CAST(${number} AS text) AS {})", column.kind),
            _ => format!("${number}"),
        }
    }

    fn like(&self, column: &str) -> String {
        format!("CAST({column} AS text) ILIKE ")
    }

    fn order(&self, column: &str, descending: bool) -> &'static str {
        // Where there is no null, an index may order as it is.
        match (self.0.column(column).is_some_and(|column| column.not_null), descending) {
            (true, false) => " ASC",
            (true, true) => " DESC",
            (false, false) => " ASC NULLS FIRST",
            (false, true) => " DESC NULLS LAST",
        }
    }
}

impl Table {
    /// These columns, or all but the tenant's where none is named.
    fn answered(&self, columns: &[String]) -> Vec<Measured> {
        let measured = |column: &catalog::Column| Measured {
            name: catalog::quoted(&column.name),
            oid: column.oid,
            text: !column.readable(),
            not_null: column.not_null,
            short: column.short,
        };
        match columns {
            [] => self.shown().map(measured).collect(),
            columns => columns.iter().filter_map(|name| self.column(name)).map(measured).collect(),
        }
    }
}

impl catalog::Column {
    fn readable(&self) -> bool {
        self.plain || readable(self.oid)
    }

    fn writable(&self) -> bool {
        self.plain || writable(self.oid) || readable(self.oid) && self.oid != oid::INTERVAL
    }
}
