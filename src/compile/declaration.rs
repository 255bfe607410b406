//! What a script declares that it uses, in the comments before its code:
//!
//! ```js
//! /**
//!  * @airlock tables: clients (read), orders
//!  * @airlock http: api.example.com
//!  */
//! ```
//!
//! The lists and their entries are those of [`grant`](crate::capabilities::grant).

use oxc::ast::ast::Program;
use oxc::span::GetSpan;

use crate::capabilities::grant::{self, Lists};

const TAG: &str = "@airlock";

/// What is wrong with a declaration, and where: bytes of the text.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    pub offset: usize,
    pub length: usize,
    pub message: String,
    pub help: Option<&'static str>,
}

/// The declared lists. None where there is no declaration.
pub fn read(text: &str, program: &Program<'_>) -> Result<Option<Lists>, Mistake> {
    let code = program.body.first().map_or(text.len(), |statement| statement.span().start as usize);
    let mut lists = None;
    for comment in &program.comments {
        let span = comment.content_span();
        let content = text.get(span.start as usize..span.end as usize).unwrap_or_default();
        let mut start = span.start as usize;
        for line in content.split_inclusive('\n') {
            let said = line.trim_start_matches([' ', '\t', '*']);
            let offset = start + line.len() - said.len();
            start += line.len();
            let Some(rest) = said.trim_end().strip_prefix(TAG).filter(|rest| !rest.starts_with(char::is_alphanumeric))
            else {
                continue;
            };
            if offset > code {
                return Err(Mistake {
                    offset,
                    length: TAG.len(),
                    message: "this declaration stands behind code".into(),
                    help: Some("move it into a comment at the top of the script"),
                });
            }
            add(lists.get_or_insert_default(), rest, offset + TAG.len())?;
        }
    }
    Ok(lists)
}

/// Reads what follows the tag.
fn add(lists: &mut Lists, rest: &str, offset: usize) -> Result<(), Mistake> {
    let mistake = |part: &str, message: String, help| {
        // The part is a piece of the rest, so its place is known.
        let at = part.as_ptr() as usize - rest.as_ptr() as usize;
        Mistake { offset: offset + at, length: part.len().max(1), message, help }
    };
    const FORM: Option<&str> = Some("write it as `@airlock tables: clients (read), orders`");
    let Some((name, entries)) = rest.split_once(':') else {
        return Err(mistake(rest.trim(), "this declaration names no list".into(), FORM));
    };
    let name = name.trim();
    if !grant::LISTS.contains(&name) {
        let message = format!("`{}` is not a list of what a script can use", grant::shown(name));
        return Err(mistake(name, message, Some("there are: capabilities, events, http, secrets, services, tables")));
    }
    let list = lists.entry(name.to_owned()).or_default();
    for entry in entries.split(',') {
        let part = entry.trim();
        if part.is_empty() {
            return Err(mistake(part, "an entry is missing here".into(), FORM));
        }
        if list.len() >= grant::ENTRIES {
            let message = format!("a script declares at most {} entries of one list", grant::ENTRIES);
            return Err(mistake(part, message, None));
        }
        list.push(grant::read(name, part).map_err(|reason| mistake(part, reason, None))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use oxc::allocator::Allocator;
    use oxc::parser::Parser;
    use oxc::span::SourceType;

    use super::*;

    fn declared(text: &str) -> Result<Option<Lists>, Mistake> {
        let allocator = Allocator::default();
        let parsed = Parser::new(&allocator, text, SourceType::mjs()).parse();
        assert!(parsed.diagnostics.is_empty(), "{text}");
        read(text, &parsed.program)
    }

    /// As `list: entry, entry; list: …`.
    fn shown(text: &str) -> Option<String> {
        let lists = declared(text).unwrap_or_else(|mistake| panic!("{text}: {mistake:?}"))?;
        Some(lists.iter().map(|(name, list)| format!("{name}: {}", list.join(", "))).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn the_comments_before_the_code_declare() {
        for (text, expected) in [
            ("function main() {}", None),
            ("/* about tables: none */ function main() {}", None),
            ("// see the docs of @airlock tables: x\nfunction main() {}", None),
            (
                "/** @airlock tables: clients(read) , orders */\nfunction main() {}",
                Some("tables: clients (read), orders"),
            ),
            (
                "#!/usr/bin/env airlock\n'use strict';\n// @airlock tables: a\n//   @airlock  tables : b\nlet x",
                Some("tables: a, b"),
            ),
            (
                "/**\r\n * Reports.\r\n *\r\n * @airlock http: https://api.example.com\r\n\t* @airlock events: order.*\r\n */\r\nexport default () => 1",
                Some("events: order.*; http: api.example.com"),
            ),
            ("const text = `\n@airlock tables: a\n`", None),
            ("let x; // @airlocked tables: a", None),
        ] {
            assert_eq!(shown(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_mistake_has_its_place() {
        for (text, marked, message) in [
            ("/* @airlock */ let x", "", "names no list"),
            ("/* @airlock tables */ let x", "tables", "names no list"),
            ("// @airlock tabels: a\nlet x", "tabels", "`tabels` is not a list"),
            ("// @airlock tables: a, b (all), c\nlet x", "b (all)", "followed by nothing, `(read)` or `(write)`"),
            ("// @airlock tables: a,, b\nlet x", "", "an entry is missing"),
            ("// @airlock tables:\nlet x", "", "an entry is missing"),
            ("// @airlock http: https://é.example/p\nlet x", "https://é.example/p", "has a path"),
            ("// @airlock capabilities: http\nlet x", "http", "has a list of its own"),
            ("let x\n/* @airlock tables: a */", "@airlock", "behind code"),
        ] {
            let mistake = declared(text).expect_err(text);
            assert!(mistake.message.contains(message), "{text}: {mistake:?}");
            let end = (mistake.offset + mistake.length).min(text.len());
            if !marked.is_empty() {
                assert_eq!(&text[mistake.offset..end], marked, "{text}");
            }
        }
        let many = format!("// @airlock tables: {}\nlet x", vec!["a"; grant::ENTRIES + 1].join(","));
        assert!(declared(&many).unwrap_err().message.contains("at most"));
    }
}
