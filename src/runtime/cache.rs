//! Machine code on disk, by what it was made from. It may be deleted at any
//! time: what is missing is made anew.

use std::fs::{File, Metadata};
use std::hash::{Hash, Hasher};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use wasmtime::Module;
use wasmtime::component::Component;

use crate::files;

/// What a file is called while it is being written.
const UNFINISHED: &str = "unfinished-";
/// Nobody writes one for that long, unless the process has died.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// The cache.
///
/// wasmtime executes what it deserialises, so the folder must be this user's
/// alone; `open` makes it so, or refuses it.
pub struct Cache {
    folder: PathBuf,
    /// Names the wasmtime and the processor that the code is for.
    compatibility: u64,
    /// Bytes that the files may have.
    most: u64,
    /// Bytes that they have, but for what other processes write.
    held: AtomicU64,
}

impl Cache {
    pub fn open(folder: PathBuf, most: u64, engine: &wasmtime::Engine) -> Result<Cache> {
        private(&folder)?;
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let cache = Cache { folder, compatibility: hasher.finish(), most, held: AtomicU64::new(0) };
        cache.sweep();
        Ok(cache)
    }

    fn path(&self, source: &[u8]) -> PathBuf {
        // Tenants choose what is hashed, so it must be a cryptographic hash; this
        // one takes a quarter of SHA-256's time, which was half of a load's.
        self.folder.join(format!("{:016x}-{}", self.compatibility, blake3::hash(source)))
    }

    fn write(&self, path: &Path, code: &[u8]) -> Result<()> {
        // Somebody may have deleted it.
        private(&self.folder)?;
        let unfinished = self.folder.join(format!("{UNFINISHED}{}", uuid::Uuid::new_v4()));
        files::private_file(&unfinished)?;
        let written = std::fs::write(&unfinished, code).and_then(|()| std::fs::rename(&unfinished, path));
        if let Err(reason) = written {
            // A full disk is no fuller for it.
            let _ = std::fs::remove_file(&unfinished);
            return Err(reason.into());
        }
        let length = code.len() as u64;
        if self.held.fetch_add(length, Ordering::Relaxed).saturating_add(length) > self.most {
            self.sweep();
        }
        Ok(())
    }

    /// Deletes what was not used for longest until the rest is well within the
    /// bound, so that not every write sweeps. What is mapped stays mapped.
    fn sweep(&self) {
        let mut kept = self.files();
        let mut held: u64 = kept.iter().map(|(_, metadata)| metadata.len()).sum();
        if held > self.most {
            kept.sort_by_key(|(_, metadata)| metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH));
            for (path, metadata) in kept {
                if held <= self.most - self.most / 8 {
                    break;
                }
                remove(&path);
                held = held.saturating_sub(metadata.len());
            }
        }
        self.held.store(held, Ordering::Relaxed);
    }

    /// The finished files. Deletes those that will not be.
    fn files(&self) -> Vec<(PathBuf, Metadata)> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let Ok(metadata) = entry.metadata() else { continue };
            if name.starts_with(UNFINISHED) {
                let age = metadata.modified().ok().and_then(|at| at.elapsed().ok());
                if age.is_some_and(|age| age > ABANDONED) {
                    remove(&entry.path());
                }
            } else if is_ours(name) && metadata.is_file() {
                files.push((entry.path(), metadata));
            }
        }
        files
    }
}

/// Whether a file has a name that this makes: nothing else is deleted.
fn is_ours(name: &str) -> bool {
    name.len() == 16 + 1 + 64
        && name.as_bytes().get(16) == Some(&b'-')
        && name.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(reason) if reason.kind() != ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %reason, "a cached file can't be deleted");
        }
        _ => {}
    }
}

/// Makes the folder, and refuses one that others may write.
fn private(folder: &Path) -> Result<()> {
    files::private_folder(folder).with_context(|| format!("creating the cache folder {}", folder.display()))?;
    let metadata =
        std::fs::metadata(folder).with_context(|| format!("reading the cache folder {}", folder.display()))?;
    let home = std::fs::metadata("/proc/self").map(|process| process.uid());
    anyhow::ensure!(
        metadata.mode() & 0o022 == 0 && home.is_ok_and(|uid| uid == metadata.uid()),
        "the cache folder {} can be written by other users, and what stands in it is executed; \
         make it yours alone (chmod 700) or name another folder",
        folder.display()
    );
    Ok(())
}

/// A core module's machine code, and whether it is mapped from a file.
pub fn module(cache: &Option<Cache>, engine: &wasmtime::Engine, source: &[u8]) -> Result<(Module, bool)> {
    cached(
        cache,
        source,
        || Ok((Module::new(engine, source)?, false)),
        |path| {
            // SAFETY: the cache holds only what this program wrote (see Cache).
            Ok((unsafe { Module::deserialize_file(engine, path) }?, true))
        },
        |(module, _)| module.serialize(),
    )
}

