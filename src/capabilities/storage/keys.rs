//! What a key may be, and the range of keys that a prefix stands for.

use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};

pub fn check(key: &str, limits: &Limits) -> Result<(), Failure> {
    if key.is_empty() {
        return Err(Failure::argument("storage: a key must not be empty"));
    }
    check_part(key, limits)
}

/// For prefixes and positions, which may be anything a key starts with.
pub fn check_part(text: &str, limits: &Limits) -> Result<(), Failure> {
    // PostgreSQL has no NUL in text; a key must not depend on the database.
    if text.contains('\0') {
        return Err(Failure::argument("storage: a key must not contain the character U+0000"));
    }
    limits.check(Limit::StorageKeyBytes, text.len() as u64)
}

/// The first text, in byte order, that is after all that start with `prefix`.
/// None where there is none. A range rather than LIKE: no character of a prefix
/// is a wildcard, and the index is used.
pub fn end(prefix: &str) -> Option<String> {
    let mut end: Vec<char> = prefix.chars().collect();
    while let Some(last) = end.pop() {
        // UTF-8 sorts as its code points do, so the next one is the next in bytes.
        let next = match last {
            char::MAX => continue,
            '\u{d7ff}' => '\u{e000}',
            last => char::from_u32(last as u32 + 1)?,
        };
        end.push(next);
        return Some(end.into_iter().collect());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_after_all_that_start_with_it() {
        assert_eq!(end("user:").as_deref(), Some("user;"));
        assert_eq!(end("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(end("a\u{10ffff}\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(end(""), None);
        assert_eq!(end("\u{10ffff}"), None);
    }

    #[test]
    fn keys_are_neither_empty_nor_longer_than_the_limit() {
        let limits = Limits { storage_key_bytes: 4, ..Limits::default() };
        assert!(check("a%_*", &limits).is_ok());
        assert!(check("", &limits).unwrap_err().message.contains("empty"));
        assert!(check("a\0", &limits).unwrap_err().message.contains("U+0000"));
        assert!(check_part("\0", &limits).unwrap_err().message.contains("U+0000"));
        assert!(check_part("", &limits).is_ok());
        // Four characters, five bytes.
        let hit = check("añbc", &limits).unwrap_err().limit.unwrap();
        assert_eq!((hit.name.as_str(), hit.value, hit.used), ("storage_key_bytes", 4, 5));
    }
}
