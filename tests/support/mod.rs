//! What the test binaries share. Each uses a part of it.
#![allow(dead_code)]

pub mod bare;
pub mod compare;
pub mod postgres;
pub mod server;

use std::path::{Path, PathBuf};

/// A folder for machine code that outlives the test run: the engine is compiled
/// once, not in every test binary.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("machine-code")
}

/// Makes a data folder that keeps its machine code where all tests do.
pub fn share_cache(data: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(cache()).unwrap();
    std::fs::create_dir_all(data).unwrap();
    std::os::unix::fs::symlink(cache(), data.join("cache")).unwrap();
}

/// The folders under `root` that hold a file of that name, two levels down,
/// named `<outer>::<inner>`.
pub fn folders(root: &Path, file: &str) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for outer in children(root) {
        for inner in children(&outer) {
            if inner.join(file).exists() {
                found.push((format!("{}::{}", name(&outer), name(&inner)), inner));
            }
        }
    }
    found.sort();
    found
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
