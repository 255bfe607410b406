//! The tokens of a script's text, before they are parsed.
//!
//! Here is counted what the parser and whoever walks its tree recurse on, and
//! `?` becomes `$1`, which PostgreSQL has instead.

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer, Word};

use super::{near, place};
use crate::capabilities::db::error::{database, fixed};
use crate::runtime::failure::Failure;

/// Parentheses and brackets within each other.
const NESTED: usize = 100;
/// SELECTs and VALUES of one statement.
const SELECTS: usize = 100;
/// Operators of one statement: a chain of them is a tree as deep as it is long.
const OPERATORS: usize = 1000;

/// Statements that PostgreSQL or SQLite has and scripts have not.
const REFUSED: &[&str] = &[
    "ABORT",
    "ALTER",
    "ANALYZE",
    "ATTACH",
    "BEGIN",
    "CALL",
    "CHECKPOINT",
    "CLOSE",
    "CLUSTER",
    "COMMENT",
    "COMMIT",
    "COPY",
    "CREATE",
    "DEALLOCATE",
    "DECLARE",
    "DETACH",
    "DISCARD",
    "DO",
    "DROP",
    "END",
    "EXECUTE",
    "EXPLAIN",
    "FETCH",
    "GRANT",
    "IMPORT",
    "LISTEN",
    "LOAD",
    "LOCK",
    "MERGE",
    "MOVE",
    "NOTIFY",
    "PRAGMA",
    "PREPARE",
    "REASSIGN",
    "REFRESH",
    "REINDEX",
    "RELEASE",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SECURITY",
    "SET",
    "SHOW",
    "START",
    "TABLE",
    "TRUNCATE",
    "UNLISTEN",
    "VACUUM",
];

const TRANSACTION: &[&str] = &["ABORT", "BEGIN", "COMMIT", "END", "RELEASE", "ROLLBACK", "SAVEPOINT", "START"];

const ALLOWED: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES"];

/// What the tokenizer or the parser says of a place, as we say it.
pub fn located(message: &str) -> String {
    match message.rsplit_once(" at Line: ") {
        Some((what, place)) => format!("{what} (line {})", place.replace(", Column:", ", column")),
        None => message.to_owned(),
    }
}

/// The tokens of one statement without white space, comments and a closing
/// semicolon, and how many parameters it takes.
pub fn read(text: &str) -> Result<(Vec<TokenWithSpan>, usize), Failure> {
    if text.contains('\0') {
        return Err(Failure::argument("the SQL statement contains a NUL character"));
    }
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|error| database(located(&error.to_string())))?;
    let mut reader = Reader::default();
    for token in tokens {
        reader.token(token)?;
    }
    if reader.tokens.is_empty() {
        return Err(Failure::argument("the SQL statement is empty"));
    }
    if reader.question_marks > 0 && reader.numbered > 0 {
        return Err(Failure::argument(
            "the statement mixes `?` and `$1`; use one of them, so that it is clear which parameter is which",
        ));
    }
    let parameters = reader.question_marks.max(reader.numbered);
    Ok((reader.tokens, parameters))
}

#[derive(Default)]
struct Reader {
    tokens: Vec<TokenWithSpan>,
    ended: bool,
    nested: usize,
    brackets: usize,
    selects: usize,
    operators: usize,
    question_marks: usize,
    /// The highest number of a parameter.
    numbered: usize,
    /// What begins a parameter of another kind, such as `:name`.
    prefix: Option<(char, Span)>,
}

