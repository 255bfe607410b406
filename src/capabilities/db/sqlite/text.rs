//! The text of a statement that a script wrote, looked at before SQLite is.
//!
//! The authorizer and SQLite's limits are the wall. This stands before it for
//! clear errors and for what SQLite does not bound: how many statements a text
//! holds, how deep its parentheses nest, how many SELECTs it has, and how large
//! its WITH clauses grow. SQLite's own code recurses on these, or copies for
//! each, before it first looks at the clock.

use crate::capabilities::db::error::fixed;
use crate::capabilities::db::statement::Verb;
use crate::runtime::failure::Failure;

/// Parentheses within parentheses.
const DEPTH: usize = 100;
/// SELECTs and VALUES of one statement, whether side by side or one in the other.
const SELECTS: usize = 100;
/// Common tables of one statement, each counted as often as SQLite copies it.
const COPIES: u64 = 500;

/// Statements that SQLite has and scripts have not.
const REFUSED: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "ATTACH",
    "BEGIN",
    "COMMIT",
    "CREATE",
    "DETACH",
    "DROP",
    "END",
    "EXPLAIN",
    "PRAGMA",
    "REINDEX",
    "RELEASE",
    "ROLLBACK",
    "SAVEPOINT",
    "VACUUM",
];

/// One statement.
#[derive(Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// Without what surrounds it: white space, a closing semicolon, and all after it.
    pub sql: &'a str,
    /// Where `sql` starts in the script's text, in bytes.
    pub offset: usize,
    pub verb: Verb,
}

/// Reads a text that must hold exactly one statement.
pub fn read(whole: &str) -> Result<Text<'_>, Failure> {
    if whole.contains('\0') {
        return Err(Failure::argument("the SQL statement contains a NUL character"));
    }
    let offset = whole.len() - whole.trim_start().len();
    let sql = &whole[offset..];
    let mut end = None;
    let mut first: Option<&str> = None;
    let mut main: Option<Verb> = None;
    let mut depth = 0_usize;
    let mut selects = 0;
    let mut tokens = Vec::new();
    for token in Tokens::new(sql) {
        let (at, token) = token?;
        if token == ";" {
            end.get_or_insert(at);
            continue;
        }
        if end.is_some_and(|_| first.is_some()) {
            return Err(Failure::argument(
                "the text holds more than one SQL statement; run them one by one, or together in db.transaction",
            ));
        }
        // A semicolon before the statement ends nothing.
        end = None;
        match token {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH {
            return Err(fixed(format!("the SQL statement nests more than {DEPTH} parentheses")));
        }
        if token.eq_ignore_ascii_case("SELECT") || token.eq_ignore_ascii_case("VALUES") {
            selects += 1;
            if selects > SELECTS {
                return Err(fixed(format!("the SQL statement has more than {SELECTS} SELECTs")));
            }
        }
        tokens.push(token);
        let beginning = *first.get_or_insert(token);
        let with = beginning.eq_ignore_ascii_case("WITH");
        if main.is_none() && depth == 0 && (with || std::ptr::eq(beginning, token)) {
            main = verb(token);
        }
    }
    let Some(first) = first else {
        return Err(Failure::argument("the SQL statement is empty"));
    };
    if let Some(word) = REFUSED.iter().find(|word| word.eq_ignore_ascii_case(first)) {
        let hint = match *word {
            "BEGIN" | "COMMIT" | "END" | "RELEASE" | "ROLLBACK" | "SAVEPOINT" => "; use db.transaction",
            _ => "; SELECT, INSERT, UPDATE and DELETE are",
        };
        return Err(Failure::denied(format!("{word} is not available to scripts{hint}")));
    }
    if copies(&tokens) > COPIES {
        return Err(fixed(format!(
            "the common tables (WITH) of the SQL statement build on each other more than {COPIES} times"
        )));
    }
    let sql = sql[..end.unwrap_or(sql.len())].trim_end();
    Ok(Text { sql, offset, verb: main.unwrap_or(Verb::Select) })
}

fn verb(word: &str) -> Option<Verb> {
    let verbs = [
        ("SELECT", Verb::Select),
        ("VALUES", Verb::Select),
        ("INSERT", Verb::Insert),
        ("REPLACE", Verb::Insert),
        ("UPDATE", Verb::Update),
        ("DELETE", Verb::Delete),
    ];
    verbs.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, verb)| verb)
}

