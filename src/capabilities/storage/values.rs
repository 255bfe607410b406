//! Values are JSON texts; what they mean is what JavaScript takes them for.

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};

/// Err where the text is too long or not JSON.
pub fn check(text: &str, limits: &Limits) -> Result<(), Failure> {
    limits.check(Limit::StorageValueBytes, text.len() as u64)?;
    serde_json::from_str::<IgnoredAny>(text)
        .map(|_| ())
        .map_err(|reason| Failure::argument(format!("storage: the value is not JSON: {reason}")))
}

/// Reads a number that is to be added to.
pub fn number(text: &str) -> Result<f64, Failure> {
    text.parse::<serde_json::Number>().ok().and_then(|number| number.as_f64()).ok_or_else(|| {
        let start: String = text.chars().take(40).collect();
        Failure::argument(format!(
            "storage.increment: the stored value is not a number but {start}; set a number first or use another key"
        ))
    })
}

/// Writes a number as JSON.stringify does, where it is a safe integer, and
/// else so that reading it gives the same number.
pub fn text(number: f64) -> Result<String, Failure> {
    const SAFE: f64 = 9_007_199_254_740_992.0;
    if !number.is_finite() {
        return Err(Failure::new(
            "RangeError",
            "storage.increment: the sum is beyond the largest number; the stored value stays as it was",
        ));
    }
    if number.fract() == 0.0 && number.abs() <= SAFE {
        return Ok((number as i64).to_string());
    }
    serde_json::to_string(&number).map_err(|reason| Failure::internal("writing a number", reason))
}

/// Whether two JSON texts are of the same value.
pub fn same(a: &str, b: &str) -> Result<bool, Failure> {
    if a == b {
        return Ok(true);
    }
    Ok(equal(&parse(a)?, &parse(b)?))
}

fn parse(text: &str) -> Result<Value, Failure> {
    // What is stored is JSON, so it can only be too deep.
    serde_json::from_str(text).map_err(|_| {
        Failure::argument(
            "storage.compareAndSet: values nested deeper than 127 levels are not compared; compare a version number instead",
        )
    })
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        // Every number of JavaScript's JSON is a double, however it is spelt.
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_as_javascript_sees_them() {
        for (a, b) in [
            (r#"{"a":1,"b":[true,null]}"#, r#"{ "b": [true, null], "a": 1 }"#),
            ("1", "1.0"),
            ("1000000000000000000000", "1e21"),
            (r#""é""#, r#""\u00e9""#),
        ] {
            assert!(same(a, b).unwrap(), "{a} {b}");
        }
        for (a, b) in [("[1,2]", "[2,1]"), ("1", "\"1\""), ("null", "false"), (r#"{"a":1}"#, r#"{"a":1,"b":null}"#)] {
            assert!(!same(a, b).unwrap(), "{a} {b}");
        }
    }

    #[test]
    fn nesting_costs_an_error_and_not_the_host() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(same(&deep(100), "1").is_ok());
        assert!(same(&deep(100_000), "1").unwrap_err().message.contains("nested"));
        assert!(check(&deep(100_000), &Limits::default()).is_ok());
    }

    #[test]
    fn numbers_are_written_as_they_were_read() {
        for spelt in ["0", "-3", "9007199254740991", "0.1", "1e+300"] {
            assert_eq!(text(number(spelt).unwrap()).unwrap(), spelt);
        }
        assert_eq!(text(-0.0).unwrap(), "0");
        assert!(text(f64::INFINITY).is_err());
        for other in ["\"1\"", "null", "[]", "{\"n\":1}", ""] {
            assert_eq!(number(other).unwrap_err().name, "TypeError", "{other}");
        }
    }
}
