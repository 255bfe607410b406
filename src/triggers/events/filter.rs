//! Which events a script wants, by what they say.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Characters of a field's path.
const FIELD: usize = 200;
/// Bytes of a value, as JSON.
const VALUE: usize = 4096;

/// Something that an event's data must say. A field that is not there is null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// A member of the data, such as `total` or `customer.country`.
    #[schema(max_length = 200, pattern = r"^[^.\u0000-\u001F\u007F-\u009F]+(\.[^.\u0000-\u001F\u007F-\u009F]+)*$")]
    pub field: String,
    /// `eq` where nothing is said.
    #[serde(default)]
    pub operator: Operator,
    /// What the field is compared with: text, a number, true, false or null. A list of these for
    /// `in` and `not_in`.
    #[serde(default)]
    pub value: Value,
}

/// As services have them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    #[default]
    Eq,
    Ne,
    Lt,
    Lte,
    Gt,
    Gte,
    In,
    NotIn,
    /// A text has this within it, a list has this element.
    Contains,
    StartsWith,
    /// With true, or nothing: the field is null. With false: it is not.
    IsNull,
}

impl Filter {
    /// Says what is wrong, and with which member.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if !is_path(&self.field) {
            let message = "Name a member of the event's data, such as `total` or `customer.country`.";
            return Err(("field", message.to_owned()));
        }
        let sound = match (self.operator, &self.value) {
            (Operator::Eq | Operator::Ne, value) => is_plain(value),
            (Operator::Lt | Operator::Lte | Operator::Gt | Operator::Gte, value) => {
                value.is_number() || value.is_string()
            }
            (Operator::In | Operator::NotIn, value) => {
                value.as_array().is_some_and(|several| several.iter().all(is_plain))
            }
            (Operator::Contains, value) => is_plain(value) && !value.is_null(),
            (Operator::StartsWith, value) => value.is_string(),
            (Operator::IsNull, value) => value.is_boolean() || value.is_null(),
        };
        if !sound {
            let takes = match self.operator {
                Operator::Lt | Operator::Lte | Operator::Gt | Operator::Gte => "a number or a text",
                Operator::In | Operator::NotIn => "a list of texts and numbers",
                Operator::StartsWith => "a text",
                Operator::IsNull => "true or false",
                _ => "a text, a number, true or false",
            };
            return Err(("value", format!("This operator takes {takes}.")));
        }
        if self.value.to_string().len() > VALUE {
            return Err(("value", format!("A value has at most {VALUE} bytes.")));
        }
        Ok(())
    }

    /// Whether the data says so.
    pub fn holds(&self, data: &Value) -> bool {
        let found = member(data, &self.field);
        let any =
            |several: &Value| several.as_array().is_some_and(|several| several.iter().any(|one| same(found, one)));
        let ordered = |wanted: fn(Ordering) -> bool| compare(found, &self.value).is_some_and(wanted);
        match self.operator {
            Operator::Eq => same(found, &self.value),
            Operator::Ne => !same(found, &self.value),
            Operator::Lt => ordered(Ordering::is_lt),
            Operator::Lte => ordered(Ordering::is_le),
            Operator::Gt => ordered(Ordering::is_gt),
            Operator::Gte => ordered(Ordering::is_ge),
            Operator::In => any(&self.value),
            Operator::NotIn => !any(&self.value),
            Operator::Contains => match found {
                Value::String(text) => self.value.as_str().is_some_and(|part| text.contains(part)),
                Value::Array(elements) => elements.iter().any(|element| same(element, &self.value)),
                _ => false,
            },
            Operator::StartsWith => {
                found.as_str().zip(self.value.as_str()).is_some_and(|(text, start)| text.starts_with(start))
            }
            Operator::IsNull => found.is_null() == self.value.as_bool().unwrap_or(true),
        }
    }
}

/// Whether this names a member of an event's data.
pub fn is_path(path: &str) -> bool {
    let sound = |name: &str| !name.is_empty() && !name.chars().any(char::is_control);
    path.chars().count() <= FIELD && path.split('.').all(sound)
}

/// A member of objects in each other, `a.b`. Null where there is none.
pub fn member<'a>(data: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(data, |within, name| within.get(name).unwrap_or(&Value::Null))
}

fn is_plain(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

/// `1` and `1.0` are the same number.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => compare(one, other) == Some(Ordering::Equal),
        _ => one == other,
    }
}

