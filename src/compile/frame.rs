//! Code frames: the lines around a place in a text, with the place marked.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// The line and column of a byte offset, both from 1, the column in characters.
pub fn position(text: &str, offset: usize) -> (u32, u32) {
    let offset = floor(text, offset);
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before[before.rfind('\n').map_or(0, |at| at + 1)..].chars().count() + 1;
    (line as u32, column as u32)
}

/// The byte offset of a line and column.
pub fn offset(text: &str, line: u32, column: u32) -> Option<usize> {
    let mut start = 0;
    for _ in 1..line {
        start += text[start..].find('\n')? + 1;
    }
    let rest = &text[start..];
    let rest = &rest[..rest.find('\n').unwrap_or(rest.len())];
    let within = rest.char_indices().nth(column.saturating_sub(1) as usize).map_or(rest.len(), |(at, _)| at);
    Some(start + within)
}

fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// A message with the lines that it is about.
pub fn render(file: &str, text: &str, message: &str, offset: usize, length: usize, help: Option<&str>) -> String {
    let start = floor(text, offset);
    let end = floor(text, start + length.max(1)).max(start);
    let snippet = Snippet::source(text).path(file).annotation(AnnotationKind::Primary.span(start..end));
    let mut group = Level::ERROR.primary_title(message).element(snippet);
    if let Some(help) = help {
        group = group.element(Level::HELP.message(help));
    }
    Renderer::plain().render(&[group]).to_string()
}
