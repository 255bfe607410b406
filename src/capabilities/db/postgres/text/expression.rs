//! Expressions.

use sqlparser::ast::{
    AccessExpr, Array, BinaryOperator, CaseWhen, CeilFloorKind, DataType, DateTimeField, DuplicateTreatment, Expr,
    Function, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArgumentClause, FunctionArgumentList,
    FunctionArguments, Ident, Interval, ObjectName, ObjectNamePart, Subscript, TrimWhereField, TypedString,
    UnaryOperator, Value, ValueWithSpan,
};
use sqlparser::ast::{ArrayElemTypeDef, CharacterLength, ExactNumberInfo, TimezoneInfo};
use sqlparser::tokenizer::Span;

use super::names::{self, Call};
use super::{FUNCTIONS, Printer, quoted, refuse};
use crate::capabilities::db::error::fixed;
use crate::runtime::failure::Failure;

/// The longest name of a type, a collation or a field of a date.
const WORD_BYTES: usize = 40;

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
                return Err(refuse("a string of bits; bytes are parameters, or '\\x00ff'::bytea, which", *span));
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

    /// A function that the grammar has a syntax for, by its name.
    fn function(
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

    fn call(&mut self, function: &Function) -> Result<(), Failure> {
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

/// A string as PostgreSQL takes it letter by letter, `standard_conforming_strings` being on.
pub(super) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn shown(expression: &Expr) -> String {
    let shown: String = expression.to_string().chars().take(60).collect();
    format!("`{shown}`")
}

fn last(name: &ObjectName) -> Result<&Ident, Failure> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Ok(ident),
        [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(ident)] if schema.value == "pg_catalog" => {
            Ok(ident)
        }
        _ => Err(refuse(&format!("the name {name}"), Span::empty())),
    }
}

fn word(word: &str) -> Result<String, Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'@');
    if (1..=WORD_BYTES).contains(&word.len()) && word.bytes().all(plain) {
        Ok(word.to_owned())
    } else {
        Err(refuse(&format!("the name {}", word.chars().take(WORD_BYTES).collect::<String>()), Span::empty()))
    }
}

/// A number as PostgreSQL 15 takes it: no hexadecimal, no underscores.
fn is_number(number: &str) -> bool {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.trim_start_matches(['+', '-'])),
        None => (number, "0"),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole) && digits(fraction) && digits(exponent) && !exponent.is_empty() && whole.len() + fraction.len() > 0
}

fn field_of(field: &DateTimeField) -> Result<String, Failure> {
    let name = field.to_string().trim_matches(['\'', '"']).to_ascii_lowercase();
    let known = [
        "century",
        "day",
        "days",
        "decade",
        "dow",
        "doy",
        "epoch",
        "hour",
        "hours",
        "isodow",
        "isoyear",
        "julian",
        "microseconds",
        "millennium",
        "milliseconds",
        "minute",
        "minutes",
        "month",
        "months",
        "quarter",
        "second",
        "seconds",
        "timezone",
        "timezone_hour",
        "timezone_minute",
        "week",
        "year",
        "years",
    ];
    if known.contains(&&*name) { Ok(name) } else { Err(refuse(&format!("the field {name} of a date"), Span::empty())) }
}

