//! Statements: those that a script wrote, and those built for the table
//! operations of `db` and of services.

use super::text::{self, Verb};
use crate::runtime::bindings::airlock::script::db::{Assignment, Filter, Find, Operator, Value};
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};

/// The longest name of a table or column, in bytes.
const NAME_BYTES: usize = 128;

/// One statement with its parameters, checked against the limits on both.
#[derive(Debug)]
pub struct Statement {
    pub sql: String,
    pub parameters: Vec<Value>,
    pub verb: Verb,
    /// Whether all it does is to read and compare, so that an answer of a few
    /// rows takes microseconds and anything longer can be stopped.
    pub plain: bool,
    /// The script's text and where `sql` starts in it, if a script wrote it.
    pub written: Option<(String, usize)>,
}

impl Statement {
    /// What a script wrote: one statement, parameters `?` or `$1`, `$2`, …
    pub fn script(sql: String, parameters: Vec<Value>, limits: &Limits) -> Result<Statement, Failure> {
        limits.check(Limit::DbStatementBytes, sql.len() as u64)?;
        let text::Text { sql: statement, offset, verb } = text::read(&sql)?;
        Statement { sql: statement.to_owned(), parameters, verb, plain: false, written: Some((sql, offset)) }
            .checked(limits)
    }

    /// Rows of a table. An explicit limit is kept; without one, or with one
    /// beyond `limits.db_rows`, more rows than that fail with that limit.
    pub fn find(find: Find, limits: &Limits) -> Result<Statement, Failure> {
        let columns = match find.columns.as_slice() {
            [] => "*".to_owned(),
            columns => columns.iter().map(|column| name(column)).collect::<Result<Vec<_>, _>>()?.join(", "),
        };
        let mut builder = Builder::new(format!("SELECT {columns} FROM {}", name(&find.table)?));
        builder.filters(find.filters)?;
        for (index, order) in find.order.iter().enumerate() {
            builder.sql.push_str(if index == 0 { " ORDER BY " } else { ", " });
            builder.sql.push_str(&name(&order.column)?);
            builder.sql.push_str(if order.descending { " DESC" } else { " ASC" });
        }
        // One more than may be answered, so that too many are noticed.
        let most = limits.db_rows.saturating_add(1);
        builder.sql.push_str(" LIMIT ");
        builder.value(integer(find.limit.unwrap_or(most).min(most)));
        if let Some(offset) = find.offset {
            builder.sql.push_str(" OFFSET ");
            builder.value(integer(offset));
        }
        builder.finish(Verb::Select, limits)
    }

    /// How many rows of a table there are, as `count`.
    pub fn count(table: &str, filters: Vec<Filter>, limits: &Limits) -> Result<Statement, Failure> {
        let mut builder = Builder::new(format!("SELECT count(*) AS count FROM {}", name(table)?));
        builder.filters(filters)?;
        builder.finish(Verb::Select, limits)
    }

    /// Answers the row as it was written.
    pub fn insert(table: &str, row: Vec<Assignment>, limits: &Limits) -> Result<Statement, Failure> {
        let mut builder = Builder::new(format!("INSERT INTO {}", name(table)?));
        if row.is_empty() {
            builder.sql.push_str(" DEFAULT VALUES");
        } else {
            let columns = row.iter().map(|given| name(&given.column)).collect::<Result<Vec<_>, _>>()?;
            builder.sql.push_str(&format!(" ({}) VALUES (", columns.join(", ")));
            for (index, given) in row.into_iter().enumerate() {
                builder.sql.push_str(if index == 0 { "" } else { ", " });
                builder.value(given.value);
            }
            builder.sql.push(')');
        }
        builder.sql.push_str(" RETURNING *");
        builder.finish(Verb::Insert, limits)
    }

    /// Changes the rows that all filters hold for; refuses to change all rows.
    /// Answers the rows as they were written where `returning`.
    pub fn update(
        table: &str,
        filters: Vec<Filter>,
        row: Vec<Assignment>,
        returning: bool,
        limits: &Limits,
    ) -> Result<Statement, Failure> {
        if filters.is_empty() {
            return Err(unfiltered("update", "UPDATE"));
        }
        if row.is_empty() {
            return Err(Failure::argument("update needs at least one column to change"));
        }
        let mut builder = Builder::new(format!("UPDATE {} SET ", name(table)?));
        for (index, given) in row.into_iter().enumerate() {
            builder.sql.push_str(if index == 0 { "" } else { ", " });
            builder.sql.push_str(&name(&given.column)?);
            builder.sql.push_str(" = ");
            builder.value(given.value);
        }
        builder.filters(filters)?;
        if returning {
            builder.sql.push_str(" RETURNING *");
        }
        builder.finish(Verb::Update, limits)
    }