/// Numbers by their size, texts by their bytes. None: they cannot be compared.
fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => match (one.as_i64(), other.as_i64()) {
            (Some(one), Some(other)) => Some(one.cmp(&other)),
            _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
        },
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filter(filter: Value) -> Filter {
        serde_json::from_value(filter).unwrap()
    }

    #[test]
    fn each_operator_holds_and_fails() {
        let data = json!({
            "total": 100, "rate": 0.5, "big": 9007199254740993_i64, "state": "paid", "tags": ["new", 7], "vip": true,
            "customer": { "country": "PT", "company": null }, "a.b": 1,
        });
        for (operator, field, value, holds) in [
            ("eq", "state", json!("paid"), true),
            ("eq", "state", json!("Paid"), false),
            ("eq", "total", json!(100.0), true),
            ("eq", "total", json!("100"), false),
            ("eq", "big", json!(9007199254740992_i64), false),
            ("eq", "vip", json!(true), true),
            ("eq", "missing", json!(null), true),
            ("eq", "customer.country", json!("PT"), true),
            ("eq", "customer.country.code", json!("PT"), false),
            ("eq", "a.b", json!(1), false),
            ("ne", "state", json!("open"), true),
            ("ne", "missing", json!("open"), true),
            ("ne", "state", json!("paid"), false),
            ("gt", "total", json!(99.5), true),
            ("gt", "total", json!(100), false),
            ("gte", "total", json!(100), true),
            ("lt", "rate", json!(1), true),
            ("lte", "rate", json!(0.4), false),
            ("lt", "state", json!("q"), true),
            ("gt", "state", json!(1), false),
            ("gt", "missing", json!(0), false),
            ("in", "state", json!(["open", "paid"]), true),
            ("in", "state", json!([]), false),
            ("not_in", "state", json!(["open"]), true),
            ("not_in", "total", json!([100]), false),
            ("contains", "state", json!("ai"), true),
            ("contains", "state", json!("x"), false),
            ("contains", "tags", json!("new"), true),
            ("contains", "tags", json!(7), true),
            ("contains", "tags", json!("ne"), false),
            ("contains", "total", json!("1"), false),
            ("starts_with", "state", json!("pa"), true),
            ("starts_with", "state", json!("ai"), false),
            ("is_null", "customer.company", json!(true), true),
            ("is_null", "missing", json!(null), true),
            ("is_null", "state", json!(true), false),
            ("is_null", "state", json!(false), true),
        ] {
            let one = filter(json!({ "field": field, "operator": operator, "value": value }));
            assert_eq!(one.check(), Ok(()), "{one:?}");
            assert_eq!(one.holds(&data), holds, "{one:?}");
            assert!(!one.holds(&json!("no object")) || matches!(operator, "eq" | "ne" | "not_in" | "is_null"));
        }
        assert!(filter(json!({ "field": "state", "value": "paid" })).holds(&data));
    }

    #[test]
    fn what_is_no_filter_is_told() {
        let long = "x".repeat(VALUE + 1);
        for (given, member) in [
            (json!({ "field": "" }), "field"),
            (json!({ "field": "a..b" }), "field"),
            (json!({ "field": "x".repeat(FIELD + 1) }), "field"),
            (json!({ "field": "a", "value": [1] }), "value"),
            (json!({ "field": "a", "value": {} }), "value"),
            (json!({ "field": "a", "value": long }), "value"),
            (json!({ "field": "a", "operator": "gt", "value": true }), "value"),
            (json!({ "field": "a", "operator": "gt" }), "value"),
            (json!({ "field": "a", "operator": "in", "value": "a" }), "value"),
            (json!({ "field": "a", "operator": "in", "value": [[1]] }), "value"),
            (json!({ "field": "a", "operator": "contains" }), "value"),
            (json!({ "field": "a", "operator": "starts_with", "value": 1 }), "value"),
            (json!({ "field": "a", "operator": "is_null", "value": 1 }), "value"),
        ] {
            assert_eq!(filter(given.clone()).check().map_err(|(member, _)| member), Err(member), "{given}");
        }
        let unknown = serde_json::from_value::<Filter>(json!({ "field": "a", "operator": "like", "value": "%" }));
        assert!(unknown.unwrap_err().to_string().contains("starts_with"));
    }
}
