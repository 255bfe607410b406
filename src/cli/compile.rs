//! `airlock compile`.

use std::path::{Path, PathBuf};

use super::{Exit, report, user_cache};
use crate::compile;
use crate::host;
use crate::runtime::engine::{Engine, Options};
use crate::runtime::limits::Limits;

/// Compile a script to a WebAssembly component
#[derive(clap::Args)]
pub struct Arguments {
    /// The script: JavaScript with top-level functions, or an ES module
    file: PathBuf,
    /// Where to write the component [default: FILE with the ending .wasm]
    #[arg(short, long)]
    output: Option<PathBuf>,
}

pub async fn run(arguments: Arguments) -> Exit {
    match compile(&arguments.file, arguments.output).await {
        Ok(()) => Exit::Completed,
        Err(exit) => exit,
    }
}

async fn compile(file: &Path, output: Option<PathBuf>) -> Result<(), Exit> {
    let usage = |message: String| {
        report::error(&message);
        Exit::Usage
    };
    let bytes = std::fs::read(file)
        .map_err(|reason| usage(format!("{} can't be read: {}", file.display(), host::kind(&reason))))?;
    if bytes.starts_with(b"\0asm") {
        return Err(usage(format!("{} is compiled already; `airlock inspect` shows what it is", file.display())));
    }
    let text = host::text(file, bytes).map_err(|problem| report::program(&problem))?;
    let engine = Engine::new(Options { sandboxes: 1, cache: user_cache(), ..Options::default() })
        .map_err(|reason| usage(format!("{reason:#}")))?;
    let compiled = compile::compile(&engine, &shown(file), &text, &Limits::default())
        .await
        .map_err(|problem| report::compile(&problem))?;
    let output = output.unwrap_or_else(|| file.with_extension("wasm"));
    // A reader must never see half of an artifact.
    let unfinished = output.with_extension(format!("wasm-{}", uuid::Uuid::new_v4()));
    std::fs::write(&unfinished, compiled.artifact()).and_then(|()| std::fs::rename(&unfinished, &output)).map_err(
        |reason| {
            // What can't be written may be half there.
            let _ = std::fs::remove_file(&unfinished);
            let reason = match reason.kind() {
                std::io::ErrorKind::NotFound => "there is no such folder".to_owned(),
                std::io::ErrorKind::PermissionDenied => "this user may not write there".to_owned(),
                _ => reason.to_string(),
            };
            usage(format!("{} can't be written: {reason}", output.display()))
        },
    )?;
    eprintln!("{} → {} ({})", file.display(), output.display(), compiled.description.entries.join(", "));
    Ok(())
}

/// The name that stacks and log lines show.
pub fn shown(file: &Path) -> String {
    file.file_name().map_or_else(|| "script.js".to_owned(), |name| name.to_string_lossy().into_owned())
}
