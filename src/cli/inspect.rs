//! `airlock inspect`.

use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::Digest;
use wasmparser::{ComponentExternalKind, Parser, Payload};

use super::{Exit, report};
use crate::compile::artifact;
use crate::hexadecimal;
use crate::host;
use crate::runtime::engine::ENGINE;

/// Show what a compiled script is: its imports, entries, engine and sizes
#[derive(clap::Args)]
pub struct Arguments {
    /// A file that `airlock compile` wrote
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments) -> Exit {
    match inspect(&arguments.file) {
        Ok(found) if arguments.json => {
            println!("{found:#}");
            Exit::Completed
        }
        Ok(found) => {
            print(&found);
            Exit::Completed
        }
        Err(message) => {
            report::error(&format!("{}: {message}", arguments.file.display()));
            Exit::Usage
        }
    }
}

fn inspect(file: &Path) -> Result<serde_json::Value, String> {
    let bytes = std::fs::read(file).map_err(|reason| format!("it can't be read: {}", host::kind(&reason)))?;
    let (snapshot, description) = artifact::disassemble(&bytes).map_err(|reason| reason.to_string())?;
    let (imports, exports) = interface(&bytes).map_err(|error| format!("it is damaged: {}", error.message()))?;
    let digest = hexadecimal::encode(&sha2::Sha256::digest(ENGINE)[..8]);
    Ok(json!({
        "script": {
            "file": description.file,
            "entries": description.entries,
            "default_entry": description.default_entry(),
            "source_sha256": description.source,
            "declares": description.declared,
        },
        "engine": { "airlock": env!("CARGO_PKG_VERSION"), "sha256": digest },
        "imports": imports,
        "exports": exports,
        "bytes": { "total": bytes.len(), "engine": ENGINE.len(), "snapshot": snapshot.len() },
    }))
}

/// What the component itself imports and exports, instances and functions.
fn interface(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), wasmparser::BinaryReaderError> {
    let mut imports = Vec::new();
    let mut exports = Vec::new();
    // Deeper than the component itself stand its modules and types.
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import?;
                    // The names of types that `invoke` uses say nothing of what it reaches.
                    if !matches!(import.ty, wasmparser::ComponentTypeRef::Type(_)) {
                        imports.push(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export?;
                    if export.kind == ComponentExternalKind::Func {
                        exports.push(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

fn print(found: &serde_json::Value) {
    let text = |pointer: &str| found.pointer(pointer).and_then(|value| value.as_str()).unwrap_or("none").to_owned();
    let list = |pointer: &str| -> Vec<String> {
        let values = found.pointer(pointer).and_then(|value| value.as_array()).cloned().unwrap_or_default();
        values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
    };
    let kib =
        |pointer: &str| format!("{} KiB", found.pointer(pointer).and_then(|value| value.as_u64()).unwrap_or(0) / 1024);
    println!(
        "script    {} (SHA-256 {}…)",
        text("/script/file"),
        &text("/script/source_sha256").chars().take(16).collect::<String>()
    );
    println!("entries   {} (default: {})", list("/script/entries").join(", "), text("/script/default_entry"));
    let declared = found.pointer("/script/declares").and_then(|lists| lists.as_object()).cloned().unwrap_or_default();
    let lines: Vec<_> = declared
        .keys()
        .map(|name| format!("{name}: {}", list(&format!("/script/declares/{name}")).join(", ")))
        .collect();
    println!("declares  {}", if lines.is_empty() { "nothing".to_owned() } else { lines.join("\n          ") });
    println!("engine    airlock {}, {}", text("/engine/airlock"), text("/engine/sha256"));
    println!(
        "size      {} = engine {} + snapshot {}",
        kib("/bytes/total"),
        kib("/bytes/engine"),
        kib("/bytes/snapshot")
    );
    println!("exports   {}", list("/exports").join(", "));
    println!("imports   {}", list("/imports").join("\n          "));
}
