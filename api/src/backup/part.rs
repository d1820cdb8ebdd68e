//! A file that comes into being whole or not at all: written beside as `NAME.part`, synced, renamed.

use super::BackupError;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

/// A file on its way. Dropped before [`Part::keep`], nothing is left of it.
pub struct Part {
    target: PathBuf,
    part: PathBuf,
    force: bool,
    /// Nothing is to be taken away any more, or not yet.
    kept: bool,
}

impl Part {
    /// Begins a file that only its owner may read, and refuses when there is one of this name, unless `force`d.
    pub fn begin(target: &Path, force: bool) -> Result<(Self, File), BackupError> {
        let failed = |problem: &dyn std::fmt::Display| BackupError::file(target, problem);
        let name = target.file_name().ok_or_else(|| failed(&"this is no name of a file"))?;
        let mut part = name.to_owned();
        part.push(".part");
        let mut own = Self { target: target.to_owned(), part: target.with_file_name(part), force, kept: true };
        own.free()?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let folder = folder_of(target);
        if !folder.is_dir() {
            return Err(failed(&format!("there is no folder {}", folder.display())));
        }
        let file = options.open(&own.part).map_err(|e| failed(&e))?;
        file.try_lock().map_err(|_| failed(&"somebody else is writing it"))?;
        // From here on what lies there is ours.
        own.kept = false;
        // What a broken-off run left is written over.
        if file.metadata().is_ok_and(|m| m.is_file()) {
            file.set_len(0).map_err(|e| failed(&e))?;
        }
        Ok((own, file))
    }

    fn free(&self) -> Result<(), BackupError> {
        if self.force || fs::symlink_metadata(&self.target).is_err() {
            Ok(())
        } else {
            Err(BackupError::file(&self.target, "it exists already; choose another name, or write over it with --force"))
        }
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        &self.part
    }

    /// Syncs it and gives it its name.
    pub fn keep(mut self, file: &File) -> Result<(), BackupError> {
        let failed = |e: std::io::Error| BackupError::file(&self.target, e);
        file.sync_all().map_err(failed)?;
        self.free()?;
        fs::rename(&self.part, &self.target).map_err(failed)?;
        self.kept = true;
        sync_folder(&self.target);
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            drop(fs::remove_file(&self.part));
        }
    }
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Syncs the folder of a file, so that its name survives a power cut. Where a file system cannot, it needs not.
fn sync_folder(file: &Path) {
    drop(File::open(folder_of(file)).and_then(|f| f.sync_all()));
}

/// Writes a small file of one's own below a folder that may not be there yet.
pub fn write(path: &Path, bytes: &[u8], force: bool) -> Result<(), BackupError> {
    use std::io::Write as _;
    fs::create_dir_all(folder_of(path)).map_err(|e| BackupError::file(path, e))?;
    let (part, mut file) = Part::begin(path, force)?;
    file.write_all(bytes).map_err(|e| BackupError::file(path, e))?;
    part.keep(&file)
}