impl Reader {
    fn token(&mut self, token: TokenWithSpan) -> Result<(), Failure> {
        let TokenWithSpan { token, span } = token;
        let prefix = self.prefix.take();
        match &token {
            Token::Whitespace(_) | Token::EOF => return Ok(()),
            Token::SemiColon => {
                // One before the statement ends nothing.
                self.ended = !self.tokens.is_empty();
                return Ok(());
            }
            _ if self.ended => {
                return Err(Failure::argument(
                    "the text holds more than one SQL statement; run them one by one, or together in db.transaction",
                ));
            }
            _ => {}
        }
        if self.tokens.is_empty() {
            begins(&token, span)?;
        }
        match &token {
            Token::Word(word) => {
                if let Some((prefix, _)) = prefix.filter(|(_, at)| at.end == span.start) {
                    return Err(no_parameter(&format!("{prefix}{}", word.value)));
                }
                self.word(word)?;
            }
            Token::LParen | Token::LBracket | Token::LBrace => {
                self.nested += 1;
                self.brackets += usize::from(token == Token::LBracket);
                self.operator()?;
                if self.nested > NESTED {
                    return Err(fixed(format!("the SQL statement nests more than {NESTED} parentheses")));
                }
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                self.nested = self.nested.saturating_sub(1);
                self.brackets = self.brackets.saturating_sub(usize::from(token == Token::RBracket));
            }
            Token::Colon if self.brackets == 0 => self.prefix = Some((':', span)),
            Token::AtSign => self.prefix = Some(('@', span)),
            Token::Placeholder(name) => return self.placeholder(name, span),
            Token::Question => return self.question_mark(span, None),
            // `?-1` and `?||'x'` are no operators here.
            Token::QuestionMarkDash => return self.question_mark(span, Some(Token::Minus)),
            Token::QuestionMarkDoubleVerticalBar => return self.question_mark(span, Some(Token::StringConcat)),
            Token::Number(..) | Token::Comma | Token::Period => {}
            Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) | Token::UnicodeStringLiteral(_) => {}
            _ => self.operator()?,
        }
        self.tokens.push(TokenWithSpan { token, span });
        Ok(())
    }

    fn word(&mut self, word: &Word) -> Result<(), Failure> {
        if word.quote_style.is_some() {
            return Ok(());
        }
        match word.value.to_ascii_uppercase().as_str() {
            "SELECT" | "VALUES" => {
                self.selects += 1;
                if self.selects > SELECTS {
                    return Err(fixed(format!("the SQL statement has more than {SELECTS} SELECTs")));
                }
                Ok(())
            }
            "AND" | "OR" | "NOT" | "IS" | "ISNULL" | "NOTNULL" | "LIKE" | "ILIKE" | "SIMILAR" | "BETWEEN"
            | "COLLATE" | "AT" | "IN" | "OVERLAPS" | "UNION" | "INTERSECT" | "EXCEPT" | "JOIN" | "ANY" | "ALL"
            | "SOME" | "CASE" | "WHEN" | "INTERVAL" => self.operator(),
            _ => Ok(()),
        }
    }

    fn operator(&mut self) -> Result<(), Failure> {
        self.operators += 1;
        if self.operators > OPERATORS {
            return Err(fixed(format!("the SQL statement has more than {OPERATORS} operators")));
        }
        Ok(())
    }

    fn placeholder(&mut self, name: &str, span: Span) -> Result<(), Failure> {
        let number = name.strip_prefix('$').filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        let Some(number) = number.and_then(|number| number.parse::<usize>().ok()).filter(|&number| number > 0) else {
            return Err(no_parameter(name));
        };
        self.numbered = self.numbered.max(number);
        self.tokens.push(TokenWithSpan { token: Token::Placeholder(format!("${number}")), span });
        Ok(())
    }

    fn question_mark(&mut self, span: Span, then: Option<Token>) -> Result<(), Failure> {
        self.question_marks += 1;
        let token = Token::Placeholder(format!("${}", self.question_marks));
        self.tokens.push(TokenWithSpan { token, span });
        if let Some(token) = then {
            self.operator()?;
            self.tokens.push(TokenWithSpan { token, span });
        }
        Ok(())
    }
}

fn no_parameter(name: &str) -> Failure {
    let name: String = name.chars().take(40).collect();
    Failure::argument(format!("`{name}` is not a parameter; parameters are `?`, or `$1`, `$2` and so on"))
}

/// Whether a statement may begin so.
fn begins(token: &Token, span: Span) -> Result<(), Failure> {
    let Token::Word(Word { value, quote_style: None, .. }) = token else {
        return match token {
            Token::LParen => Ok(()),
            other => Err(near(&other.to_string(), span)),
        };
    };
    let word = value.to_ascii_uppercase();
    if ALLOWED.contains(&&*word) {
        return Ok(());
    }
    if !REFUSED.contains(&&*word) {
        return Err(database(format!("near \"{value}\": syntax error{}", place(span))));
    }
    let hint =
        if TRANSACTION.contains(&&*word) { "; use db.transaction" } else { "; SELECT, INSERT, UPDATE and DELETE are" };
    Err(Failure::denied(format!("{word} is not available to scripts{hint}")))
}
