//! Statements as SQLite gets them.

use super::text;
use crate::capabilities::db::build::{self, Dialect, Purpose, quoted};
use crate::capabilities::db::statement::{Statement, Verb};
use crate::runtime::bindings::airlock::script::db::Value;
use crate::runtime::failure::Failure;
use crate::runtime::limits::Limits;

/// One statement with its parameters.
#[derive(Debug)]
pub struct Prepared {
    pub sql: String,
    pub parameters: Vec<Value>,
    pub verb: Verb,
    /// Whether all it does is to read and compare, so that an answer of a few
    /// rows takes microseconds and anything longer can be stopped.
    pub plain: bool,
    /// The script's text and where `sql` starts in it, if a script wrote it.
    pub written: Option<(String, usize)>,
}

impl Prepared {
    pub fn new(statement: Statement, limits: &Limits) -> Result<Prepared, Failure> {
        let table = match statement {
            Statement::Script { sql, parameters } => {
                let text::Text { sql: statement, offset, verb } = text::read(&sql)?;
                let statement = statement.to_owned();
                return Ok(Prepared { sql: statement, parameters, verb, plain: false, written: Some((sql, offset)) });
            }
            Statement::Find(ref find) => find.table.clone(),
            Statement::Count { ref table, .. }
            | Statement::Insert { ref table, .. }
            | Statement::Update { ref table, .. }
            | Statement::Delete { ref table, .. } => table.clone(),
        };
        let built = build::build(statement, &Table(&table), limits)?;
        let built = built.ok_or_else(|| Failure::internal("building a statement", "it is a script's text"))?;
        let plain = built.verb == Verb::Select && !built.searches;
        Ok(Prepared { sql: built.sql, parameters: built.parameters, verb: built.verb, plain, written: None })
    }
}

/// A table by name. Whether there is one, SQLite says.
struct Table<'a>(&'a str);

impl Dialect for Table<'_> {
    fn table(&self) -> Result<String, Failure> {
        quoted(self.0)
    }

    fn column(&self, name: &str, _: Purpose) -> Result<String, Failure> {
        quoted(name)
    }

    fn selected(&self, columns: &[String], _: &Limits) -> Result<String, Failure> {
        match columns {
            [] => Ok(self.written()),
            columns => Ok(columns.iter().map(|column| quoted(column)).collect::<Result<Vec<_>, _>>()?.join(", ")),
        }
    }

    fn written(&self) -> String {
        "*".to_owned()
    }

    fn parameter(&self, _: usize, _: Option<&str>) -> String {
        "?".to_owned()
    }

    fn like(&self, column: &str) -> String {
        format!("{column} LIKE ")
    }

    fn order(&self, _: &str, descending: bool) -> &'static str {
        if descending { " DESC" } else { " ASC" }
    }
}
