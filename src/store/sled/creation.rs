//! The first opening of a database, made so that an interrupted one is begun again.
//!
//! sled writes several files when it makes a database, and does not open one in which some are half written. While it does,
//! the directory holds `creating`; nothing can have been acknowledged then.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::watermark::Marked;
use crate::store::Revision;

/// Prepares a directory for opening; clears what an interrupted creation left.
pub(super) fn begin(directory: &Path, marked: Marked) -> io::Result<()> {
    let interrupted = path(directory).exists() && matches!(marked, Marked::Never | Marked::At(Revision(0)));
    if interrupted {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name == "blobs" {
                fs::remove_dir_all(entry.path())?;
            } else if name == "db" || name == "conf" || name.starts_with("snap.") {
                fs::remove_file(entry.path())?;
            }
        }
    } else if marked != Marked::Never || !is_new(directory)? {
        return Ok(());
    }
    File::create(path(directory))?.sync_all()?;
    File::open(directory)?.sync_all()
}

/// The database is whole; call it before the first commit is taken.
pub(super) fn end(directory: &Path) -> io::Result<()> {
    match fs::remove_file(path(directory)) {
        Ok(()) => File::open(directory)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether there is nothing of sled's yet.
fn is_new(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        if entry?.file_name() != "lock" {
            return Ok(false);
        }
    }
    Ok(true)
}

fn path(directory: &Path) -> PathBuf {
    directory.join("creating")
}
