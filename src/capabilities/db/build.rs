//! The SQL of table operations, for either database.

use super::statement::{Statement, Verb};
use crate::runtime::bindings::airlock::script::db::{Assignment, Filter, Find, Operator, Value};
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};

/// The longest name of a table or column, in bytes.
const NAME_BYTES: usize = 128;

/// How a database writes what differs, for one table.
pub trait Dialect {
    /// The table, quoted.
    fn table(&self) -> Result<String, Failure>;
    /// A column, quoted.
    fn column(&self, name: &str, purpose: Purpose) -> Result<String, Failure>;
    /// What a query answers: these columns, or all where none is named.
    fn selected(&self, columns: &[String], limits: &Limits) -> Result<String, Failure>;
    /// All columns, as a row that was written is answered.
    fn written(&self) -> String;
    /// The parameter of that number, from 1, for a value of that column.
    fn parameter(&self, number: usize, column: Option<&str>) -> String;
    /// What tells whether text is like a pattern, without regard to case.
    fn like(&self, column: &str) -> String;
    /// How rows are ordered: null is less than every other value.
    fn order(&self, column: &str, descending: bool) -> &'static str;
}

/// What a column is named for, which is what an error speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To write a value of it.
    Write,
    /// To compare or order by it.
    Read,
}

/// A table operation as SQL.
#[derive(Debug)]
pub struct Built {
    pub sql: String,
    pub parameters: Vec<Value>,
    pub verb: Verb,
    /// Whether a filter searches within text, which takes time that no index bounds.
    pub searches: bool,
}

