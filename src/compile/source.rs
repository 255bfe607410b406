//! What a source text is: its form, its functions, its syntax errors.

use oxc::allocator::Allocator;
use oxc::ast::ast::{BindingPattern, Expression, Statement};
use oxc::parser::{ParseOptions, Parser};
use oxc::semantic::SemanticBuilder;
use oxc::span::SourceType;

use super::{declaration, frame};
use crate::capabilities::grant::Lists;

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
    /// What it declares that it uses.
    pub declared: Option<Lists>,
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

/// How deeply brackets may nest. Bundles of real programs stay below a few hundred.
const MAX_NESTING: usize = 2_000;

/// The parser recurses, and the end of its stack would be the end of the
/// process, so its stack is sized by what a source can make of it: at most 1 KiB
/// for each level of brackets, and 200 bytes for each byte of what nests without
/// them (`!!!…`, `a=>a=>…`) or hides its brackets (`[/*]*/[/*]*/…`). Both are
/// doubled, and more.
const STACK_BASE: usize = 4 << 20;
const STACK_PER_LEVEL: usize = 4 << 10;
const STACK_PER_BYTE: usize = 512;

/// Reads a source on a thread with a stack for it. `file` names it in errors.
/// The outer error is that no such thread could be started.
pub async fn read(file: &str, text: &str) -> std::io::Result<Result<Source, SyntaxError>> {
    if let Some(error) = nests_too_deeply(file, text) {
        return Ok(Err(error));
    }
    let (answer, answered) = tokio::sync::oneshot::channel();
    let (file, text) = (file.to_owned(), text.to_owned());
    let stack = STACK_BASE + MAX_NESTING * STACK_PER_LEVEL + text.len() * STACK_PER_BYTE;
    std::thread::Builder::new().name("airlock-parser".into()).stack_size(stack).spawn(move || {
        // Whoever asked may have gone.
        let _ = answer.send(read_here(&file, &text));
    })?;
    answered.await.map_err(std::io::Error::other)
}

/// Counts brackets without regard to strings and comments: a bound for those
/// that do not hide, which is what the stack's size relies on.
fn nests_too_deeply(file: &str, text: &str) -> Option<SyntaxError> {
    let mut depth = 0usize;
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth > MAX_NESTING {
            return Some(syntax_error(
                file,
                text,
                &format!("brackets nest deeper than {MAX_NESTING} levels"),
                offset,
                1,
                None,
            ));
        }
    }
    None
}

fn read_here(file: &str, text: &str) -> Result<Source, SyntaxError> {
    // A module is told by its syntax; everything else is sloppy, as scripts are.
    let module = parse(file, text, SourceType::mjs(), false);
    if let Ok(parsed) = &module
        && parsed.is_module
    {
        return Ok(Source { form: Form::Module, functions: Vec::new(), declared: parsed.declared.clone() });
    }
    match parse(file, text, SourceType::script(), false) {
        Ok(parsed) if parsed.functions.is_empty() => Ok(body(parsed)),
        Ok(Parsed { functions, declared, .. }) => Ok(Source { form: Form::Script, functions, declared }),
        Err(error) => {
            if text_has_module_syntax(text) {
                return Err(module.err().unwrap_or(error));
            }
            // `return` and `await` at the top level, in a text that is its own entry.
            match parse(file, text, SourceType::mjs(), true) {
                Ok(parsed) if parsed.functions.is_empty() => Ok(body(parsed)),
                _ => Err(error),
            }
        }
    }
}

fn body(parsed: Parsed) -> Source {
    Source { form: Form::Body, functions: Vec::new(), declared: parsed.declared }
}

/// Whether a text that parses as nothing was meant as a module.
fn text_has_module_syntax(text: &str) -> bool {
    text.lines().map(str::trim_start).any(|line| line.starts_with("export ") || line.starts_with("import "))
}

struct Parsed {
    is_module: bool,
    functions: Vec<String>,
    declared: Option<Lists>,
}

fn parse(file: &str, text: &str, kind: SourceType, allow_return: bool) -> Result<Parsed, SyntaxError> {
    let allocator = Allocator::default();
    let options = ParseOptions {
        allow_return_outside_function: allow_return,
        parse_regular_expression: true,
        ..ParseOptions::default()
    };
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
    if let Some((name, places)) = parsed.module_record.requested_modules.iter().next() {
        let span = places.first().map(|place| place.span).unwrap_or_default();
        let message = format!("the script imports `{name}`, and a script is one file");
        let help = Some("put what it needs into the same file, or bundle it first");
        return Err(syntax_error(file, text, &message, span.start as usize, span.size() as usize, help));
    }
    let checked = SemanticBuilder::new().with_check_syntax_error(true).build(&parsed.program);
    if let Some(diagnostic) = checked.diagnostics.first() {
        return Err(problem(diagnostic));
    }
    let declared = declaration::read(text, &parsed.program)
        .map_err(|wrong| syntax_error(file, text, &wrong.message, wrong.offset, wrong.length, wrong.help))?;
    let functions = functions(&parsed.program.body);
    Ok(Parsed { is_module: parsed.module_record.has_module_syntax, functions, declared })
}

fn syntax_error(
    file: &str,
    text: &str,
    message: &str,
    offset: usize,
    length: usize,
    help: Option<&str>,
) -> SyntaxError {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::MAX_SOURCE;

    /// A parser whose stack ends takes the process with it, and this test.
    #[tokio::test]
    async fn no_source_is_too_deep_for_the_parser() {
        for pattern in [
            "[",
            "(",
            "{",
            "!",
            "-",
            "if(a)",
            "a=>",
            "a?",
            "`${",
            "new ",
            "a**",
            "a=",
            "({a:",
            "async()=>{",
            "class A extends ",
            "[/*]*/",
            "(/*)*/",
            "[\"]\",",
            "[/]/,",
            "({a:/*})*/",
            "function(/*)*/a=",
            "a?.[/*]*/",
            "label:",
            "await ",
            "yield ",
            "typeof ",
            "do ",
            "else if(a)",
            "@a ",
            "`${/*}*/",
            "async a=>",
            "a,",
            "x+",
            "x??",
            "x[0].",
            "switch(a){/*}*/case 0:",
        ] {
            // The stack is in proportion to the text, so a part shows the whole.
            let text = pattern.repeat(MAX_SOURCE / 16 / pattern.len());
            let _ = read("deep.js", &text).await.unwrap();
            // Behind something that parses, and as an expression.
            let _ = read("deep.js", &format!("x = {text}")).await.unwrap();
        }
    }

    /// A parser that tries each bracket both as an arrow's and as an expression's
    /// would not end.
    #[tokio::test]
    async fn no_source_is_tried_over_and_over() {
        for (open, close) in [
            ("(a,", ")"),
            ("async(", ")"),
            ("(a=", ")"),
            ("({a=", "})"),
            ("(async(", "))"),
            ("a=(", ")"),
            ("(a)=>(", ")"),
            ("[a=", "]"),
            ("({a:[", "]})"),
            ("`${(", ")}`"),
            ("a?(", "):0"),
            ("a?(b)=>(", "):0"),
            ("async(a=", ")"),
            ("(...[", "])"),
            ("f(function(){", "})"),
        ] {
            let depth = MAX_NESTING / 2 / open.len();
            for text in [open.repeat(depth), format!("{}a{}", open.repeat(depth), close.repeat(depth))] {
                let _ = read("tried.js", &text).await.unwrap();
            }
        }
    }
}
