//! The artifact: a self-contained component of the engine and a snapshot.

use serde::{Deserialize, Serialize};
use wasm_encoder::Encode;
use wasmparser::{DataKind, Operator, Parser, Payload};

use super::image;
use crate::capabilities::grant::{self, Lists};
use crate::runtime::engine::{BASE, ENGINE, HEAD, TAIL};

/// What an artifact says of its script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The source's file name, as stacks show it.
    pub file: String,
    /// What can be called.
    pub entries: Vec<String>,
    /// SHA-256 of the source, in hexadecimal.
    pub source: String,
    /// What the script declares that it uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<Lists>,
}

impl Description {
    /// What runs without a name.
    pub fn default_entry(&self) -> Option<&str> {
        default_entry(&self.entries)
    }
}

/// What runs without a name: the default export, else `main`, else
/// `handleRequest`, else the only function.
pub fn default_entry(entries: &[String]) -> Option<&str> {
    ["default", "main", "handleRequest"].into_iter().find(|name| entries.iter().any(|entry| entry == name)).or(
        match entries {
            [only] => Some(only),
            _ => None,
        },
    )
}

/// The id of a component's section that holds a core module.
const MODULE_SECTION: u8 = 1;
const WASM_PAGE: usize = 65_536;
/// The most that a snapshot's memory may hold, so that no artifact makes the
/// host allocate without bound.
const MAX_SNAPSHOT: usize = 1 << 30;

/// A component as far as its first module, the engine.
pub fn engine() -> Vec<u8> {
    let mut bytes = HEAD.to_vec();
    bytes.push(MODULE_SECTION);
    ENGINE.encode(&mut bytes);
    bytes
}

/// Everything before the snapshot's contents, apart from their length.
fn before_snapshot() -> Vec<u8> {
    let mut bytes = engine();
    bytes.push(MODULE_SECTION);
    bytes
}

/// Splices a snapshot into the component.
pub fn assemble(snapshot: &[u8]) -> Vec<u8> {
    let mut bytes = before_snapshot();
    snapshot.encode(&mut bytes);
    bytes.extend_from_slice(TAIL);
    bytes
}

/// Why a file is not an artifact of this host.
#[derive(Debug, thiserror::Error)]
pub enum NotAnArtifact {
    #[error("it is not WebAssembly; give a file that `airlock compile` wrote")]
    NotWasm,
    #[error("it is a core WebAssembly module, and not a component; give a file that `airlock compile` wrote")]
    CoreModule,
    #[error("it is cut short or damaged; compile the script again")]
    Truncated,
    #[error(
        "it is a WebAssembly component, but not one that this version of airlock compiled; compile the script again from its source"
    )]
    Foreign,
    #[error("its snapshot is not one that airlock made ({0}); compile the script again")]
    Snapshot(&'static str),
}

/// Takes the snapshot out of an artifact, after checking that all the rest is
/// byte for byte what this build would have written.
pub fn disassemble(artifact: &[u8]) -> Result<(Vec<u8>, Description), NotAnArtifact> {
    if !artifact.starts_with(b"\0asm") {
        return Err(NotAnArtifact::NotWasm);
    }
    match artifact.get(4..8) {
        Some([1, 0, 0, 0]) => return Err(NotAnArtifact::CoreModule),
        Some(_) => {}
        None => return Err(NotAnArtifact::Truncated),
    }
    let before = before_snapshot();
    let Some(rest) = artifact.strip_prefix(&before[..]) else {
        return Err(if before.starts_with(artifact) || truncated(artifact) {
            NotAnArtifact::Truncated
        } else {
            NotAnArtifact::Foreign
        });
    };
    let (length, rest) = leb128(rest).ok_or(NotAnArtifact::Truncated)?;
    if rest.len() < length {
        return Err(NotAnArtifact::Truncated);
    }
    let (snapshot, tail) = rest.split_at(length);
    if tail != TAIL {
        return Err(if TAIL.starts_with(tail) { NotAnArtifact::Truncated } else { NotAnArtifact::Foreign });
    }
    rebuild(snapshot)
}

/// Whether a component's sections end in the middle.
fn truncated(artifact: &[u8]) -> bool {
    Parser::new(0)
        .parse_all(artifact)
        .any(|payload| payload.is_err_and(|error| error.message().contains("unexpected end")))
}

fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0usize;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

/// Reads a snapshot's memory and encodes it anew, so that nothing but data and
/// a description ever comes out of a file.
fn rebuild(snapshot: &[u8]) -> Result<(Vec<u8>, Description), NotAnArtifact> {
    use NotAnArtifact::Snapshot as Bad;
    let mut description = None;
    let mut size = None;
    let mut segments: Vec<(u32, &[u8])> = Vec::new();
    for payload in Parser::new(0).parse_all(snapshot) {
        let payload = payload.map_err(|_| Bad("it is not a valid module"))?;
        match payload {
            Payload::CustomSection(section) if section.name() == image::DESCRIPTION => {
                description = serde_json::from_slice(section.data()).ok();
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let pages = memory.map_err(|_| Bad("its memory is not valid"))?.initial;
                    size = usize::try_from(pages).ok().and_then(|pages| pages.checked_mul(WASM_PAGE));
                }
            }
            Payload::DataSection(section) => {
                for segment in section {
                    let segment = segment.map_err(|_| Bad("its data is not valid"))?;
                    let DataKind::Active { memory_index: 0, offset_expr } = segment.kind else {
                        return Err(Bad("its data is not placed"));
                    };
                    let Ok(Operator::I32Const { value }) = offset_expr.get_operators_reader().read() else {
                        return Err(Bad("its data has no fixed place"));
                    };
                    segments.push((value as u32, segment.data));
                }
            }
            _ => {}
        }
    }
    let description: Description = description.ok_or(Bad("it does not say what it is"))?;
    let declared = description.declared.iter().flatten();
    if declared.into_iter().any(|(list, entries)| {
        entries.len() > grant::ENTRIES || entries.iter().any(|entry| grant::read(list, entry).as_ref() != Ok(entry))
    }) {
        return Err(Bad("what it declares is not in order"));
    }
    let size = size
        .filter(|size| *size <= MAX_SNAPSHOT && *size >= base_size())
        .ok_or(Bad("its memory has an impossible size"))?;
    if segments.iter().any(|(offset, data)| *offset as usize + data.len() > size) {
        return Err(Bad("its data lies outside of its memory"));
    }
    let text = serde_json::to_vec(&description).map_err(|_| Bad("it does not say what it is"))?;
    let again = image::encode(size, segments.into_iter(), Some(&text));
    if again != snapshot {
        return Err(Bad("it holds more than a memory"));
    }
    Ok((again, description))
}

/// The size of the memory before any script, in bytes.
fn base_size() -> usize {
    for payload in Parser::new(0).parse_all(BASE) {
        if let Ok(Payload::MemorySection(section)) = payload
            && let Some(Ok(memory)) = section.into_iter().next()
        {
            return memory.initial as usize * WASM_PAGE;
        }
    }
    0
}
