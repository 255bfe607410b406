//! Folders and files that are this user's alone, whatever the umask.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;

/// Makes a folder, with those above it. One that is there keeps its mode: it is
/// what somebody decided.
pub fn private_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        private_folder(above)?;
    }
    match DirBuilder::new().mode(FOLDER).create(path) {
        // The umask takes bits away, and may take the owner's.
        Ok(()) => std::fs::set_permissions(path, Permissions::from_mode(FOLDER)),
        // Another thread was first.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes an empty file, unless there is one, which keeps its mode. SQLite gives
/// its logs the mode of the database beside them.
pub fn private_file(path: &Path) -> Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(FILE).open(path) {
        Ok(file) => file.set_permissions(Permissions::from_mode(FILE)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_private_and_what_is_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        private_folder(&deep).unwrap();
        for path in [&deep, deep.parent().unwrap()] {
            assert_eq!(mode(path), 0o700);
        }
        let file = deep.join("file");
        private_file(&file).unwrap();
        assert_eq!(mode(&file), 0o600);

        std::fs::write(&file, "kept").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::fs::set_permissions(&deep, Permissions::from_mode(0o750)).unwrap();
        private_folder(&deep).unwrap();
        private_file(&file).unwrap();
        assert_eq!((mode(&deep), mode(&file)), (0o750, 0o640));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");

        assert!(private_folder(&file).is_err(), "a file is no folder");
        assert!(private_folder(&file.join("below")).is_err());
    }
}
