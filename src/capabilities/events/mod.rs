//! What scripts tell the application and each other: see `crate::triggers::events`.

mod host;

use std::fmt;
use std::str::FromStr;

use crate::capabilities::grant::{Allowed, Entry};
use crate::tenant::permission;

/// Characters of an event's name.
pub const NAME: usize = 200;

/// The events that a script may publish.
pub type Grant = Allowed<Pattern>;

/// Events by name, with `*` for a segment, as in `order.*`, or for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    pub fn allows(&self, name: &str) -> bool {
        permission::covers(&self.0, name)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Pattern, String> {
        let sound = |segment: &str| segment == "*" || is_plain(segment);
        if text.len() <= NAME && !text.is_empty() && text.split('.').all(sound) {
            Ok(Pattern(text.to_owned()))
        } else {
            Err(format!("`{text}` names no events; write `order.created`, `order.*` or `*`"))
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Entry for Pattern {
    const LIST: &'static str = "events";

    fn covers(&self, other: &Pattern) -> bool {
        self.allows(&other.0)
    }

    fn meet(&self, other: &Pattern) -> Option<Pattern> {
        permission::meet(&self.0, &other.0).map(Pattern)
    }
}

/// Whether this can be an event's name.
pub fn is_name(text: &str) -> bool {
    (1..=NAME).contains(&text.len()) && is_plain(text)
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte))
}