/// How many copies of common tables SQLite makes at most: one for every mention
/// in FROM, of it and of what it mentions in turn. Forty tables that each
/// mention the one before twice are a million million. Takes every name for
/// visible everywhere, so it may count too many, never too few.
fn copies(tokens: &[&str]) -> u64 {
    let word = |at: usize| tokens.get(at).copied().unwrap_or("");
    let is = |at: usize, expected: &str| word(at).eq_ignore_ascii_case(expected);
    let name = |at: usize| word(at).trim_matches(['"', '`', '[', ']', '\'']).to_lowercase();

    // `name AS (…)`, `name (columns) AS MATERIALIZED (…)`
    let mut tables: Vec<(String, std::ops::Range<usize>)> = Vec::new();
    let mut named = Vec::new();
    let mut open = Vec::new();
    let mut closes = vec![tokens.len(); tokens.len()];
    let mut opens = vec![0; tokens.len()];
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "(" => open.push(at),
            ")" => {
                if let Some(start) = open.pop() {
                    (closes[start], opens[at]) = (at, start);
                }
            }
            _ => {}
        }
    }
    for at in 1..tokens.len() {
        if !is(at, "AS") {
            continue;
        }
        let mut body = at + 1;
        while is(body, "NOT") || is(body, "MATERIALIZED") {
            body += 1;
        }
        if word(body) == "(" {
            let before = if word(at - 1) == ")" { opens[at - 1].saturating_sub(1) } else { at - 1 };
            named.push(before);
            tables.push((name(before), body..closes[body]));
        }
    }
    if tables.is_empty() {
        return 0;
    }
    if tables.len() > SELECTS {
        return u64::MAX;
    }

    /// What the mentions within a range weigh.
    fn weigh(
        range: std::ops::Range<usize>,
        mentions: &[(usize, Vec<usize>)],
        tables: &[(String, std::ops::Range<usize>)],
        known: &mut [Option<u64>],
    ) -> u64 {
        let mut sum = 0_u64;
        for (_, named) in mentions.iter().filter(|(at, _)| range.contains(at)) {
            for &table in named {
                let weight = match known[table] {
                    Some(weight) => weight,
                    None => {
                        // A table that mentions itself recurses when it runs, not here.
                        known[table] = Some(1);
                        let weight = weigh(tables[table].1.clone(), mentions, tables, known).saturating_add(1);
                        known[table] = Some(weight);
                        weight
                    }
                };
                sum = sum.saturating_add(weight);
            }
        }
        sum
    }
    let mentions: Vec<(usize, Vec<usize>)> = (1..tokens.len())
        .filter(|at| !named.contains(at))
        .filter(|&at| ["FROM", "JOIN", ",", "(", "IN"].iter().any(|before| is(at - 1, before)) && word(at + 1) != ".")
        .map(|at| (at, name(at)))
        .map(|(at, name)| (at, (0..tables.len()).filter(|&table| tables[table].0 == name).collect::<Vec<_>>()))
        .filter(|(_, named)| !named.is_empty())
        .collect();
    // What a body mentions counts where the body itself is mentioned.
    let mut known = vec![None; tables.len()];
    let mut sum = 0_u64;
    for (at, _) in mentions.iter().filter(|(at, _)| !tables.iter().any(|(_, body)| body.contains(at))) {
        sum = sum.saturating_add(weigh(*at..at + 1, &mentions, &tables, &mut known));
    }
    sum
}

/// The tokens of a text with their places, without white space and comments.
/// Follows SQLite's tokenizer where it matters: strings, quoted names and
/// comments come whole.
struct Tokens<'a> {
    sql: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    fn new(sql: &'a str) -> Tokens<'a> {
        Tokens { sql, at: 0 }
    }

    /// The length of the run of bytes from `start` on that `within` accepts.
    fn run(&self, start: usize, within: impl Fn(u8) -> bool) -> usize {
        self.sql.as_bytes()[start..].iter().take_while(|&&byte| within(byte)).count()
    }

    /// The end of a quoted token that starts here; a doubled quote stands for itself.
    fn quoted(&self, close: u8) -> usize {
        let bytes = self.sql.as_bytes();
        let mut at = self.at + 1;
        while at < bytes.len() {
            if bytes[at] != close {
                at += 1;
            } else if close != b']' && bytes.get(at + 1) == Some(&close) {
                at += 2;
            } else {
                return at + 1;
            }
        }
        bytes.len()
    }

    /// A parameter that is not `?`. SQLite would take names, and Tcl's `$a::b(c)`.
    fn parameter(&self) -> Result<usize, Failure> {
        let digits = self.run(self.at + 1, |byte| byte.is_ascii_digit());
        let end = self.at + 1 + digits;
        let rest = &self.sql[end..];
        if self.sql.as_bytes()[self.at] == b'$' && digits > 0 {
            if rest.starts_with("::") {
                return Err(Failure::argument(format!(
                    "`{}::…` is PostgreSQL's cast; write CAST({} AS …)",
                    &self.sql[self.at..end],
                    &self.sql[self.at..end]
                )));
            }
            if !rest.starts_with('(') && !rest.bytes().next().is_some_and(identifier) {
                return Ok(end);
            }
        }
        let name = self.run(self.at + 1, identifier).min(40);
        let name = self.sql.get(self.at..self.at + 1 + name).unwrap_or(&self.sql[self.at..=self.at]);
        Err(Failure::argument(format!("`{name}` is not a parameter; parameters are `?`, or `$1`, `$2` and so on")))
    }
}

fn identifier(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

impl<'a> Iterator for Tokens<'a> {
    /// A token and where it starts, in bytes.
    type Item = Result<(usize, &'a str), Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.sql.as_bytes();
        loop {
            let start = self.at;
            let first = *bytes.get(start)?;
            let rest = &self.sql[start..];
            let end = match first {
                b' ' | b'\t' | b'\n' | 0x0c | b'\r' => {
                    self.at += 1;
                    continue;
                }
                b'-' if rest.starts_with("--") => {
                    self.at = rest.find('\n').map_or(bytes.len(), |line| start + line + 1);
                    continue;
                }
                b'/' if rest.starts_with("/*") => {
                    self.at = rest[2..].find("*/").map_or(bytes.len(), |close| start + close + 4);
                    continue;
                }
                b'\'' | b'"' | b'`' => self.quoted(first),
                b'[' => self.quoted(b']'),
                b'$' | b'@' | b':' | b'#' => match self.parameter() {
                    Ok(end) => end,
                    Err(failure) => {
                        self.at = bytes.len();
                        return Some(Err(failure));
                    }
                },
                b'?' => start + 1 + self.run(start + 1, |byte| byte.is_ascii_digit()),
                _ if identifier(first) => start + self.run(start, identifier),
                _ => start + 1,
            };
            self.at = end;
            return Some(Ok((start, &self.sql[start..end])));
        }
    }
}
