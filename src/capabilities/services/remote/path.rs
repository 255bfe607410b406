//! The paths of a backend's methods: `/orders/{id}/items`.

use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;

use crate::runtime::failure::Failure;

/// What RFC 3986 leaves as it is.
pub(super) const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A path below a backend's address. `{name}` stands for a whole segment that a
/// script's argument fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Text(String),
    Parameter(String),
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Path, String> {
        let rest = text.strip_prefix('/').ok_or_else(|| format!("`{text}` does not begin with `/`"))?;
        let segments = rest.split('/').map(|segment| {
            if let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                let sound = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                return sound.then(|| Segment::Parameter(name.to_owned()));
            }
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:@".contains(&byte);
            let sound = segment.bytes().all(plain) && !matches!(segment, "." | "..");
            sound.then(|| Segment::Text(segment.to_owned()))
        });
        let segments: Option<Vec<Segment>> = segments.collect();
        segments.map(Path).ok_or_else(|| {
            format!("`{text}` is not a path; write it as `/orders/{{id}}`, where a `{{name}}` is a whole segment")
        })
    }
}

impl Path {
    /// The names of the parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|segment| match segment {
            Segment::Parameter(name) => Some(name.as_str()),
            Segment::Text(_) => None,
        })
    }

    /// The path with arguments in place of its parameters. `what` is the method
    /// as scripts know it.
    pub fn fill(&self, what: &str, arguments: &mut impl Iterator<Item = Json>) -> Result<String, Failure> {
        let mut path = String::new();
        for segment in &self.0 {
            path.push('/');
            match segment {
                Segment::Text(text) => path.push_str(text),
                Segment::Parameter(name) => {
                    let value = value(what, name, arguments.next().unwrap_or(Json::Null))?;
                    path.extend(utf8_percent_encode(&value, ESCAPED));
                }
            }
        }
        Ok(path)
    }
}

fn value(what: &str, name: &str, argument: Json) -> Result<String, Failure> {
    let given = match argument {
        // These two would lead out of the path, and nothing elsewhere.
        Json::String(text) if matches!(text.as_str(), "" | "." | "..") => format!("{text:?}"),
        Json::String(text) => return Ok(text),
        Json::Number(number) => return Ok(number.to_string()),
        Json::Null => "null or undefined".to_owned(),
        Json::Bool(_) => "a boolean".to_owned(),
        Json::Array(_) => "an array".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    };
    Err(Failure::argument(format!("{what} needs the {name}, a text or a number, and was given {given}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_filled_and_cannot_leave_their_segment() {
        let path: Path = "/orders/{id}/items/{item}".parse().unwrap();
        assert_eq!(path.parameters().collect::<Vec<_>>(), ["id", "item"]);
        for (arguments, expected) in [
            (json!([7, "a"]), "/orders/7/items/a"),
            (json!([-1.5, "~a-b_c.d"]), "/orders/-1.5/items/~a-b_c.d"),
            (json!(["../..", "/etc/passwd"]), "/orders/..%2F../items/%2Fetc%2Fpasswd"),
            (json!(["%2e%2e", "a?b#c"]), "/orders/%252e%252e/items/a%3Fb%23c"),
            (json!(["\\..\\", "a\r\nHost: evil"]), "/orders/%5C..%5C/items/a%0D%0AHost%3A%20evil"),
            (json!(["grüße", "{item}"]), "/orders/gr%C3%BC%C3%9Fe/items/%7Bitem%7D"),
            (json!(["...", " "]), "/orders/.../items/%20"),
        ] {
            let filled = path.fill("services.shop.item", &mut arguments.as_array().unwrap().clone().into_iter());
            assert_eq!(filled.unwrap(), expected);
            let mut url = url::Url::parse("http://x/base").unwrap();
            url.set_path(&format!("/base{expected}"));
            assert_eq!(url.path(), format!("/base{expected}"), "and a URL has it as it is");
        }
        for (arguments, given) in [
            (json!([]), "the id, a text or a number, and was given null"),
            (json!([1]), "the item, a text or a number, and was given null"),
            (json!([".."]), "the id, a text or a number, and was given \"..\""),
            (json!(["."]), "\".\""),
            (json!([""]), "\"\""),
            (json!([true]), "a boolean"),
            (json!([[1]]), "an array"),
            (json!([{ "a": 1 }]), "an object"),
        ] {
            let filled = path.fill("services.shop.item", &mut arguments.as_array().unwrap().clone().into_iter());
            let failure = filled.unwrap_err();
            assert!(failure.name == "TypeError" && failure.message.contains(given), "{arguments}: {failure:?}");
        }
    }

    #[test]
    fn paths_are_plain() {
        for sound in ["/", "/a", "/a/", "/a/{b}", "/{a}/{b_1}/c.json", "/v1/orders:search"] {
            assert!(sound.parse::<Path>().is_ok(), "{sound}");
        }
        for wrong in [
            "", "a", "/a?b", "/a#b", "/..", "/a/../b", "/a/.", "/%2e%2e", "/{a", "/a{b}", "/{}", "/{a b}", "/ü", "/a b",
        ] {
            assert!(wrong.parse::<Path>().is_err(), "{wrong}");
        }
    }
}
