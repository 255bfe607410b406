//! What a person at the terminal is told, on stderr.

use super::Exit;
use crate::compile::CompileError;
use crate::host::ProgramError;

/// One message, as `error: …`.
pub fn error(message: &str) {
    eprintln!("error: {message}");
}

/// A report that is whole already, as one with a code frame.
pub fn plain(report: &str) {
    eprintln!("{}", report.trim_end());
}

/// Says why a program could not be made, and answers the exit status for it.
pub fn program(problem: &ProgramError) -> Exit {
    match problem {
        ProgramError::Compile(problem) => compile(problem),
        other => {
            error(&other.to_string());
            Exit::Usage
        }
    }
}

/// Says why a source does not compile, and answers the exit status for it.
pub fn compile(problem: &CompileError) -> Exit {
    match problem {
        CompileError::Syntax(syntax) => {
            plain(&syntax.frame);
            Exit::DoesNotCompile
        }
        CompileError::Refused { message } => {
            error(message);
            Exit::DoesNotCompile
        }
        CompileError::Threw(thrown) => {
            error(&format!("the script's top level threw {}: {}", thrown.name, thrown.message));
            if !thrown.stack.is_empty() {
                plain(&thrown.stack);
            }
            Exit::DoesNotCompile
        }
        CompileError::Limit { message, .. } => {
            error(message);
            Exit::Limit
        }
        CompileError::Host(reason) => {
            error(&format!("{reason:#}"));
            Exit::Usage
        }
    }
}
