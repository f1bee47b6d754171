//! Where a backup goes: a file that has its name only once it is whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A backup that is being put in its place, as `FILE.partial`, mode 0600.
#[derive(Debug)]
pub struct Filing {
    file: File,
    partial: PathBuf,
    target: PathBuf,
}

impl Filing {
    /// Begins; what an earlier one left of `FILE.partial` goes.
    ///
    /// # Errors
    /// When `target` is there already, or nothing can be written beside it.
    pub fn begin(target: &Path) -> io::Result<Self> {
        if target.exists() {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "it exists already; nothing is overwritten"));
        }
        let mut name = target.as_os_str().to_owned();
        name.push(PARTIAL);
        let partial = PathBuf::from(name);
        if let Err(error) = fs::remove_file(&partial)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error);
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
        Ok(Self { file, partial, target: target.to_owned() })
    }

    /// Where it is until it has its name.
    #[must_use]
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    /// Writes on.
    ///
    /// # Errors
    /// When that fails.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Makes what was written durable; it can then be read back.
    ///
    /// # Errors
    /// When that fails.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives it its name, durably.
    ///
    /// # Errors
    /// When a file of that name has come meanwhile, or the directory cannot be written.
    pub fn name(self) -> io::Result<()> {
        // A link, unlike a rename, never replaces a file that is there.
        fs::hard_link(&self.partial, &self.target)?;
        fs::remove_file(&self.partial)?;
        let parent = self.target.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
    }
}

/// Ends the name of a file that is not whole yet.
pub const PARTIAL: &str = ".partial";
