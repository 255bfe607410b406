//! INSERT, UPDATE and DELETE.

use sqlparser::ast::{
    Assignment, AssignmentTarget, ConflictTarget, Delete, DoUpdate, Expr, FromTable, Ident, Insert, ObjectName,
    OnConflict, OnConflictAction, OnInsert, Parens, Query, SelectItem, SetExpr, Statement, TableAlias,
    TableAliasWithoutColumns, TableFactor, TableObject, TableWithJoins, Update, UpdateTableFromKind, Values,
};
use sqlparser::tokenizer::Span;

use super::{Printer, Table, instead, quoted, refuse};
use crate::capabilities::db::statement::Verb;
use crate::runtime::failure::Failure;

type Written = (Verb, bool, Option<String>);

impl<'a> Printer<'a> {
    /// `WITH … INSERT …`: a query with nothing else.
    pub(super) fn with_write(&mut self, query: &Query, inner: &Statement) -> Result<Written, Failure> {
        let Query {
            with,
            body: _,
            order_by: None,
            limit_clause: None,
            fetch: None,
            locks,
            for_clause: None,
            settings: None,
            format_clause: None,
            pipe_operators,
        } = query
        else {
            return Err(refuse("a clause after a statement that writes", Span::empty()));
        };
        if !locks.is_empty() || !pipe_operators.is_empty() {
            return Err(refuse("a clause after a statement that writes", Span::empty()));
        }
        if let Some(with) = with {
            self.with(with)?;
        }
        self.write(inner)
    }

    pub(super) fn write(&mut self, statement: &Statement) -> Result<Written, Failure> {
        match statement {
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            _ => Err(refuse("this statement", Span::empty())),
        }
    }