/// A component's machine code.
pub fn component(cache: &Option<Cache>, engine: &wasmtime::Engine, source: &[u8]) -> Result<Component> {
    cached(
        cache,
        source,
        || Component::new(engine, source),
        |path| {
            // SAFETY: the cache holds only what this program wrote (see Cache).
            unsafe { Component::deserialize_file(engine, path) }
        },
        Component::serialize,
    )
}

/// Reads machine code from the cache, or makes and keeps it. A cache that can't
/// be written costs time, not the call.
fn cached<T>(
    cache: &Option<Cache>,
    source: &[u8],
    compile: impl FnOnce() -> wasmtime::Result<T>,
    read: impl Fn(&Path) -> wasmtime::Result<T>,
    serialize: impl FnOnce(&T) -> wasmtime::Result<Vec<u8>>,
) -> Result<T> {
    let Some(cache) = cache else { return Ok(compile()?) };
    let path = cache.path(source);
    // That it is used now is told by its time.
    if let Ok(file) = File::open(&path) {
        let _ = file.set_modified(SystemTime::now());
        match read(&path) {
            Ok(code) => return Ok(code),
            Err(reason) => {
                tracing::warn!(path = %path.display(), %reason, "a cached file is of no use and is made anew")
            }
        }
    }
    let code = compile()?;
    match serialize(&code).map_err(anyhow::Error::from).and_then(|bytes| cache.write(&path, &bytes)) {
        // The file is mapped, where what was just compiled is held in memory twice.
        Ok(()) => Ok(read(&path).unwrap_or(code)),
        Err(reason) => {
            tracing::warn!(path = %path.display(), %reason, "the cache can't be written");
            Ok(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn open(folder: &Path, most: u64) -> Cache {
        Cache::open(folder.to_owned(), most, &wasmtime::Engine::default()).unwrap()
    }

    /// Keeps a hundred bytes that were used so many hours ago.
    fn keep(cache: &Cache, source: &str, hours: u64) -> PathBuf {
        let path = cache.path(source.as_bytes());
        cache.write(&path, &[0; 100]).unwrap();
        let at = SystemTime::now() - Duration::from_secs(hours * 3600);
        File::open(&path).unwrap().set_modified(at).unwrap();
        path
    }

    #[test]
    fn beyond_its_bound_the_oldest_unused_goes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path(), 1000);
        let paths: Vec<PathBuf> = (0..10).map(|n| keep(&cache, &n.to_string(), 20 - n)).collect();
        assert!(paths.iter().all(|path| path.exists()), "it holds as much as it may");
        let foreign = folder.path().join("notes.txt");
        std::fs::write(&foreign, [0; 5000]).unwrap();

        let last = keep(&cache, "last", 0);
        let gone = paths.iter().take_while(|path| !path.exists()).count();
        assert_eq!((gone, paths.iter().filter(|path| path.exists()).count()), (3, 7));
        assert!(last.exists() && foreign.exists());

        // A smaller bound counts from the next start on.
        drop(open(folder.path(), 400));
        assert_eq!(paths.iter().filter(|path| path.exists()).count(), 2);
        assert!(last.exists());
    }

    #[test]
    fn what_is_read_counts_as_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Some(open(folder.path(), 1 << 20));
        let engine = wasmtime::Engine::default();
        let wasm = wasm_encoder::Module::new().finish();
        assert!(module(&cache, &engine, &wasm).unwrap().1, "mapped at once");
        let path = cache.as_ref().unwrap().path(&wasm);
        let old = SystemTime::now() - Duration::from_secs(3600);
        File::open(&path).unwrap().set_modified(old).unwrap();
        assert!(module(&cache, &engine, &wasm).unwrap().1);
        assert!(std::fs::metadata(&path).unwrap().modified().unwrap() > old + Duration::from_secs(3000));
    }

    #[test]
    fn it_may_be_deleted_at_any_time() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("cache");
        let cache = Some(open(&place, 1 << 20));
        let engine = wasmtime::Engine::default();
        let wasm = wasm_encoder::Module::new().finish();
        let (held, mapped) = module(&cache, &engine, &wasm).unwrap();
        assert!(mapped);
        std::fs::remove_dir_all(&place).unwrap();
        assert!(module(&cache, &engine, &wasm).unwrap().1, "made anew, with the folder");
        assert_eq!(held.exports().count(), 0, "what was mapped is there still");
        assert_eq!(std::fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o700);

        // Half a file is as good as none.
        std::fs::write(cache.as_ref().unwrap().path(&wasm), "half").unwrap();
        assert!(module(&cache, &engine, &wasm).unwrap().1);
    }

    #[test]
    fn what_a_dead_process_left_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        for (name, minutes) in [("unfinished-a", 61), ("unfinished-b", 59)] {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(minutes * 60)).unwrap();
        }
        drop(open(folder.path(), 1000));
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["unfinished-b"]);
    }
}