fn binary(operator: &BinaryOperator) -> Result<&'static str, Failure> {
    use BinaryOperator as O;
    Ok(match operator {
        O::Plus => "+",
        O::Minus => "-",
        O::Multiply => "*",
        O::Divide => "/",
        O::Modulo => "%",
        O::StringConcat => "||",
        O::Gt => ">",
        O::Lt => "<",
        O::GtEq => ">=",
        O::LtEq => "<=",
        O::Eq => "=",
        O::NotEq => "<>",
        O::And => "AND",
        O::Or => "OR",
        O::BitwiseOr => "|",
        O::BitwiseAnd => "&",
        O::PGExp => "^",
        O::PGBitwiseXor => "#",
        O::PGBitwiseShiftLeft => "<<",
        O::PGBitwiseShiftRight => ">>",
        O::PGOverlap => "&&",
        O::PGRegexMatch => "~",
        O::PGRegexIMatch => "~*",
        O::PGRegexNotMatch => "!~",
        O::PGRegexNotIMatch => "!~*",
        O::PGStartsWith => "^@",
        O::Arrow => "->",
        O::LongArrow => "->>",
        O::HashArrow => "#>",
        O::HashLongArrow => "#>>",
        O::HashMinus => "#-",
        O::AtAt => "@@",
        O::AtArrow => "@>",
        O::ArrowAt => "<@",
        O::AtQuestion => "@?",
        O::Overlaps => "OVERLAPS",
        O::Question | O::QuestionAnd | O::QuestionPipe => {
            return Err(refuse(
                &format!("the operator {operator} (`?` is a parameter); jsonb_exists() is, and it"),
                Span::empty(),
            ));
        }
        other => return Err(refuse(&format!("the operator {other}"), Span::empty())),
    })
}

/// A type that a script may cast to, as it is printed.
pub(super) fn data_type(kind: &DataType) -> Result<String, Failure> {
    let length = |length: &Option<CharacterLength>| match length {
        None => Ok(None),
        Some(CharacterLength::IntegerLength { length, unit: None }) => Ok(Some(format!("({length})"))),
        Some(_) => Err(refuse(&format!("the type {kind}"), Span::empty())),
    };
    let exact = |info: &ExactNumberInfo| match info {
        ExactNumberInfo::None => None,
        ExactNumberInfo::Precision(precision) => Some(format!("({precision})")),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => Some(format!("({precision}, {scale})")),
    };
    let precision = |precision: &Option<u64>| precision.map(|precision| format!("({precision})"));
    let (name, modifier): (String, Option<String>) = match kind {
        DataType::Character(size) | DataType::Char(size) => ("char".into(), length(size)?),
        DataType::CharacterVarying(size) | DataType::CharVarying(size) | DataType::Varchar(size) => {
            ("varchar".into(), length(size)?)
        }
        DataType::Uuid => ("uuid".into(), None),
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => ("numeric".into(), exact(info)),
        DataType::Float(ExactNumberInfo::None)
        | DataType::Float8
        | DataType::DoublePrecision
        | DataType::Double(ExactNumberInfo::None) => ("float8".into(), None),
        DataType::SmallInt(None) | DataType::Int2(None) => ("int2".into(), None),
        DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => ("int4".into(), None),
        DataType::BigInt(None) | DataType::Int8(None) => ("int8".into(), None),
        DataType::Real | DataType::Float4 => ("float4".into(), None),
        DataType::Bool | DataType::Boolean => ("bool".into(), None),
        DataType::Date => ("date".into(), None),
        DataType::Time(size, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => ("time".into(), precision(size)),
        DataType::Time(size, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => ("timetz".into(), precision(size)),
        DataType::Timestamp(size, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            ("timestamp".into(), precision(size))
        }
        DataType::Timestamp(size, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            ("timestamptz".into(), precision(size))
        }
        DataType::Interval { fields: None, precision: size } => ("interval".into(), precision(size)),
        DataType::JSON => ("json".into(), None),
        DataType::JSONB => ("jsonb".into(), None),
        DataType::Text => ("text".into(), None),
        DataType::Bytea => ("bytea".into(), None),
        DataType::TsVector => ("tsvector".into(), None),
        DataType::TsQuery => ("tsquery".into(), None),
        DataType::Custom(name, modifiers) if modifiers.is_empty() => match name.0.as_slice() {
            [ObjectNamePart::Identifier(ident)] if ident.quote_style.is_none() => {
                (ident.value.to_ascii_lowercase(), None)
            }
            _ => return Err(refuse(&format!("the type {kind}"), Span::empty())),
        },
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, None)) => {
            return Ok(format!("{}[]", data_type(element)?));
        }
        _ => return Err(refuse(&format!("the type {kind}"), Span::empty())),
    };
    let Some(name) = names::kind(&name) else {
        return Err(refuse(&format!("the type {kind}"), Span::empty()));
    };
    Ok(format!("{name}{}", modifier.unwrap_or_default()))
}
