//! Keeps secrets out of what people read: logs and errors.
//!
//! It is a help against mistakes. A script that means to show a secret can
//! spell it in a way that nobody looks for.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// Shorter ones would take half of every line with them.
const SHORTEST: usize = 4;
/// The same for what is left of one in base64.
const SHORTEST_BASE64: usize = 8;

/// The secrets that a call was given.
#[derive(Default)]
pub struct Redactor {
    known: Vec<Known>,
}

struct Known {
    name: String,
    /// How it may stand in a text, the longest first.
    forms: Vec<Zeroizing<String>>,
}

impl Redactor {
    /// From now on, the value does not show.
    pub fn add(&mut self, name: &str, value: &str) {
        self.known.retain(|known| known.name != name);
        if value.trim().len() < SHORTEST {
            return;
        }
        let mut forms: Vec<Zeroizing<String>> = forms(value).into_iter().map(Zeroizing::new).collect();
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        self.known.push(Known { name: name.to_owned(), forms });
        // Of two secrets of which one holds the other, the longer goes first.
        self.known.sort_by_key(|known| std::cmp::Reverse(known.forms.first().map_or(0, |form| form.len())));
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The longest text that may have to be seen as a whole, in bytes.
    pub fn longest(&self) -> usize {
        self.known.iter().filter_map(|known| known.forms.first()).map(|form| form.len()).max().unwrap_or(0)
    }

    /// The text with `[secret NAME]` in the place of each.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for known in &self.known {
            for form in &known.forms {
                if text.contains(form.as_str()) {
                    text = Cow::Owned(text.replace(form.as_str(), &format!("[secret {}]", known.name)));
                }
            }
        }
        text
    }

    /// The same for every text, name and number in a value.
    pub fn redact_fields(&self, fields: Map<String, Value>) -> Map<String, Value> {
        if self.is_empty() {
            return fields;
        }
        fields.into_iter().map(|(name, value)| (self.redact(&name).into_owned(), self.value(value))).collect()
    }

    fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.redact(&text).into_owned()),
            Value::Number(number) => match self.redact(&number.to_string()) {
                Cow::Owned(redacted) => Value::String(redacted),
                Cow::Borrowed(_) => Value::Number(number),
            },
            Value::Array(values) => Value::Array(values.into_iter().map(|value| self.value(value)).collect()),
            Value::Object(fields) => Value::Object(self.redact_fields(fields)),
            other => other,
        }
    }
}

/// The value itself, without white space around it, and as JSON, addresses and
/// headers spell it.
fn forms(value: &str) -> Vec<String> {
    let bare = value.trim();
    let mut forms = vec![value.to_owned(), bare.to_owned()];
    for text in [value, bare] {
        let json = Value::String(text.to_owned()).to_string();
        forms.push(json[1..json.len() - 1].to_owned());
        forms.push(utf8_percent_encode(text, NON_ALPHANUMERIC).to_string());
        // What JavaScript's encodeURIComponent leaves as it is.
        const UNRESERVED: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC
            .remove(b'-')
            .remove(b'_')
            .remove(b'.')
            .remove(b'!')
            .remove(b'~')
            .remove(b'*')
            .remove(b'\'')
            .remove(b'(')
            .remove(b')');
        forms.push(utf8_percent_encode(text, UNRESERVED).to_string());
        // Inside of a longer text, as `user:password`, it may begin at any of
        // three places of a group. The letters that its neighbours share with
        // it are left out.
        for before in 0..3 {
            let mut bytes = vec![0; before];
            bytes.extend_from_slice(text.as_bytes());
            let shared = [0, 2, 3][before];
            let end = bytes.len() * 8 / 6;
            for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
                if let Some(own) = encoded.get(shared..end).filter(|own| own.len() >= SHORTEST_BASE64) {
                    forms.push(own.to_owned());
                }
            }
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redactor(secrets: &[(&str, &str)]) -> Redactor {
        let mut redactor = Redactor::default();
        for (name, value) in secrets {
            redactor.add(name, value);
        }
        redactor
    }

    #[test]
    fn a_secret_shows_in_no_usual_form() {
        let value = "pässword \"7\"/+\n";
        let redactor = redactor(&[("KEY", value)]);
        let json = Value::String(value.to_owned()).to_string();
        for text in [
            value,
            value.trim(),
            &json,
            "p%C3%A4ssword%20%227%22%2F%2B",
            &utf8_percent_encode(value, NON_ALPHANUMERIC).to_string(),
        ] {
            let redacted = redactor.redact(text).into_owned();
            assert!(redacted.contains("[secret KEY]") && !redacted.contains("ssword"), "{text} became {redacted}");
        }
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "x", "xy"] {
                let text = format!("{before}{value}{after}");
                for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                    let redacted = redactor.redact(&encoded).into_owned();
                    assert!(redacted.contains("[secret KEY]"), "{text:?} became {redacted}");
                    assert!(redacted.len() <= "[secret KEY]".len() + 16, "{text:?} became {redacted}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        let redactor = redactor(&[("SHORT", "abc"), ("BLANK", "     "), ("KEY", "sesame")]);
        let text = "abc      open, Sesame! c2Vz";
        assert!(matches!(redactor.redact(text), Cow::Borrowed(same) if same == text));
        assert_eq!(redactor.redact("sesamesesame"), "[secret KEY][secret KEY]");
    }

    #[test]
    fn a_secret_within_another_does_not_leave_the_rest_of_it() {
        for secrets in [[("A", "sesame"), ("B", "open sesame now")], [("B", "open sesame now"), ("A", "sesame")]] {
            assert_eq!(redactor(&secrets).redact("> open sesame now, sesame"), "> [secret B], [secret A]");
        }
        let mut changed = redactor(&[("A", "first value")]);
        changed.add("A", "second");
        assert_eq!(changed.redact("second"), "[secret A]");
    }

    #[test]
    fn fields_are_searched_to_the_bottom() {
        let redactor = redactor(&[("PIN", "12345"), ("KEY", "se\"same")]);
        let fields = json!({ "a": ["se\"same", { "se\"same": 9123450 }], "n": 7, "b": true, "deep": [[[12345]]] });
        let Value::Object(fields) = fields else { panic!("an object") };
        assert_eq!(
            Value::Object(redactor.redact_fields(fields)),
            json!({ "a": ["[secret KEY]", { "[secret KEY]": "9[secret PIN]0" }], "n": 7, "b": true, "deep": [[["[secret PIN]"]]] })
        );
    }
}
