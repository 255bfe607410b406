//! SQL of a script, read and written anew before PostgreSQL sees it.
//!
//! What is sent is never the script's text: it is parsed, every node of the
//! tree is looked at, and those that are known are printed in one plain way:
//! names quoted, functions and types out of `pg_catalog`, tables with their
//! schema, strings in single quotes, no comments. So nothing hangs on whether
//! the server would have read the script's text as the parser does. What no
//! arm of the printer names is refused, and the printer names the fields of
//! every node, so that a new version of the parser does not compile until
//! someone has looked at what it brings.

mod call;
mod expression;
mod names;
mod query;
mod table;
mod tokens;
mod words;
mod write;

use std::collections::BTreeSet;

use sqlparser::ast::{self, Ident, SetExpr};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Span;

use super::catalog::{Catalog, Table, quoted};
use crate::capabilities::db::error::{database, fixed, table_hint};
use crate::capabilities::db::statement::Verb;
use crate::runtime::failure::Failure;
use crate::spelling::closest;

/// Queries and expressions within each other.
const DEPTH: usize = 120;
/// Functions that one statement may call.
const FUNCTIONS: usize = 100;
/// Tables that one statement may name, a table as often as it is named. The
/// time to plan grows faster than their number.
const TABLES: usize = 50;
/// When the stack has less than this, it goes on in a new piece, in bytes.
const STACK_LEFT: usize = 256 << 10;
const STACK_MORE: usize = 1 << 20;
/// The longest name, in bytes. PostgreSQL would cut a longer one.
const NAME_BYTES: usize = 63;
/// The parser counts a level of the text several times.
const RECURSION: usize = 1000;

/// A statement that may run.
#[derive(Debug)]
pub struct Checked {
    pub sql: String,
    /// How many parameters it takes.
    pub parameters: usize,
    pub verb: Verb,
    pub tables: Tables,
    /// Where each name stands in the script's text, for errors of the server's.
    pub places: Vec<(String, Span)>,
    /// Whether the statement answers rows.
    pub returns: bool,
    /// The table that an INSERT without ON CONFLICT writes to.
    pub inserts: Option<String>,
}

/// The tables that a statement reads and writes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tables {
    pub read: BTreeSet<String>,
    pub write: BTreeSet<String>,
}

/// Reads a script's text and writes the statement that is sent. It must run on
/// a thread's own stack, for it measures that and makes more when it needs it.
///
/// Errors name only tables that are `known` to the script.
pub fn check(text: &str, catalog: &Catalog, known: &dyn Fn(&str) -> bool) -> Result<Checked, Failure> {
    let (tokens, parameters) = tokens::read(text)?;
    let dialect = PostgreSqlDialect {};
    let mut parser = Parser::new(&dialect).with_recursion_limit(RECURSION).with_tokens_with_locations(tokens);
    let statement = parser.parse_statement().map_err(|error| unparsed(&error))?;
    let rest = parser.peek_token();
    if rest.token != sqlparser::tokenizer::Token::EOF {
        return Err(near(&rest.token.to_string(), rest.span));
    }
    let checked = Printer::print(catalog, known, &statement, parameters)?;

    // The same text must come of the text: what the parser reads otherwise the
    // second time, the server might as well.
    let again = Parser::new(&dialect)
        .with_recursion_limit(RECURSION)
        .try_with_sql(&checked.sql)
        .and_then(|mut parser| parser.parse_statements());
    let same = match again.as_deref() {
        Ok([statement]) => Printer::again(catalog, known, statement).is_ok_and(|sql| sql == checked.sql),
        _ => false,
    };
    if same {
        Ok(checked)
    } else {
        tracing::debug!(text, sql = checked.sql, "a statement is not the same when it is read again");
        Err(Failure::denied("the SQL statement is written in a way that is not available to scripts; write it plainer"))
    }
}

