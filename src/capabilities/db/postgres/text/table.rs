//! What a query reads from.

use sqlparser::ast::{
    FunctionArg, Ident, Join, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, TableAlias,
    TableAliasColumnDef, TableFactor, TableFunctionArgs, TableWithJoins,
};
use sqlparser::tokenizer::Span;

use super::names::Call;
use super::words::data_type;
use super::{Printer, instead, quoted, refuse};
use crate::runtime::failure::Failure;

impl Printer<'_> {
    pub(super) fn joined(&mut self, table: &TableWithJoins) -> Result<(), Failure> {
        self.deeper(|printer| {
            let TableWithJoins { relation, joins } = table;
            printer.factor(relation)?;
            for Join { relation, global, join_operator } in joins {
                if *global {
                    return Err(refuse("GLOBAL JOIN", Span::empty()));
                }
                let (word, constraint) = match join_operator {
                    JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => ("JOIN", constraint),
                    JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => ("LEFT JOIN", constraint),
                    JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                        ("RIGHT JOIN", constraint)
                    }
                    JoinOperator::FullOuter(constraint) => ("FULL JOIN", constraint),
                    JoinOperator::CrossJoin(constraint @ JoinConstraint::None) => ("CROSS JOIN", constraint),
                    _ => return Err(refuse("this kind of JOIN", Span::empty())),
                };
                printer.push(match constraint {
                    JoinConstraint::Natural => " NATURAL ",
                    _ => " ",
                });
                printer.push(word);
                printer.push(" ");
                printer.factor(relation)?;
                match constraint {
                    JoinConstraint::On(condition) => printer.optional(" ON ", Some(condition))?,
                    JoinConstraint::Using(columns) => {
                        printer.push(" USING (");
                        printer.commas(columns, |printer, column| {
                            let ident = printer.single(column, "column")?;
                            printer.name(ident)
                        })?;
                        printer.push(")");
                    }
                    JoinConstraint::Natural | JoinConstraint::None => {}
                }
            }
            Ok(())
        })
    }

    fn factor(&mut self, factor: &TableFactor) -> Result<(), Failure> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                let foreign = !with_hints.is_empty()
                    || version.is_some()
                    || !partitions.is_empty()
                    || json_path.is_some()
                    || !index_hints.is_empty();
                if sample.is_some() {
                    return Err(refuse("TABLESAMPLE", Span::empty()));
                }
                if foreign {
                    return Err(refuse(&format!("this form of the table {name}"), Span::empty()));
                }
                match args {
                    Some(TableFunctionArgs { args, settings: None }) => {
                        self.table_function(name, args, *with_ordinality, alias.as_ref())
                    }
                    Some(_) => Err(refuse("a function with settings", Span::empty())),
                    None if *with_ordinality => Err(refuse("WITH ORDINALITY of a table", Span::empty())),
                    None => self.named(name, alias.as_ref()),
                }
            }
            TableFactor::Derived { lateral, subquery, alias, sample: None } => {
                self.push(if *lateral { "LATERAL (" } else { "(" });
                self.query(subquery)?;
                self.push(")");
                self.alias(alias.as_ref(), false)
            }
            TableFactor::Function { lateral, name, args, with_ordinality, alias } => {
                self.push(if *lateral { "LATERAL " } else { "" });
                self.table_function(name, args, *with_ordinality, alias.as_ref())
            }
            TableFactor::UNNEST { alias, array_exprs, with_offset, with_offset_alias, with_ordinality } => {
                if *with_offset || with_offset_alias.is_some() {
                    return Err(instead("UNNEST WITH OFFSET", "write WITH ORDINALITY", Span::empty()));
                }
                self.function_name(&ObjectName::from(vec![Ident::new("unnest")]))?;
                self.push("UNNEST(");
                self.commas(array_exprs, Self::expression)?;
                self.push(")");
                self.ordinality(*with_ordinality);
                self.alias(alias.as_ref(), true)
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                self.push("(");
                self.joined(table_with_joins)?;
                self.push(")");
                self.alias(alias.as_ref(), false)
            }
            _ => Err(refuse("this kind of table", Span::empty())),
        }
    }

    /// A common table or a protected one.
    fn named(&mut self, name: &ObjectName, alias: Option<&TableAlias>) -> Result<(), Failure> {
        if let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() {
            let folded = self.fold(ident)?;
            if let Some((_, printed)) = self.common.iter().rev().find(|(known, _)| *known == folded) {
                let printed = quoted(printed);
                self.push(&printed);
                if alias.is_none() {
                    self.push(&format!(" AS {}", quoted(&folded)));
                }
                return self.alias(alias, false);
            }
        }
        let table = self.table(name)?;
        self.tables.read.insert(table.name.clone());
        self.push(&table.quoted());
        self.alias(alias, false)
    }

    fn table_function(
        &mut self,
        name: &ObjectName,
        arguments: &[FunctionArg],
        ordinality: bool,
        alias: Option<&TableAlias>,
    ) -> Result<(), Failure> {
        let (printed, call) = self.function_name(name)?;
        if call != Call::Named {
            return Err(refuse(&format!("{name} as a table"), Span::empty()));
        }
        self.push(&format!("{printed}("));
        self.commas(arguments, Self::argument)?;
        self.push(")");
        self.ordinality(ordinality);
        self.alias(alias, true)
    }

    fn ordinality(&mut self, ordinality: bool) {
        if ordinality {
            self.push(" WITH ORDINALITY");
            self.given.insert("ordinality".to_owned());
        }
        // What functions call their columns.
        self.given.extend(["key", "value"].map(str::to_owned));
    }

    /// `of_function`: with types, where a function answers records.
    fn alias(&mut self, alias: Option<&TableAlias>, of_function: bool) -> Result<(), Failure> {
        let Some(TableAlias { explicit: _, name, columns, at }) = alias else { return Ok(()) };
        if at.is_some() {
            return Err(refuse("this alias", name.span));
        }
        self.push(" AS ");
        // A function of one column calls it by the alias.
        self.give(name)?;
        self.alias_columns(columns, of_function)
    }

    pub(super) fn alias_columns(&mut self, columns: &[TableAliasColumnDef], typed: bool) -> Result<(), Failure> {
        if columns.is_empty() {
            return Ok(());
        }
        self.push(" (");
        self.commas(columns, |printer, TableAliasColumnDef { name, data_type: kind }| {
            printer.give(name)?;
            match kind {
                None => Ok(()),
                Some(kind) if typed => {
                    let kind = data_type(kind)?;
                    printer.push(&format!(" {kind}"));
                    Ok(())
                }
                Some(_) => Err(refuse("a type of a column here", name.span)),
            }
        })?;
        self.push(")");
        Ok(())
    }
}