    fn target(&mut self, name: &ObjectName) -> Result<&'a Table, Failure> {
        let table = self.table(name)?;
        self.tables.write.insert(table.name.clone());
        self.push(&table.quoted());
        Ok(table)
    }

    fn insert(&mut self, insert: &Insert) -> Result<Written, Failure> {
        let Insert {
            insert_token,
            optimizer_hints,
            or,
            ignore,
            into,
            table,
            table_alias,
            columns,
            overwrite,
            source,
            assignments,
            partitioned,
            after_columns,
            has_table_keyword,
            on,
            returning,
            output,
            replace_into,
            priority,
            insert_alias,
            settings,
            format_clause,
            multi_table_insert_type,
            multi_table_into_clauses,
            multi_table_when_clauses,
            multi_table_else_clause,
        } = insert;
        let span = insert_token.0.span;
        if or.is_some() || *ignore || *replace_into {
            return Err(instead("SQLite's INSERT OR …", "write INSERT … ON CONFLICT …", span));
        }
        let foreign = !optimizer_hints.is_empty()
            || !*into
            || *overwrite
            || !assignments.is_empty()
            || partitioned.is_some()
            || !after_columns.is_empty()
            || *has_table_keyword
            || output.is_some()
            || priority.is_some()
            || insert_alias.is_some()
            || settings.is_some()
            || format_clause.is_some()
            || multi_table_insert_type.is_some()
            || !multi_table_into_clauses.is_empty()
            || !multi_table_when_clauses.is_empty()
            || multi_table_else_clause.is_some();
        let (false, TableObject::TableName(name)) = (foreign, table) else {
            return Err(refuse("this form of INSERT", span));
        };
        self.push("INSERT INTO ");
        let table = self.target(name)?;
        if let Some(TableAliasWithoutColumns { explicit: _, alias }) = table_alias {
            self.push(" AS ");
            self.name(alias)?;
        }
        if !columns.is_empty() {
            self.push(" (");
            self.commas(columns, |printer, column| {
                let ident = printer.single(column, "column")?;
                printer.name(ident)
            })?;
            self.push(")");
        }
        match source {
            None => self.push(" DEFAULT VALUES"),
            Some(query) => {
                self.push(" ");
                self.source(query)?;
            }
        }
        match on {
            None => {}
            Some(OnInsert::OnConflict(conflict)) => self.conflict(table, conflict)?,
            Some(_) => return Err(instead("ON DUPLICATE KEY", "write ON CONFLICT", span)),
        }
        let returns = self.returning(returning.as_deref())?;
        let plain = on.is_none().then(|| table.name.clone());
        Ok((Verb::Insert, returns, plain))
    }

    /// The rows of an INSERT: VALUES may say DEFAULT there and nowhere else.
    fn source(&mut self, query: &Query) -> Result<(), Failure> {
        let SetExpr::Values(Values { explicit_row: false, value_keyword: false, rows }) = query.body.as_ref() else {
            return self.query(query);
        };
        let defaults = rows.iter().any(|row| row.content.iter().any(is_default));
        if !defaults {
            return self.query(query);
        }
        if query.with.is_some() || query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
            return Err(refuse("DEFAULT in these VALUES", Span::empty()));
        }
        self.push("VALUES ");
        self.commas(rows, |printer, Parens { opening_token: _, content, closing_token: _ }| {
            printer.push("(");
            printer.commas(content, Self::new_value)?;
            printer.push(")");
            Ok(())
        })
    }

    fn new_value(&mut self, value: &Expr) -> Result<(), Failure> {
        if is_default(value) {
            self.push("DEFAULT");
            return Ok(());
        }
        self.expression(value)
    }

    fn conflict(&mut self, table: &Table, conflict: &OnConflict) -> Result<(), Failure> {
        let OnConflict { conflict_target, action } = conflict;
        self.push(" ON CONFLICT");
        match conflict_target {
            None => {}
            Some(ConflictTarget::Columns(columns)) => {
                self.push(" (");
                // Every key begins with the tenant, of which scripts need not know.
                let mut folded = Vec::new();
                for column in columns {
                    folded.push(self.fold(column)?);
                }
                if let Some(tenant) = table.tenant.as_ref().filter(|tenant| !folded.contains(tenant)) {
                    self.push(&format!("{}, ", quoted(tenant)));
                }
                self.commas(columns, Self::name)?;
                self.push(")");
            }
            Some(ConflictTarget::OnConstraint(name)) => {
                return Err(instead(&format!("ON CONSTRAINT {name}"), "name the columns", Span::empty()));
            }
        }
        match action {
            OnConflictAction::DoNothing => self.push(" DO NOTHING"),
            OnConflictAction::DoUpdate(DoUpdate { assignments, selection }) => {
                self.push(" DO UPDATE SET ");
                self.commas(assignments, Self::assignment)?;
                self.optional(" WHERE ", selection.as_ref())?;
                // It reads what is there.
                self.tables.read.insert(table.name.clone());
            }
        }
        Ok(())
    }

    fn assignment(&mut self, assignment: &Assignment) -> Result<(), Failure> {
        let Assignment { target, value } = assignment;
        match target {
            AssignmentTarget::ColumnName(name) => {
                let ident = self.single(name, "column")?;
                self.name(ident)?;
                self.push(" = ");
                self.new_value(value)
            }
            AssignmentTarget::Tuple(names) => {
                self.push("(");
                self.commas(names, |printer, name| {
                    let ident = printer.single(name, "column")?;
                    printer.name(ident)
                })?;
                self.push(") = ");
                self.expression(value)
            }
        }
    }

    fn update(&mut self, update: &Update) -> Result<Written, Failure> {
        let Update {
            update_token,
            optimizer_hints,
            table,
            assignments,
            from,
            selection,
            returning,
            output,
            or,
            order_by,
            limit,
        } = update;
        let span = update_token.0.span;
        let foreign = !optimizer_hints.is_empty()
            || output.is_some()
            || or.is_some()
            || !order_by.is_empty()
            || limit.is_some()
            || !table.joins.is_empty();
        if foreign {
            return Err(refuse("this form of UPDATE", span));
        }
        self.push("UPDATE ");
        let name = self.plain_target(&table.relation, span)?;
        self.push(" SET ");
        self.commas(assignments, Self::assignment)?;
        match from {
            None => {}
            Some(UpdateTableFromKind::AfterSet(tables)) => {
                self.push(" FROM ");
                self.commas(tables, Self::joined)?;
            }
            Some(UpdateTableFromKind::BeforeSet(_)) => return Err(refuse("this form of UPDATE", span)),
        }
        self.filtered(&name, selection.as_ref(), returning.as_deref(), Verb::Update)
    }

    fn delete(&mut self, delete: &Delete) -> Result<Written, Failure> {
        let Delete {
            delete_token,
            optimizer_hints,
            tables,
            from,
            using,
            selection,
            returning,
            output,
            order_by,
            limit,
        } = delete;
        let span = delete_token.0.span;
        let foreign = !optimizer_hints.is_empty()
            || !tables.is_empty()
            || output.is_some()
            || !order_by.is_empty()
            || limit.is_some();
        let (false, FromTable::WithFromKeyword(from)) = (foreign, from) else {
            return Err(refuse("this form of DELETE", span));
        };
        let [TableWithJoins { relation, joins }] = from.as_slice() else {
            return Err(refuse("DELETE from several tables", span));
        };
        if !joins.is_empty() {
            return Err(refuse("DELETE from several tables", span));
        }
        self.push("DELETE FROM ");
        let name = self.plain_target(relation, span)?;
        if let Some(using) = using {
            self.push(" USING ");
            self.commas(using, Self::joined)?;
        }
        self.filtered(&name, selection.as_ref(), returning.as_deref(), Verb::Delete)
    }

    fn filtered(
        &mut self,
        table: &str,
        selection: Option<&Expr>,
        returning: Option<&[SelectItem]>,
        verb: Verb,
    ) -> Result<Written, Failure> {
        self.optional(" WHERE ", selection)?;
        let returns = self.returning(returning)?;
        if selection.is_some() {
            self.tables.read.insert(table.to_owned());
        }
        Ok((verb, returns, None))
    }

    /// A table that is written, with or without another name.
    fn plain_target(&mut self, factor: &TableFactor, span: Span) -> Result<String, Failure> {
        let TableFactor::Table {
            name,
            alias,
            args: None,
            with_hints,
            version: None,
            with_ordinality: false,
            partitions,
            json_path: None,
            sample: None,
            index_hints,
        } = factor
        else {
            return Err(refuse("anything but a table to write to", span));
        };
        if !with_hints.is_empty() || !partitions.is_empty() || !index_hints.is_empty() {
            return Err(refuse("anything but a table to write to", span));
        }
        let table = self.target(name)?;
        match alias {
            None => {}
            Some(TableAlias { explicit: _, name, columns, at: None }) if columns.is_empty() => {
                self.push(" AS ");
                self.name(name)?;
            }
            Some(_) => return Err(refuse("this alias of a table to write to", span)),
        }
        Ok(table.name.clone())
    }

    fn returning(&mut self, returning: Option<&[SelectItem]>) -> Result<bool, Failure> {
        let Some(items) = returning else { return Ok(false) };
        self.push(" RETURNING ");
        self.items(items)?;
        if let Some(table) = self.tables.write.first() {
            self.tables.read.insert(table.clone());
        }
        Ok(true)
    }
}

fn is_default(value: &Expr) -> bool {
    matches!(value, Expr::Identifier(Ident { value, quote_style: None, .. }) if value.eq_ignore_ascii_case("default"))
}
