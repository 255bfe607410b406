//! Stacks in the author's terms: only the script's own frames.

use super::outcome::ScriptError;

/// The engine's own files have names like `airlock:db`.
const ENGINE_FILES: &str = "(airlock:";

/// An error with a stack as QuickJS prints it.
pub fn script_error(name: String, message: String, stack: &str) -> ScriptError {
    let frames: Vec<&str> = stack.lines().map(str::trim).filter(|frame| own(frame)).collect();
    let place = frames.iter().find_map(|frame| place(frame));
    let stack = frames.iter().map(|frame| format!("    {frame}")).collect::<Vec<_>>().join("\n");
    ScriptError {
        name,
        message,
        stack,
        line: place.map(|(line, _)| line),
        column: place.map(|(_, column)| column),
        limit: None,
        retry: None,
    }
}

/// JSON.parse and `eval` count the lines of the text that they are given.
const OTHER_TEXT: &str = "(<input>:";

fn own(frame: &str) -> bool {
    frame.starts_with("at ")
        && !frame.contains(OTHER_TEXT)
        && !frame.starts_with("at <input>:")
        && !frame.contains(ENGINE_FILES)
        && !frame.starts_with("at airlock:")
        && !frame.ends_with("(native)")
        && !frame.ends_with("(missing)")
}

/// The line and column at the end of `at main (script.js:3:5)`.
fn place(frame: &str) -> Option<(u32, u32)> {
    let mut parts = frame.trim_end_matches(')').rsplitn(3, ':');
    let column = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    Some((line, column))
}

/// What QuickJS says of recursion that goes too deep, for the depth that the
/// sandbox stops instead.
pub fn overflow() -> ScriptError {
    ScriptError {
        name: "RangeError".into(),
        message: "Maximum call stack size exceeded".into(),
        ..ScriptError::default()
    }
}
