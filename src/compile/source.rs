//! What a source text is: its form, its functions, its syntax errors.

use oxc::allocator::Allocator;
use oxc::ast::ast::{BindingPattern, Expression, Statement};
use oxc::parser::{ParseOptions, Parser};
use oxc::semantic::SemanticBuilder;
use oxc::span::SourceType;

use super::frame;

/// How the engine evaluates a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Sloppy global code with functions at its top level.
    Script,
    /// An ES module.
    Module,
    /// No function and no export: the whole text runs at every call.
    Body,
}

impl Form {
    pub fn name(self) -> &'static str {
        match self {
            Form::Script => "script",
            Form::Module => "module",
            Form::Body => "body",
        }
    }
}

#[derive(Debug)]
pub struct Source {
    pub form: Form,
    /// The functions at the top level of a script. A module's exports are known
    /// only once it has run.
    pub functions: Vec<String>,
}

/// A source that does not parse.
#[derive(Debug, Clone)]
pub struct SyntaxError {
    pub message: String,
    /// From 1, in characters.
    pub line: u32,
    pub column: u32,
    /// The lines around, with the place marked.
    pub frame: String,
}

/// Reads a source. `file` names it in errors.
pub fn read(file: &str, text: &str) -> Result<Source, SyntaxError> {
    // A module is told by its syntax; everything else is sloppy, as scripts are.
    let module = parse(file, text, SourceType::mjs(), false);
    if let Ok(parsed) = &module
        && parsed.is_module
    {
        return Ok(Source { form: Form::Module, functions: Vec::new() });
    }
    match parse(file, text, SourceType::script(), false) {
        Ok(parsed) if parsed.functions.is_empty() => Ok(Source { form: Form::Body, functions: Vec::new() }),
        Ok(parsed) => Ok(Source { form: Form::Script, functions: parsed.functions }),
        Err(error) => {
            if text_has_module_syntax(text) {
                return Err(module.err().unwrap_or(error));
            }
            // `return` and `await` at the top level, in a text that is its own entry.
            match parse(file, text, SourceType::mjs(), true) {
                Ok(parsed) if parsed.functions.is_empty() => Ok(Source { form: Form::Body, functions: Vec::new() }),
                _ => Err(error),
            }
        }
    }
}

/// Whether a text that parses as nothing was meant as a module.
fn text_has_module_syntax(text: &str) -> bool {
    text.lines().map(str::trim_start).any(|line| line.starts_with("export ") || line.starts_with("import "))
}

struct Parsed {
    is_module: bool,
    functions: Vec<String>,
}

fn parse(file: &str, text: &str, kind: SourceType, allow_return: bool) -> Result<Parsed, SyntaxError> {
    let allocator = Allocator::default();
    let options = ParseOptions { allow_return_outside_function: allow_return, parse_regular_expression: true, ..ParseOptions::default() };
    let parsed = Parser::new(&allocator, text, kind).with_options(options).parse();
    let problem = |diagnostic: &oxc::diagnostics::OxcDiagnostic| {
        // Of a name that is declared twice, the second place is the mistake.
        let twice = diagnostic.message.contains("has already been declared");
        let label = if twice { diagnostic.labels.last() } else { diagnostic.labels.first() };
        let offset = label.map_or(0, |label| label.offset());
        let length = label.map_or(0, |label| label.len());
        syntax_error(file, text, &diagnostic.message, offset as usize, length as usize, diagnostic.help.as_deref())
    };
    if let Some(diagnostic) = parsed.diagnostics.first() {
        return Err(problem(diagnostic));
    }
    let checked = SemanticBuilder::new().with_check_syntax_error(true).build(&parsed.program);
    if let Some(diagnostic) = checked.diagnostics.first() {
        return Err(problem(diagnostic));
    }
    Ok(Parsed { is_module: parsed.module_record.has_module_syntax, functions: functions(&parsed.program.body) })
}

fn syntax_error(file: &str, text: &str, message: &str, offset: usize, length: usize, help: Option<&str>) -> SyntaxError {
    let (line, column) = frame::position(text, offset);
    SyntaxError {
        message: message.to_owned(),
        line,
        column,
        frame: frame::render(file, text, message, offset, length, help),
    }
}

/// The names at the top level that are bound to functions.
fn functions(body: &[Statement<'_>]) -> Vec<String> {
    let mut names = Vec::new();
    for statement in body {
        match statement {
            Statement::FunctionDeclaration(function) => {
                names.extend(function.id.as_ref().map(|id| id.name.to_string()));
            }
            Statement::VariableDeclaration(declaration) => {
                for declarator in &declaration.declarations {
                    if let BindingPattern::BindingIdentifier(id) = &declarator.id
                        && let Some(Expression::FunctionExpression(_) | Expression::ArrowFunctionExpression(_)) =
                            declarator.init.as_ref().map(Expression::without_parentheses)
                    {
                        names.push(id.name.to_string());
                    }
                }
            }
            _ => {}
        }
    }
    names
}