fn unparsed(error: &ParserError) -> Failure {
    match error {
        ParserError::RecursionLimitExceeded => fixed("the SQL statement nests too deep".to_owned()),
        ParserError::TokenizerError(message) => database(tokens::located(message)),
        ParserError::ParserError(message) => database(match message.split_once(", found: ") {
            Some((_, found)) => {
                let (token, place) = found.rsplit_once(" at Line: ").unwrap_or((found, ""));
                let place = place.replace(", Column:", ", column");
                match token {
                    "EOF" => "incomplete input".to_owned(),
                    token if place.is_empty() => format!("near \"{token}\": syntax error"),
                    token => format!("near \"{token}\": syntax error (line {place})"),
                }
            }
            None => tokens::located(message),
        }),
    }
}

fn near(token: &str, span: Span) -> Failure {
    database(format!("near \"{token}\": syntax error{}", place(span)))
}

/// ` (line 1, column 8)`, or nothing where it is not known.
pub fn place(span: Span) -> String {
    match (span.start.line, span.start.column) {
        (0, _) | (_, 0) => String::new(),
        (line, column) => format!(" (line {line}, column {column})"),
    }
}

/// What the printer does not name.
fn refuse(what: &str, span: Span) -> Failure {
    Failure::denied(format!("{what} is not available to scripts{}", place(span)))
}

/// The same, with what to write instead.
fn instead(what: &str, hint: &str, span: Span) -> Failure {
    Failure::denied(format!("{what} is not available to scripts; {hint}{}", place(span)))
}

struct Printer<'a> {
    catalog: &'a Catalog,
    known: &'a dyn Fn(&str) -> bool,
    sql: String,
    tables: Tables,
    /// The common tables that can be seen, innermost last: what the script
    /// calls them and what the server does.
    common: Vec<(String, String)>,
    commons: usize,
    depth: usize,
    functions: usize,
    named_tables: usize,
    places: Vec<(String, Span)>,
    /// Names after a dot, with their places. The server takes `t.f` for `f(t)`
    /// where `t` has no column `f`, so they must be names of columns.
    qualified: Vec<(String, Span)>,
    /// Names that the statement itself gives to columns.
    given: BTreeSet<String>,
    /// Whether this is the printed text, whose names are final.
    again: bool,
}

