//! What is wrong with the settings, where, and what to write instead.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Displays as a report of several lines: the message, the place in the file
/// with the text around it, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    /// One sentence.
    pub message: String,
    /// What to do; None where the message says it.
    pub help: Option<String>,
    /// None where the fault is not in a file's text.
    pub place: Option<Place>,
}

/// A place in the settings file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The report with the lines of the file that it is about, secrets masked.
    frame: String,
}

/// A fault whose place is known as bytes of the text.
#[derive(Debug)]
pub(super) struct Fault {
    pub span: Range<usize>,
    pub message: String,
    pub help: Option<String>,
    /// Whether it was found while reading, before keys were known for what they are.
    pub unread: bool,
}

impl Fault {
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Fault {
        Fault { span, message: message.into(), help: None, unread: false }
    }

    pub fn help(mut self, help: impl Into<String>) -> Fault {
        self.help = Some(help.into());
        self
    }
}

impl SettingsError {
    pub(super) fn plain(message: impl Into<String>) -> SettingsError {
        SettingsError { message: message.into(), help: None, place: None }
    }

    pub(super) fn unreadable(path: &Path, reason: &std::io::Error) -> SettingsError {
        let message = match reason.kind() {
            std::io::ErrorKind::NotFound => format!("the settings file `{}` does not exist", path.display()),
            std::io::ErrorKind::InvalidData => format!("the settings file `{}` is not UTF-8 text", path.display()),
            _ => format!("the settings file `{}` cannot be read: {reason}", path.display()),
        };
        SettingsError::plain(message)
    }

    pub(super) fn at(text: &str, path: &Path, fault: Fault) -> SettingsError {
        let Fault { span, message, help, unread } = fault;
        let start = floor(text, span.start);
        let end = floor(text, span.end).max(start);
        // A table's span runs over all its lines; its first is place enough.
        let end = text[start..end].find('\n').map_or(end, |length| start + length);
        let line = text[..start].matches('\n').count() + 1;
        let column = text[..start].rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let file = path.display().to_string();
        let shown = mask(text, unread);
        let mut group = Level::ERROR.primary_title(message.as_str()).element(
            Snippet::source(shown.as_str()).path(file.as_str()).annotation(AnnotationKind::Primary.span(start..end)),
        );
        if let Some(help) = &help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let frame = Renderer::plain().render(&[group]);
        SettingsError { message, help, place: Some(Place { file, line, column, frame }) }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, &self.help) {
            (Some(place), _) => formatter.write_str(&place.frame),
            (None, Some(help)) => write!(formatter, "error: {}\nhelp: {help}", self.message),
            (None, None) => write!(formatter, "error: {}", self.message),
        }
    }
}

impl std::error::Error for SettingsError {}

fn floor(text: &str, mut index: usize) -> usize {
    index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

/// The text with secrets as asterisks, byte for byte, so that places still
/// hold: reports end up in logs and tickets. Where the text could not be read,
/// any key may be a secret one that is misspelt, so all that is quoted goes.
fn mask(text: &str, unread: bool) -> String {
    const SECRET: &[&str] = &["token", "token_sha256", "url", "key"];
    text.split_inclusive('\n')
        .map(|line| {
            let secret = SECRET.iter().any(|key| {
                line.match_indices(key).any(|(start, _)| {
                    line[start + key.len()..].trim_start_matches(['"', '\'', ' ', '\t']).starts_with('=')
                })
            });
            // Of the whole line: an inline table may hold more than one.
            if unread || secret { mask_quoted(line) } else { line.to_owned() }
        })
        .collect()
}

fn mask_quoted(line: &str) -> String {
    let mut quote = None;
    let mut masked = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) if c == '\n' || c == '\r' => {}
            Some(open) => {
                let escaped = if open == '"' && c == '\\' { characters.next() } else { None };
                let length = c.len_utf8() + escaped.map_or(0, char::len_utf8);
                masked.extend(std::iter::repeat_n('*', length));
                continue;
            }
            None if c == '"' || c == '\'' => quote = Some(c),
            None => {}
        }
        masked.push(c);
    }
    masked
}