/// A quoted name.
pub fn quoted(name: &str) -> Result<String, Failure> {
    if name.is_empty() || name.len() > NAME_BYTES || name.contains('\0') {
        return Err(Failure::argument(format!(
            "`{}` is not a name of a table or column",
            name.chars().take(40).filter(|letter| !letter.is_control()).collect::<String>()
        )));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// Builds a table operation. None for SQL that a script wrote.
pub fn build(statement: Statement, dialect: &impl Dialect, limits: &Limits) -> Result<Option<Built>, Failure> {
    let mut builder = Builder { dialect, sql: String::new(), parameters: Vec::new(), searches: false };
    let verb = match statement {
        Statement::Script { .. } => return Ok(None),
        Statement::Find(find) => builder.find(find, limits)?,
        Statement::Count { filters, .. } => {
            builder.sql = format!("SELECT count(*) AS count FROM {}", dialect.table()?);
            builder.filters(filters)?;
            Verb::Select
        }
        Statement::Insert { row, .. } => builder.insert(row)?,
        Statement::Update { filters, row, returning, .. } => builder.update(filters, row, returning)?,
        Statement::Delete { filters, .. } => {
            builder.sql = format!("DELETE FROM {}", dialect.table()?);
            builder.filters(filters)?;
            Verb::Delete
        }
    };
    let Builder { sql, parameters, searches, .. } = builder;
    limits.check(Limit::DbStatementBytes, sql.len() as u64)?;
    limits.check(Limit::DbParameters, parameters.len() as u64)?;
    Ok(Some(Built { sql, parameters, verb, searches }))
}

fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

struct Builder<'a, D: Dialect> {
    dialect: &'a D,
    sql: String,
    parameters: Vec<Value>,
    searches: bool,
}

impl<D: Dialect> Builder<'_, D> {
    fn find(&mut self, find: Find, limits: &Limits) -> Result<Verb, Failure> {
        // The table first: an error about a column of no table would mislead.
        let table = self.dialect.table()?;
        let columns = self.dialect.selected(&find.columns, limits)?;
        self.sql = format!("SELECT {columns} FROM {table}");
        self.filters(find.filters)?;
        for (index, order) in find.order.iter().enumerate() {
            self.sql.push_str(if index == 0 { " ORDER BY " } else { ", " });
            self.sql.push_str(&self.dialect.column(&order.column, Purpose::Read)?);
            self.sql.push_str(self.dialect.order(&order.column, order.descending));
        }
        // One more than may be answered, so that too many are noticed.
        let most = limits.db_rows.saturating_add(1);
        self.sql.push_str(" LIMIT ");
        self.value(integer(find.limit.unwrap_or(most).min(most)), None);
        if let Some(offset) = find.offset {
            self.sql.push_str(" OFFSET ");
            self.value(integer(offset), None);
        }
        Ok(Verb::Select)
    }

    fn insert(&mut self, row: Vec<Assignment>) -> Result<Verb, Failure> {
        self.sql = format!("INSERT INTO {}", self.dialect.table()?);
        if row.is_empty() {
            self.sql.push_str(" DEFAULT VALUES");
        } else {
            let columns = row
                .iter()
                .map(|given| self.dialect.column(&given.column, Purpose::Write))
                .collect::<Result<Vec<_>, _>>()?;
            self.sql.push_str(&format!(" ({}) VALUES (", columns.join(", ")));
            for (index, given) in row.into_iter().enumerate() {
                self.sql.push_str(if index == 0 { "" } else { ", " });
                self.value(given.value, Some(&given.column));
            }
            self.sql.push(')');
        }
        self.sql.push_str(&format!(" RETURNING {}", self.dialect.written()));
        Ok(Verb::Insert)
    }

    fn update(&mut self, filters: Vec<Filter>, row: Vec<Assignment>, returning: bool) -> Result<Verb, Failure> {
        self.sql = format!("UPDATE {} SET ", self.dialect.table()?);
        for (index, given) in row.into_iter().enumerate() {
            self.sql.push_str(if index == 0 { "" } else { ", " });
            self.sql.push_str(&self.dialect.column(&given.column, Purpose::Write)?);
            self.sql.push_str(" = ");
            self.value(given.value, Some(&given.column));
        }
        self.filters(filters)?;
        if returning {
            self.sql.push_str(&format!(" RETURNING {}", self.dialect.written()));
        }
        Ok(Verb::Update)
    }

    fn value(&mut self, value: Value, column: Option<&str>) {
        self.parameters.push(value);
        self.sql.push_str(&self.dialect.parameter(self.parameters.len(), column));
    }

    fn filters(&mut self, filters: Vec<Filter>) -> Result<(), Failure> {
        for (index, filter) in filters.into_iter().enumerate() {
            self.sql.push_str(if index == 0 { " WHERE " } else { " AND " });
            self.filter(filter)?;
        }
        Ok(())
    }

    fn filter(&mut self, filter: Filter) -> Result<(), Failure> {
        let Filter { column, operator, mut values } = filter;
        let quoted = self.dialect.column(&column, Purpose::Read)?;
        if matches!(operator, Operator::In | Operator::NotIn) {
            self.among(&column, &quoted, operator == Operator::NotIn, values);
            return Ok(());
        }
        let (Some(value), true) = (values.pop(), values.is_empty()) else {
            return Err(Failure::argument(format!("the filter on `{column}` takes exactly one value")));
        };
        let comparison = match operator {
            Operator::Eq if value == Value::Null => {
                self.sql.push_str(&format!("{quoted} IS NULL"));
                return Ok(());
            }
            Operator::Ne if value == Value::Null => {
                self.sql.push_str(&format!("{quoted} IS NOT NULL"));
                return Ok(());
            }
            _ if value == Value::Null => {
                return Err(Failure::argument(format!(
                    "the filter on `{column}` compares with null, which no row can match; only eq and ne take null"
                )));
            }
            Operator::Eq => " = ",
            Operator::Ne => " <> ",
            Operator::Lt => " < ",
            Operator::Lte => " <= ",
            Operator::Gt => " > ",
            Operator::Gte => " >= ",
            _ => {
                self.searches = true;
                let text = pattern(&column, value)?;
                self.sql.push_str(&self.dialect.like(&quoted));
                let (before, after) = match operator {
                    Operator::Contains => ("%", "%"),
                    Operator::StartsWith => ("", "%"),
                    _ => {
                        self.value(Value::Text(text), None);
                        return Ok(());
                    }
                };
                self.value(Value::Text(format!("{before}{}{after}", escape(&text))), None);
                self.sql.push_str(" ESCAPE '\\'");
                return Ok(());
            }
        };
        self.sql.push_str(&quoted);
        self.sql.push_str(comparison);
        self.value(value, Some(&column));
        Ok(())
    }

    /// SQL's IN matches nothing by null, and its NOT IN with null in the list
    /// matches nothing at all; here null is a value like the others.
    fn among(&mut self, column: &str, quoted: &str, not: bool, mut values: Vec<Value>) {
        let given = values.len();
        values.retain(|value| *value != Value::Null);
        let null = values.len() < given;
        let (among, is_null, joined) = if not { ("NOT IN", "IS NOT NULL", "AND") } else { ("IN", "IS NULL", "OR") };
        if values.is_empty() {
            // PostgreSQL takes no empty list.
            self.sql.push_str(if not { "(1 = 1" } else { "(1 = 0" });
        } else {
            self.sql.push_str(&format!("({quoted} {among} ("));
            for (index, value) in values.into_iter().enumerate() {
                self.sql.push_str(if index == 0 { "" } else { ", " });
                self.value(value, Some(column));
            }
            self.sql.push(')');
        }
        if null {
            self.sql.push_str(&format!(" {joined} {quoted} {is_null}"));
        }
        self.sql.push(')');
    }
}

fn pattern(column: &str, value: Value) -> Result<String, Failure> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        _ => Err(Failure::argument(format!("the filter on `{column}` searches text and so takes a text"))),
    }
}

/// Text that LIKE takes letter by letter.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}
