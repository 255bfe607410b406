//! What stands in an expression and is no expression: strings, numbers,
//! operators and types.

use sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, CharacterLength, DataType, DateTimeField, ExactNumberInfo, Ident, ObjectName,
    ObjectNamePart, TimezoneInfo,
};
use sqlparser::tokenizer::Span;

use super::{instead, names, refuse};
use crate::runtime::failure::Failure;

/// The longest name of a type, a collation or a field of a date.
const WORD_BYTES: usize = 40;

/// A string as PostgreSQL takes it letter by letter, `standard_conforming_strings` being on.
pub(super) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(super) fn last(name: &ObjectName) -> Result<&Ident, Failure> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Ok(ident),
        [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(ident)] if schema.value == "pg_catalog" => {
            Ok(ident)
        }
        _ => Err(refuse(&format!("the name {name}"), Span::empty())),
    }
}

pub(super) fn word(word: &str) -> Result<String, Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'@');
    if (1..=WORD_BYTES).contains(&word.len()) && word.bytes().all(plain) {
        Ok(word.to_owned())
    } else {
        Err(refuse(&format!("the name {}", word.chars().take(WORD_BYTES).collect::<String>()), Span::empty()))
    }
}

/// A number as PostgreSQL 15 takes it: no hexadecimal, no underscores.
pub(super) fn is_number(number: &str) -> bool {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.trim_start_matches(['+', '-'])),
        None => (number, "0"),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole) && digits(fraction) && digits(exponent) && !exponent.is_empty() && whole.len() + fraction.len() > 0
}

pub(super) fn field_of(field: &DateTimeField) -> Result<String, Failure> {
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

pub(super) fn binary(operator: &BinaryOperator) -> Result<&'static str, Failure> {
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
            return Err(instead(
                &format!("the operator {operator}"),
                "`?` is a parameter; write jsonb_exists() and its like",
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
