//! Queries.

use sqlparser::ast::{
    Cte, CteAsMaterialized, Distinct, Expr, Fetch, GroupByExpr, LimitClause, LockClause, LockType,
    NamedWindowDefinition, NamedWindowExpr, NonBlock, Offset, OrderBy, OrderByExpr, OrderByKind, OrderByOptions,
    OrderBySort, Parens, Query, Select, SelectFlavor, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    SetOperator, SetQuantifier, TableAlias, Values, WildcardAdditionalOptions, WindowFrame, WindowFrameBound,
    WindowFrameUnits, WindowSpec, WindowType, With,
};
use sqlparser::tokenizer::Span;

use super::{Printer, instead, quoted, refuse};
use crate::runtime::failure::Failure;

impl Printer<'_> {
    pub(super) fn query(&mut self, query: &Query) -> Result<(), Failure> {
        self.deeper(|printer| {
            let seen = printer.common.len();
            if let Some(with) = &query.with {
                printer.with(with)?;
            }
            printer.body(query)?;
            printer.common.truncate(seen);
            Ok(())
        })
    }

    /// A query after its WITH.
    fn body(&mut self, query: &Query) -> Result<(), Failure> {
        let Query {
            with: _,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        if for_clause.is_some() || settings.is_some() || format_clause.is_some() || !pipe_operators.is_empty() {
            return Err(refuse("a clause of another database's SQL", Span::empty()));
        }
        self.set(body)?;
        if let Some(OrderBy { kind, interpolate }) = order_by {
            let (OrderByKind::Expressions(order), None) = (kind, interpolate) else {
                return Err(refuse("this ORDER BY", Span::empty()));
            };
            self.push(" ORDER BY ");
            self.order(order)?;
        }
        match limit_clause {
            None => {}
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
                self.optional(" LIMIT ", limit.as_ref())?;
                if let Some(Offset { value, rows: _ }) = offset {
                    self.push(" OFFSET ");
                    self.expression(value)?;
                }
            }
            Some(_) => return Err(instead("this form of LIMIT", "write LIMIT … OFFSET …", Span::empty())),
        }
        if let Some(Fetch { with_ties, percent, quantity }) = fetch {
            if *percent {
                return Err(refuse("FETCH of a percentage", Span::empty()));
            }
            self.push(" FETCH FIRST ");
            if let Some(quantity) = quantity {
                match quantity {
                    Expr::Nested(_) | Expr::Value(_) => self.expression(quantity)?,
                    other => {
                        self.push("(");
                        self.expression(other)?;
                        self.push(")");
                    }
                }
                self.push(" ");
            }
            self.push(if *with_ties { "ROWS WITH TIES" } else { "ROWS ONLY" });
        }
        for LockClause { lock_type, of, nonblock } in locks {
            self.push(match lock_type {
                LockType::Share => " FOR SHARE",
                LockType::Update => " FOR UPDATE",
            });
            if let Some(of) = of {
                self.push(" OF ");
                let ident = self.single(of, "table")?;
                self.name(ident)?;
            }
            self.push(match nonblock {
                None => "",
                Some(NonBlock::Nowait) => " NOWAIT",
                Some(NonBlock::SkipLocked) => " SKIP LOCKED",
            });
            // Only what may write may keep others from writing.
            self.tables.write.append(&mut self.tables.read.clone());
        }
        Ok(())
    }

    pub(super) fn with(&mut self, with: &With) -> Result<(), Failure> {
        let With { with_token: _, recursive, cte_tables } = with;
        self.push(if *recursive { "WITH RECURSIVE " } else { "WITH " });
        let mut names = Vec::new();
        for table in cte_tables {
            let name = self.fold(&table.alias.name)?;
            // A name that no table and no catalog has, so that what this takes for
            // a common table can't be anything else to the server.
            self.commons += 1;
            let printed = if self.again { name.clone() } else { format!("~{}", self.commons) };
            names.push((name, printed));
        }
        if *recursive {
            self.common.extend(names.iter().cloned());
        }
        for (index, (table, name)) in cte_tables.iter().zip(names).enumerate() {
            self.push(if index == 0 { "" } else { ", " });
            self.common_table(table, &name.1)?;
            if !*recursive {
                self.common.push(name);
            }
        }
        self.push(" ");
        Ok(())
    }

    fn common_table(&mut self, table: &Cte, name: &str) -> Result<(), Failure> {
        let Cte { alias, query, from, materialized, closing_paren_token: _ } = table;
        let TableAlias { explicit: _, name: _, columns, at } = alias;
        if from.is_some() || at.is_some() {
            return Err(refuse("this WITH", alias.name.span));
        }
        self.push(&quoted(name));
        self.alias_columns(columns, false)?;
        // NOT MATERIALIZED lets forty lines make a plan of a million million nodes.
        self.push(match materialized {
            Some(CteAsMaterialized::Materialized) => " AS MATERIALIZED (",
            Some(CteAsMaterialized::NotMaterialized) | None => " AS (",
        });
        self.query(query)?;
        self.push(")");
        Ok(())
    }

    fn set(&mut self, body: &SetExpr) -> Result<(), Failure> {
        // UNIONs lean to the left as operators do.
        let mut chain = Vec::new();
        let mut first = body;
        while let SetExpr::SetOperation { left, op, set_quantifier, right } = first {
            chain.push((op, set_quantifier, right));
            first = left;
        }
        self.deeper(|printer| printer.set_operand(first))?;
        for (operator, quantifier, right) in chain.into_iter().rev() {
            self.push(match operator {
                SetOperator::Union => " UNION",
                SetOperator::Except => " EXCEPT",
                SetOperator::Intersect => " INTERSECT",
                SetOperator::Minus => return Err(instead("MINUS", "write EXCEPT", Span::empty())),
            });
            self.push(match quantifier {
                SetQuantifier::All => " ALL ",
                SetQuantifier::Distinct | SetQuantifier::None => " ",
                other => return Err(refuse(&format!("UNION {other}"), Span::empty())),
            });
            self.deeper(|printer| match right.as_ref() {
                SetExpr::SetOperation { .. } => printer.set(right),
                other => printer.set_operand(other),
            })?;
        }
        Ok(())
    }

    fn set_operand(&mut self, body: &SetExpr) -> Result<(), Failure> {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => {
                self.push("(");
                self.query(query)?;
                self.push(")");
                Ok(())
            }
            SetExpr::Values(values) => self.values(values),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => Err(instead(
                "a statement that writes within another",
                "run it by itself, or both in db.transaction",
                Span::empty(),
            )),
            SetExpr::Table(_) | SetExpr::SetOperation { .. } => Err(refuse("TABLE", Span::empty())),
        }
    }

    fn values(&mut self, values: &Values) -> Result<(), Failure> {
        let Values { explicit_row, value_keyword, rows } = values;
        if *explicit_row || *value_keyword {
            return Err(refuse("this form of VALUES", Span::empty()));
        }
        self.push("VALUES ");
        self.commas(rows, |printer, Parens { opening_token: _, content, closing_token: _ }| {
            printer.push("(");
            printer.commas(content, Self::expression)?;
            printer.push(")");
            Ok(())
        })
    }

    fn select(&mut self, select: &Select) -> Result<(), Failure> {
        let Select {
            select_token,
            optimizer_hints,
            distinct,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        let span = select_token.0.span;
        if into.is_some() {
            return Err(refuse("SELECT INTO", span));
        }
        let foreign = !optimizer_hints.is_empty()
            || select_modifiers.is_some()
            || top.is_some()
            || exclude.is_some()
            || !lateral_views.is_empty()
            || prewhere.is_some()
            || !connect_by.is_empty()
            || !cluster_by.is_empty()
            || !distribute_by.is_empty()
            || !sort_by.is_empty()
            || qualify.is_some()
            || value_table_mode.is_some()
            || *flavor != SelectFlavor::Standard
            || projection.is_empty();
        if foreign {
            return Err(refuse("this form of SELECT", span));
        }
        self.push("SELECT ");
        match distinct {
            None | Some(Distinct::All) => {}
            Some(Distinct::Distinct) => self.push("DISTINCT "),
            Some(Distinct::On(columns)) => {
                self.push("DISTINCT ON (");
                self.commas(columns, Self::expression)?;
                self.push(") ");
            }
        }
        self.items(projection)?;
        if !from.is_empty() {
            self.push(" FROM ");
            self.commas(from, Self::joined)?;
        }
        self.optional(" WHERE ", selection.as_ref())?;
        match group_by {
            GroupByExpr::Expressions(columns, modifiers) if modifiers.is_empty() => {
                if !columns.is_empty() {
                    self.push(" GROUP BY ");
                    self.commas(columns, Self::expression)?;
                }
            }
            _ => return Err(refuse("this form of GROUP BY", span)),
        }
        self.optional(" HAVING ", having.as_ref())?;
        if !named_window.is_empty() {
            self.push(" WINDOW ");
            self.commas(named_window, |printer, NamedWindowDefinition(name, window)| {
                printer.name(name)?;
                printer.push(" AS ");
                match window {
                    NamedWindowExpr::NamedWindow(name) => {
                        printer.push("(");
                        printer.name(name)?;
                        printer.push(")");
                        Ok(())
                    }
                    NamedWindowExpr::WindowSpec(spec) => printer.window_spec(spec),
                }
            })?;
        }
        Ok(())
    }

    /// What a SELECT or a RETURNING answers.
    pub(super) fn items(&mut self, items: &[SelectItem]) -> Result<(), Failure> {
        self.commas(items, |printer, item| match item {
            SelectItem::UnnamedExpr(expression) => printer.expression(expression),
            SelectItem::ExprWithAlias { expr, alias } => {
                printer.expression(expr)?;
                printer.push(" AS ");
                printer.give(alias)
            }
            SelectItem::ExprWithAliases { expr: _, aliases: _ } => {
                Err(refuse("a value of several names", Span::empty()))
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(table), options) => {
                plain(options)?;
                let ident = printer.single(table, "table")?;
                printer.name(ident)?;
                printer.push(".*");
                Ok(())
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(_), _) => {
                Err(refuse("the fields of a value", Span::empty()))
            }
            SelectItem::Wildcard(options) => {
                plain(options)?;
                printer.push("*");
                Ok(())
            }
        })
    }

    pub(super) fn order(&mut self, order: &[OrderByExpr]) -> Result<(), Failure> {
        self.commas(order, |printer, OrderByExpr { expr, options, with_fill }| {
            let OrderByOptions { sort, nulls_first } = options;
            if with_fill.is_some() {
                return Err(refuse("WITH FILL", Span::empty()));
            }
            printer.expression(expr)?;
            printer.push(match sort {
                None => "",
                Some(OrderBySort::Asc) => " ASC",
                Some(OrderBySort::Desc) => " DESC",
                Some(OrderBySort::Using(_)) => return Err(refuse("ORDER BY USING", Span::empty())),
            });
            printer.push(match nulls_first {
                None => "",
                Some(true) => " NULLS FIRST",
                Some(false) => " NULLS LAST",
            });
            Ok(())
        })
    }

    pub(super) fn window(&mut self, window: &WindowType) -> Result<(), Failure> {
        match window {
            WindowType::NamedWindow(name) => self.name(name),
            WindowType::WindowSpec(spec) => self.window_spec(spec),
        }
    }

    fn window_spec(&mut self, spec: &WindowSpec) -> Result<(), Failure> {
        let WindowSpec { window_name, partition_by, order_by, window_frame } = spec;
        self.push("(");
        if let Some(name) = window_name {
            self.name(name)?;
        }
        if !partition_by.is_empty() {
            self.push(" PARTITION BY ");
            self.commas(partition_by, Self::expression)?;
        }
        if !order_by.is_empty() {
            self.push(" ORDER BY ");
            self.order(order_by)?;
        }
        if let Some(WindowFrame { units, start_bound, end_bound }) = window_frame {
            self.push(match units {
                WindowFrameUnits::Rows => " ROWS ",
                WindowFrameUnits::Range => " RANGE ",
                WindowFrameUnits::Groups => " GROUPS ",
            });
            if let Some(end) = end_bound {
                self.push("BETWEEN ");
                self.bound(start_bound)?;
                self.push(" AND ");
                self.bound(end)?;
            } else {
                self.bound(start_bound)?;
            }
        }
        self.push(")");
        Ok(())
    }

    fn bound(&mut self, bound: &WindowFrameBound) -> Result<(), Failure> {
        let (distance, direction) = match bound {
            WindowFrameBound::CurrentRow => {
                self.push("CURRENT ROW");
                return Ok(());
            }
            WindowFrameBound::Preceding(distance) => (distance, " PRECEDING"),
            WindowFrameBound::Following(distance) => (distance, " FOLLOWING"),
        };
        match distance {
            None => self.push("UNBOUNDED"),
            Some(distance) => self.expression(distance)?,
        }
        self.push(direction);
        Ok(())
    }
}

/// An asterisk is nothing more.
fn plain(options: &WildcardAdditionalOptions) -> Result<(), Failure> {
    let WildcardAdditionalOptions {
        wildcard_token,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    let plain = opt_ilike.is_none()
        && opt_exclude.is_none()
        && opt_except.is_none()
        && opt_replace.is_none()
        && opt_rename.is_none()
        && opt_alias.is_none();
    if plain { Ok(()) } else { Err(refuse("an asterisk with options", wildcard_token.0.span)) }
}