    /// Deletes the rows that all filters hold for; refuses to delete all rows.
    pub fn delete(table: &str, filters: Vec<Filter>, limits: &Limits) -> Result<Statement, Failure> {
        if filters.is_empty() {
            return Err(unfiltered("delete", "DELETE"));
        }
        let mut builder = Builder::new(format!("DELETE FROM {}", name(table)?));
        builder.filters(filters)?;
        builder.finish(Verb::Delete, limits)
    }

    fn checked(self, limits: &Limits) -> Result<Statement, Failure> {
        limits.check(Limit::DbStatementBytes, self.sql.len() as u64)?;
        limits.check(Limit::DbParameters, self.parameters.len() as u64)?;
        let mut bytes = 0_u64;
        for (index, value) in self.parameters.iter().enumerate() {
            bytes = bytes.saturating_add(match value {
                Value::Text(text) | Value::Json(text) => text.len() as u64,
                Value::Blob(bytes) => bytes.len() as u64,
                // SQLite would store null in its place.
                Value::Real(number) if number.is_nan() => {
                    return Err(Failure::argument(format!(
                        "parameter {} is NaN, which the database can't hold",
                        index + 1
                    )));
                }
                _ => 8,
            });
        }
        limits.check(Limit::DbBytes, bytes)?;
        Ok(self)
    }
}

fn unfiltered(operation: &str, statement: &str) -> Failure {
    Failure::argument(format!(
        "{operation} without a filter would change every row of the table; if that is meant, write the {statement} \
         as SQL with db.execute"
    ))
}

/// A quoted name.
fn name(name: &str) -> Result<String, Failure> {
    if name.is_empty() || name.len() > NAME_BYTES || name.contains('\0') {
        return Err(Failure::argument(format!(
            "`{}` is not a name of a table or column",
            name.chars().take(40).filter(|letter| !letter.is_control()).collect::<String>()
        )));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

struct Builder {
    sql: String,
    parameters: Vec<Value>,
    /// Whether a filter searches within text, which nothing can stop.
    searches: bool,
}

impl Builder {
    fn new(sql: String) -> Builder {
        Builder { sql, parameters: Vec::new(), searches: false }
    }

    fn value(&mut self, value: Value) {
        self.sql.push('?');
        self.parameters.push(value);
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
        let quoted = name(&column)?;
        if matches!(operator, Operator::In | Operator::NotIn) {
            self.among(&quoted, operator == Operator::NotIn, values);
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
                let (before, after) = match operator {
                    Operator::Contains => ("%", "%"),
                    Operator::StartsWith => ("", "%"),
                    _ => {
                        self.sql.push_str(&format!("{quoted} LIKE "));
                        self.value(Value::Text(text));
                        return Ok(());
                    }
                };
                self.sql.push_str(&format!("{quoted} LIKE "));
                self.value(Value::Text(format!("{before}{}{after}", escape(&text))));
                self.sql.push_str(" ESCAPE '\\'");
                return Ok(());
            }
        };
        self.sql.push_str(&quoted);
        self.sql.push_str(comparison);
        self.value(value);
        Ok(())
    }

    /// SQL's IN matches nothing by null, and its NOT IN with null in the list
    /// matches nothing at all; here null is a value like the others.
    fn among(&mut self, quoted: &str, not: bool, mut values: Vec<Value>) {
        let given = values.len();
        values.retain(|value| *value != Value::Null);
        let null = values.len() < given;
        let (among, is_null, joined) = if not { ("NOT IN", "IS NOT NULL", "AND") } else { ("IN", "IS NULL", "OR") };
        self.sql.push_str(&format!("({quoted} {among} ("));
        for (index, value) in values.into_iter().enumerate() {
            self.sql.push_str(if index == 0 { "" } else { ", " });
            self.value(value);
        }
        self.sql.push(')');
        if null {
            self.sql.push_str(&format!(" {joined} {quoted} {is_null}"));
        }
        self.sql.push(')');
    }

    fn finish(self, verb: Verb, limits: &Limits) -> Result<Statement, Failure> {
        let plain = verb == Verb::Select && !self.searches;
        Statement { sql: self.sql, parameters: self.parameters, verb, plain, written: None }.checked(limits)
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
