//! Calls of functions.

use sqlparser::ast::{
    DuplicateTreatment, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, ObjectName, ObjectNamePart,
};
use sqlparser::tokenizer::Span;

use super::names::{self, Call};
use super::{FUNCTIONS, Printer, quoted, refuse};
use crate::capabilities::db::error::fixed;
use crate::runtime::failure::Failure;

impl Printer<'_> {
    /// A function that the grammar has a syntax for, by its name.
    pub(super) fn function(
        &mut self,
        name: &str,
        span: Span,
        arguments: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.count_function()?;
        self.places.push((name.to_owned(), span));
        self.push(&format!("pg_catalog.{}(", quoted(name)));
        arguments(self)?;
        self.push(")");
        Ok(())
    }

    fn count_function(&mut self) -> Result<(), Failure> {
        self.functions += 1;
        if self.functions > FUNCTIONS {
            return Err(fixed(format!("a statement may call at most {FUNCTIONS} functions")));
        }
        Ok(())
    }

    /// A function's name, if scripts may call it, and how.
    pub(super) fn function_name(&mut self, name: &ObjectName) -> Result<(String, Call), Failure> {
        self.count_function()?;
        let denied = |shown: &str, span| Err(refuse(&format!("the SQL function {shown}()"), span));
        let (catalog, ident) = match name.0.as_slice() {
            [ObjectNamePart::Identifier(ident)] => (false, ident),
            [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(ident)]
                if schema.value.eq_ignore_ascii_case("pg_catalog") =>
            {
                (true, ident)
            }
            // The application's, in the printed text.
            [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(ident)] if self.again => {
                let printed = format!("{}.{}", quoted(&schema.value), quoted(&ident.value));
                return match self.catalog.function(&ident.value) {
                    Some(known) if known == printed => Ok((printed, Call::Named)),
                    _ => denied(&name.to_string(), Span::empty()),
                };
            }
            _ => return denied(&name.to_string(), Span::empty()),
        };
        let folded = self.fold(ident)?;
        // Otherwise it would be a column's name, where it is quoted or qualified.
        let plain = !catalog && ident.quote_style.is_none();
        match names::call(&folded) {
            Some(call @ (Call::Keyword | Call::Bare)) if plain => {
                self.given.insert(folded.clone());
                Ok((folded.to_ascii_uppercase(), call))
            }
            Some(Call::Named) => {
                self.places.push((folded.clone(), ident.span));
                self.given.insert(folded.clone());
                Ok((format!("pg_catalog.{}", quoted(&folded)), Call::Named))
            }
            None if plain => match self.catalog.function(&folded).map(str::to_owned) {
                Some(printed) => {
                    self.given.insert(folded);
                    Ok((printed, Call::Named))
                }
                None => denied(&folded, ident.span),
            },
            _ => denied(&folded, ident.span),
        }
    }

    pub(super) fn call(&mut self, function: &Function) -> Result<(), Failure> {
        let Function { name, uses_odbc_syntax, parameters, args, within_group, filter, null_treatment, over } =
            function;
        if *uses_odbc_syntax || *parameters != FunctionArguments::None || null_treatment.is_some() {
            return Err(refuse(&format!("this form of {name}()"), Span::empty()));
        }
        if let (FunctionArguments::Subquery(query), [ObjectNamePart::Identifier(ident)]) = (args, name.0.as_slice())
            && ident.quote_style.is_none()
            && ident.value.eq_ignore_ascii_case("array")
        {
            self.push("ARRAY(");
            self.query(query)?;
            self.push(")");
            return Ok(());
        }
        let (printed, call) = self.function_name(name)?;
        self.push(&printed);
        match (args, call) {
            (FunctionArguments::None, Call::Bare) => {}
            (FunctionArguments::List(list), Call::Bare) if list.args.is_empty() => {}
            (FunctionArguments::List(list), Call::Named | Call::Keyword) => self.arguments(list)?,
            _ => return Err(refuse(&format!("this form of {name}()"), Span::empty())),
        }
        if !within_group.is_empty() {
            self.push(" WITHIN GROUP (ORDER BY ");
            self.order(within_group)?;
            self.push(")");
        }
        if let Some(filter) = filter {
            self.push(" FILTER (WHERE ");
            self.expression(filter)?;
            self.push(")");
        }
        if let Some(over) = over {
            self.push(" OVER ");
            self.window(over)?;
        }
        Ok(())
    }

    fn arguments(&mut self, list: &FunctionArgumentList) -> Result<(), Failure> {
        let FunctionArgumentList { duplicate_treatment, args, clauses } = list;
        self.push("(");
        match duplicate_treatment {
            Some(DuplicateTreatment::Distinct) => self.push("DISTINCT "),
            Some(DuplicateTreatment::All) | None => {}
        }
        self.commas(args, Self::argument)?;
        for clause in clauses {
            match clause {
                FunctionArgumentClause::OrderBy(order) => {
                    self.push(" ORDER BY ");
                    self.order(order)?;
                }
                other => return Err(refuse(&format!("{other} in a function's arguments"), Span::empty())),
            }
        }
        self.push(")");
        Ok(())
    }

    pub(super) fn argument(&mut self, argument: &FunctionArg) -> Result<(), Failure> {
        let value = match argument {
            FunctionArg::Unnamed(value) => value,
            FunctionArg::Named {
                name,
                arg,
                operator: FunctionArgOperator::RightArrow | FunctionArgOperator::Assignment,
            } => {
                self.name(name)?;
                self.push(" => ");
                arg
            }
            other => return Err(refuse(&format!("the argument {other}"), Span::empty())),
        };
        match value {
            FunctionArgExpr::Expr(expression) => self.expression(expression),
            FunctionArgExpr::Wildcard => {
                self.push("*");
                Ok(())
            }
            FunctionArgExpr::QualifiedWildcard(table) => {
                let ident = self.single(table, "table")?;
                self.name(ident)?;
                self.push(".*");
                Ok(())
            }
            FunctionArgExpr::WildcardWithOptions(_) => Err(refuse("an asterisk with options", Span::empty())),
        }
    }
}
