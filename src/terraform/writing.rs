//! Putting changed files in the place of the old ones.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::TerraformError;
use super::rewrite::{FileChange, Rewrite};

impl Rewrite {
    /// Writes every changed file: first all of them beside the old ones, then each takes the place of the old one in one
    /// step. A file that has changed since it was read stops it before anything was changed.
    ///
    /// # Errors
    /// When a file cannot be written. What was put in place before is whole.
    pub fn write(&self) -> Result<(), TerraformError> {
        let failed = |file: &FileChange, before: usize, cause: String| TerraformError::Write {
            path: file.file.clone(),
            cause,
            before,
        };
        let mut staged: Vec<Staged> = Vec::new();
        for file in &self.files {
            staged.push(Staged::make(file).map_err(|cause| failed(file, 0, cause))?);
        }
        for (done, (file, staged)) in self.files.iter().zip(&mut staged).enumerate() {
            staged.put(&file.real).map_err(|error| failed(file, done, error.to_string()))?;
        }
        Ok(())
    }
}

/// A new file beside the old one; it goes when it is not put in place.
struct Staged {
    path: PathBuf,
    placed: bool,
}

impl Staged {
    fn make(change: &FileChange) -> Result<Self, String> {
        let real = &change.real;
        let now = fs::read(real).map_err(|error| error.to_string())?;
        if now != change.before.as_bytes() {
            return Err("it was changed by somebody else meanwhile".to_owned());
        }
        let permissions = fs::metadata(real).map_err(|error| error.to_string())?.permissions();
        if permissions.readonly() {
            return Err("it is read-only".to_owned());
        }
        let name = real.file_name().unwrap_or_default().to_string_lossy();
        let path = real.with_file_name(format!(".{name}.{}", uuid::Uuid::new_v4()));
        let staged = Self { path, placed: false };
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).open(&staged.path)?;
            file.write_all(change.after.as_bytes())?;
            file.set_permissions(permissions)?;
            file.sync_all()
        };
        write().map_err(|error| error.to_string())?;
        Ok(staged)
    }

    fn put(&mut self, real: &Path) -> std::io::Result<()> {
        fs::rename(&self.path, real)?;
        self.placed = true;
        match real.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.placed {
            let _ = fs::remove_file(&self.path);
        }
    }
}
