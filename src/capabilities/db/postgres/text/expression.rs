//! Expressions.

use sqlparser::ast::{
    AccessExpr, Array, BinaryOperator, CaseWhen, CeilFloorKind, DataType, DateTimeField, Expr, Ident, Interval,
    Subscript, TrimWhereField, TypedString, UnaryOperator, Value, ValueWithSpan,
};
use sqlparser::tokenizer::Span;

use super::words::{binary, data_type, field_of, is_number, last, text, word};
use super::{Printer, instead, quoted, refuse};
use crate::runtime::failure::Failure;

impl Printer<'_> {
    pub(super) fn expression(&mut self, expression: &Expr) -> Result<(), Failure> {
        // A chain of operators is a tree that leans to the left. Its depth is
        // bounded by their number, which the tokens were counted for.
        let mut chain = Vec::new();
        let mut first = expression;
        while let Expr::BinaryOp { left, op, right } = first {
            chain.push((op, right));
            first = left;
        }
        self.deeper(|printer| printer.operand(first))?;
        for (operator, right) in chain.into_iter().rev() {
            let operator = binary(operator)?;
            self.push(&format!(" {operator} "));
            self.deeper(|printer| printer.operand_chain(right))?;
        }
        Ok(())
    }

    /// What stands to the right of an operator, which may be a chain itself.
    fn operand_chain(&mut self, expression: &Expr) -> Result<(), Failure> {
        match expression {
            Expr::BinaryOp { .. } => self.expression(expression),
            other => self.operand(other),
        }
    }

    fn operand(&mut self, expression: &Expr) -> Result<(), Failure> {
        match expression {
            Expr::BinaryOp { .. } => self.expression(expression),
            Expr::Identifier(ident) => self.name(ident),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, column] => self.qualified_column(table, column),
                [first, ..] => Err(refuse("a name of more than two parts", first.span)),
                [] => Err(refuse("a name of no parts", Span::empty())),
            },
            Expr::IsFalse(inner) => self.postfix(inner, "IS FALSE"),
            Expr::IsNotFalse(inner) => self.postfix(inner, "IS NOT FALSE"),
            Expr::IsTrue(inner) => self.postfix(inner, "IS TRUE"),
            Expr::IsNotTrue(inner) => self.postfix(inner, "IS NOT TRUE"),
            Expr::IsNull(inner) => self.postfix(inner, "IS NULL"),
            Expr::IsNotNull(inner) => self.postfix(inner, "IS NOT NULL"),
            Expr::IsUnknown(inner) => self.postfix(inner, "IS UNKNOWN"),
            Expr::IsNotUnknown(inner) => self.postfix(inner, "IS NOT UNKNOWN"),
            Expr::IsDistinctFrom(left, right) => self.between(left, " IS DISTINCT FROM ", right),
            Expr::IsNotDistinctFrom(left, right) => self.between(left, " IS NOT DISTINCT FROM ", right),
            Expr::InList { expr, list, negated } => {
                self.expression(expr)?;
                self.push(if *negated { " NOT IN (" } else { " IN (" });
                if list.is_empty() {
                    return Err(refuse("an empty IN ()", Span::empty()));
                }
                self.commas(list, Self::expression)?;
                self.push(")");
                Ok(())
            }
            Expr::InSubquery { expr, subquery, negated } => {
                self.expression(expr)?;
                self.push(if *negated { " NOT IN (" } else { " IN (" });
                self.query(subquery)?;
                self.push(")");
                Ok(())
            }
            Expr::Between { expr, negated, low, high } => {
                self.expression(expr)?;
                self.push(if *negated { " NOT BETWEEN " } else { " BETWEEN " });
                self.between(low, " AND ", high)
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(if *negated { " NOT LIKE " } else { " LIKE " }, expr, pattern, escape_char.as_deref())
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.like(if *negated { " NOT ILIKE " } else { " ILIKE " }, expr, pattern, escape_char.as_deref())
            }
            Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                let operator = if *negated { " NOT SIMILAR TO " } else { " SIMILAR TO " };
                self.like(operator, expr, pattern, escape_char.as_deref())
            }
            Expr::AnyOp { left, compare_op, right, is_some: _ } => self.quantified(left, compare_op, "ANY", right),
            Expr::AllOp { left, compare_op, right } => self.quantified(left, compare_op, "ALL", right),
            Expr::UnaryOp { op, expr } => {
                // With a space: two signs together would begin a comment.
                self.push(match op {
                    UnaryOperator::Not => "NOT ",
                    UnaryOperator::Minus => "- ",
                    UnaryOperator::Plus => "+ ",
                    UnaryOperator::BitwiseNot => "~ ",
                    other => return Err(refuse(&format!("the operator {other}"), Span::empty())),
                });
                self.expression(expr)
            }
            Expr::Cast { kind: _, expr, data_type, format: None } => {
                self.cast(data_type, |printer| printer.expression(expr))
            }
            Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false }) => {
                self.cast(data_type, |printer| printer.value(value))
            }
            Expr::AtTimeZone { timestamp, time_zone } => self.between(timestamp, " AT TIME ZONE ", time_zone),
            Expr::Extract { field, syntax: _, expr } => {
                let field = field_of(field)?;
                self.function("extract", Span::empty(), |printer| {
                    printer.push(&format!("{}, ", text(&field)));
                    printer.expression(expr)
                })
            }
            Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.function("ceil", Span::empty(), |printer| printer.expression(expr))
            }
            Expr::Floor { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.function("floor", Span::empty(), |printer| printer.expression(expr))
            }
            Expr::Position { expr, r#in } => {
                self.function("position", Span::empty(), |printer| printer.between(r#in, ", ", expr))
            }
            Expr::Substring { expr, substring_from, substring_for, special: _, shorthand: _ } => {
                self.function("substring", Span::empty(), |printer| {
                    printer.expression(expr)?;
                    printer.push(", ");
                    match substring_from {
                        Some(from) => printer.expression(from)?,
                        None => printer.push("1"),
                    }
                    printer.optional(", ", substring_for.as_deref())
                })
            }
            Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
                let name = match trim_where {
                    None | Some(TrimWhereField::Both) => "btrim",
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                };
                let what = match (trim_what.as_deref(), trim_characters.as_deref()) {
                    (what, None) => what,
                    (None, Some([what])) => Some(what),
                    _ => return Err(refuse("TRIM with these arguments", Span::empty())),
                };
                self.function(name, Span::empty(), |printer| {
                    printer.expression(expr)?;
                    printer.optional(", ", what)
                })
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                self.function("overlay", Span::empty(), |printer| {
                    printer.between(expr, ", ", overlay_what)?;
                    printer.push(", ");
                    printer.expression(overlay_from)?;
                    printer.optional(", ", overlay_for.as_deref())
                })
            }
            Expr::Collate { expr, collation } => {
                self.expression(expr)?;
                let name = word(&last(collation)?.value)?;
                self.push(&format!(" COLLATE pg_catalog.{}", quoted(&name)));
                Ok(())
            }
            Expr::Nested(inner) => {
                self.push("(");
                self.expression(inner)?;
                self.push(")");
                Ok(())
            }
            Expr::Value(value) => self.value(value),
            Expr::Function(function) => self.call(function),
            Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => {
                self.push("CASE");
                self.optional(" ", operand.as_deref())?;
                for CaseWhen { condition, result } in conditions {
                    self.push(" WHEN ");
                    self.between(condition, " THEN ", result)?;
                }
                self.optional(" ELSE ", else_result.as_deref())?;
                self.push(" END");
                Ok(())
            }
            Expr::Exists { subquery, negated } => {
                self.push(if *negated { "NOT EXISTS (" } else { "EXISTS (" });
                self.query(subquery)?;
                self.push(")");
                Ok(())
            }
            Expr::Subquery(query) => {
                self.push("(");
                self.query(query)?;
                self.push(")");
                Ok(())
            }
            Expr::GroupingSets(sets) => self.sets("GROUPING SETS ", sets),
            Expr::Cube(sets) => self.sets("CUBE ", sets),
            Expr::Rollup(sets) => self.sets("ROLLUP ", sets),
            Expr::Tuple(values) => {
                self.push(if values.len() == 1 { "ROW(" } else { "(" });
                self.commas(values, Self::expression)?;
                self.push(")");
                Ok(())
            }
            Expr::Array(Array { elem, named: true }) => {
                self.push("ARRAY[");
                self.commas(elem, |printer, element| match element {
                    // An array within an array needs no keyword, but may have one.
                    Expr::Array(Array { elem, named: _ }) => {
                        let elem = elem.clone();
                        printer.deeper(|printer| printer.operand(&Expr::Array(Array { elem, named: true })))
                    }
                    other => printer.expression(other),
                })?;
                self.push("]");
                Ok(())
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.expression(root)?;
                for access in access_chain {
                    match access {
                        AccessExpr::Subscript(Subscript::Index { index }) => {
                            self.push("[");
                            self.expression(index)?;
                        }
                        AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride: None }) => {
                            self.push("[");
                            self.optional("", lower_bound.as_ref())?;
                            self.push(" : ");
                            self.optional("", upper_bound.as_ref())?;
                        }
                        // `(x).f` calls a function `f` where `x` has no field of that name.
                        _ => return Err(refuse("a field of a value", Span::empty())),
                    }
                    self.push("]");
                }
                Ok(())
            }
            Expr::Interval(interval) => self.interval(interval),
            other => Err(refuse(&shown(other), Span::empty())),
        }
    }

    fn qualified_column(&mut self, table: &Ident, column: &Ident) -> Result<(), Failure> {
        self.name(table)?;
        self.push(".");
        let name = self.fold(column)?;
        self.qualified.push((name, column.span));
        self.name(column)
    }

    fn postfix(&mut self, expression: &Expr, operator: &str) -> Result<(), Failure> {
        self.expression(expression)?;
        self.push(&format!(" {operator}"));
        Ok(())
    }

    pub(super) fn between(&mut self, left: &Expr, between: &str, right: &Expr) -> Result<(), Failure> {
        self.expression(left)?;
        self.push(between);
        self.expression(right)
    }

    pub(super) fn optional(&mut self, before: &str, expression: Option<&Expr>) -> Result<(), Failure> {
        if let Some(expression) = expression {
            self.push(before);
            self.expression(expression)?;
        }
        Ok(())
    }

    fn like(&mut self, operator: &str, text: &Expr, pattern: &Expr, escape: Option<&Expr>) -> Result<(), Failure> {
        self.between(text, operator, pattern)?;
        self.optional(" ESCAPE ", escape)
    }

    fn quantified(&mut self, left: &Expr, operator: &BinaryOperator, word: &str, right: &Expr) -> Result<(), Failure> {
        self.expression(left)?;
        self.push(&format!(" {} {word} (", binary(operator)?));
        match right {
            Expr::Subquery(query) => self.query(query)?,
            Expr::Nested(inner) => self.expression(inner)?,
            other => self.expression(other)?,
        }
        self.push(")");
        Ok(())
    }

    fn sets(&mut self, word: &str, sets: &[Vec<Expr>]) -> Result<(), Failure> {
        self.push(word);
        self.push("(");
        self.commas(sets, |printer, set| {
            printer.push("(");
            printer.commas(set, Self::expression)?;
            printer.push(")");
            Ok(())
        })?;
        self.push(")");
        Ok(())
    }

    fn value(&mut self, value: &ValueWithSpan) -> Result<(), Failure> {
        let ValueWithSpan { value, span } = value;
        match value {
            Value::Number(number, false) if is_number(number) => self.push(number),
            Value::SingleQuotedString(string)
            | Value::EscapedStringLiteral(string)
            | Value::UnicodeStringLiteral(string) => self.push(&text(string)),
            Value::DollarQuotedString(string) => self.push(&text(&string.value)),
            Value::Boolean(true) => self.push("TRUE"),
            Value::Boolean(false) => self.push("FALSE"),
            Value::Null => self.push("NULL"),
            Value::Placeholder(name) => {
                let number = name.strip_prefix('$').and_then(|number| number.parse::<u16>().ok());
                let number = number.ok_or_else(|| refuse(&format!("the parameter {name}"), *span))?;
                self.push(&format!("${number}"));
            }
            Value::HexStringLiteral(_) | Value::SingleQuotedByteStringLiteral(_) => {
                return Err(instead("a string of bits", "give bytes as a parameter, or write '\\x00ff'::bytea", *span));
            }
            other => return Err(refuse(&format!("the value {other}"), *span)),
        }
        Ok(())
    }

    fn interval(&mut self, interval: &Interval) -> Result<(), Failure> {
        let Interval { value, leading_field, leading_precision, last_field, fractional_seconds_precision } = interval;
        let (Expr::Value(value), None, None, None) =
            (value.as_ref(), leading_precision, last_field, fractional_seconds_precision)
        else {
            return Err(refuse("INTERVAL of anything but a text such as '1 day'", Span::empty()));
        };
        self.push("INTERVAL ");
        self.value(value)?;
        if let Some(field) = leading_field {
            let field = field_of(field)?.to_ascii_uppercase();
            if !["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"].contains(&&*field) {
                return Err(refuse(&format!("INTERVAL of {field}"), Span::empty()));
            }
            self.push(&format!(" {field}"));
        }
        Ok(())
    }

    fn cast(&mut self, kind: &DataType, value: impl FnOnce(&mut Self) -> Result<(), Failure>) -> Result<(), Failure> {
        self.push("CAST(");
        value(self)?;
        self.push(" AS ");
        let kind = data_type(kind)?;
        self.push(&kind);
        self.push(")");
        Ok(())
    }
}

fn shown(expression: &Expr) -> String {
    let shown: String = expression.to_string().chars().take(60).collect();
    format!("`{shown}`")
}