impl<'a> Printer<'a> {
    fn new(catalog: &'a Catalog, known: &'a dyn Fn(&str) -> bool, again: bool) -> Printer<'a> {
        Printer {
            catalog,
            known,
            sql: String::new(),
            tables: Tables::default(),
            common: Vec::new(),
            commons: 0,
            depth: 0,
            functions: 0,
            named_tables: 0,
            places: Vec::new(),
            qualified: Vec::new(),
            given: BTreeSet::new(),
            again,
        }
    }

    fn print(
        catalog: &Catalog,
        known: &dyn Fn(&str) -> bool,
        statement: &ast::Statement,
        parameters: usize,
    ) -> Result<Checked, Failure> {
        let mut printer = Printer::new(catalog, known, false);
        let (verb, returns, inserts) = printer.statement(statement)?;
        printer.check_qualified()?;
        let Printer { sql, tables, places, .. } = printer;
        Ok(Checked { sql, parameters, verb, tables, places, returns, inserts })
    }

    fn again(catalog: &Catalog, known: &dyn Fn(&str) -> bool, statement: &ast::Statement) -> Result<String, Failure> {
        let mut printer = Printer::new(catalog, known, true);
        printer.statement(statement)?;
        Ok(printer.sql)
    }

    /// What the statement does, whether it answers rows, and the table that it
    /// inserts into.
    fn statement(&mut self, statement: &ast::Statement) -> Result<(Verb, bool, Option<String>), Failure> {
        match statement {
            ast::Statement::Query(query) => match query.body.as_ref() {
                SetExpr::Insert(inner) | SetExpr::Update(inner) | SetExpr::Delete(inner) => {
                    self.with_write(query, inner)
                }
                _ => {
                    self.query(query)?;
                    Ok((Verb::Select, true, None))
                }
            },
            other => self.write(other),
        }
    }

    fn check_qualified(&self) -> Result<(), Failure> {
        for (name, span) in &self.qualified {
            if !self.given.contains(name) && !self.catalog.has_column(name) {
                let known = self.catalog.columns(self.known);
                let hint = closest(name, &known).map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
                return Err(database(format!("no such column: {name}{hint}{}", place(*span))));
            }
        }
        Ok(())
    }

    fn push(&mut self, text: &str) {
        self.sql.push_str(text);
    }

    /// Runs `print` one level deeper.
    fn deeper<T>(&mut self, print: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        if self.depth >= DEPTH {
            return Err(fixed(format!("the SQL statement nests more than {DEPTH} levels")));
        }
        self.depth += 1;
        // A level takes some 20 KiB of stack without optimizations.
        let result = stacker::maybe_grow(STACK_LEFT, STACK_MORE, || print(self));
        self.depth -= 1;
        result
    }

    /// Prints all, with commas between them.
    fn commas<T>(
        &mut self,
        items: &[T],
        mut print: impl FnMut(&mut Self, &T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for (index, item) in items.iter().enumerate() {
            self.push(if index == 0 { "" } else { ", " });
            print(self, item)?;
        }
        Ok(())
    }

    /// A name as PostgreSQL takes it.
    fn fold(&mut self, ident: &Ident) -> Result<String, Failure> {
        let Ident { value, quote_style, span } = ident;
        let name = match quote_style {
            None => value.to_ascii_lowercase(),
            Some('"') => value.clone(),
            Some(_) => return Err(near(value, *span)),
        };
        if name.is_empty() || name.len() > NAME_BYTES || name.contains('\0') {
            return Err(Failure::argument(format!(
                "a name in the SQL statement is empty or longer than {NAME_BYTES} bytes{}",
                place(*span)
            )));
        }
        if names::is_system_column(&name) {
            return Err(refuse(&format!("the column {name}"), *span));
        }
        Ok(name)
    }

    /// A name of a column, or of anything that the statement itself names.
    fn name(&mut self, ident: &Ident) -> Result<(), Failure> {
        let name = self.fold(ident)?;
        self.push(&quoted(&name));
        self.places.push((name, ident.span));
        Ok(())
    }

    /// A name that the statement gives to a column.
    fn give(&mut self, ident: &Ident) -> Result<(), Failure> {
        let name = self.fold(ident)?;
        self.given.insert(name);
        self.name(ident)
    }

    /// The only part of a name that may have but one.
    fn single<'n>(&self, name: &'n ast::ObjectName, what: &str) -> Result<&'n Ident, Failure> {
        match name.0.as_slice() {
            [ast::ObjectNamePart::Identifier(ident)] => Ok(ident),
            [first, ..] => {
                let span = first.as_ident().map_or(Span::empty(), |ident| ident.span);
                Err(refuse(&format!("the {what} {name}"), span))
            }
            [] => Err(refuse(&format!("a {what} without a name"), Span::empty())),
        }
    }

    /// A protected table.
    fn table(&mut self, name: &ast::ObjectName) -> Result<&'a Table, Failure> {
        self.named_tables += 1;
        if self.named_tables > TABLES {
            return Err(fixed(format!("the SQL statement names more than {TABLES} tables")));
        }
        let ident = match name.0.as_slice() {
            [ast::ObjectNamePart::Identifier(schema), ast::ObjectNamePart::Identifier(table)] if self.again => {
                let found = self.catalog.table(&table.value).filter(|known| known.schema == schema.value);
                return found.ok_or_else(|| near(&name.to_string(), Span::empty()));
            }
            [ast::ObjectNamePart::Identifier(ident)] => ident,
            _ => return Err(self.no_table(&name.to_string())),
        };
        let folded = self.fold(ident)?;
        match self.catalog.table(&folded) {
            Some(table) => Ok(table),
            None => Err(self.no_table(&folded)),
        }
    }

    fn no_table(&self, name: &str) -> Failure {
        database(format!("no such table: {name}; {}", table_hint(name, &self.catalog.names(), self.known)))
    }
}

#[cfg(test)]
mod tests;
