//! Whether JavaScript reads JSON without loss.

use super::error::database;
use crate::runtime::failure::Failure;

/// Err where reading the JSON in a column would lose digits.
pub fn check(column: &str, json: &str) -> Result<(), Failure> {
    match inexact(json) {
        None => Ok(()),
        Some(number) => Err(database(format!(
            "the JSON in the column {column} holds {}, which no number of JavaScript is; write CAST({column} AS text)",
            number.chars().take(40).collect::<String>(),
        ))),
    }
}

/// The first number of a JSON text that a JavaScript number does not hold
/// exactly: one that would come out as another number when it is written again.
fn inexact(json: &str) -> Option<&str> {
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while let Some(&byte) = bytes.get(at) {
                    at += match byte {
                        b'\\' => 2,
                        b'"' => break,
                        _ => 1,
                    };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..]
                    .iter()
                    .take_while(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
                    .count();
                let number = json.get(at..at + length)?;
                if !holds(number) {
                    return Some(number);
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    None
}

fn holds(number: &str) -> bool {
    // Nearly all are short, and any 15 digits are held.
    if number.len() <= 15 && !number.contains(['e', 'E']) {
        return true;
    }
    let Ok(value) = number.parse::<f64>() else { return false };
    value.is_finite() && digits(number) == digits(&format!("{value:e}"))
}

/// A number's digits and the power of ten of the first, whatever way it is written.
fn digits(number: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (number, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let leading = all.bytes().take_while(|&byte| byte == b'0').count();
    let kept = all[leading..].trim_end_matches('0').to_owned();
    if kept.is_empty() {
        return Some((false, kept, 0));
    }
    Some((negative, kept, exponent + whole.len() as i64 - leading as i64))
}

#[cfg(test)]
mod tests {
    use super::inexact;

    #[test]
    fn numbers_that_javascript_rounds_are_found() {
        for exact in [
            "0",
            "-1.5e3",
            "0.1",
            "9007199254740991",
            "9007199254740992",
            "1e300",
            "[1, \"9007199254740993\", \"\\\"1\"]",
            "1.7976931348623157e308",
            "100000000000000000000",
            "0.30000000000000004",
            "-0.0",
            "12345678901234567000",
        ] {
            assert_eq!(inexact(exact), None, "{exact}");
        }
        for (json, number) in [
            ("9007199254740993", "9007199254740993"),
            ("{\"a\": [1, -9223372036854775807]}", "-9223372036854775807"),
            ("0.1234567890123456789", "0.1234567890123456789"),
            ("1e400", "1e400"),
            ("\"\\\\\" 9007199254740993", "9007199254740993"),
        ] {
            assert_eq!(inexact(json), Some(number), "{json}");
        }
    }
}
