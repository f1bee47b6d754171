//! What makes a flushed log survive power loss.
//!
//! sled's `flush` calls `sync_file_range`, which neither writes the disk's cache nor the file's metadata, and it never
//! syncs the files in `blobs/`, which hold pages that are too large for the log.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Own descriptors of the files that sled writes.
#[derive(Debug)]
pub(super) struct Durability {
    database: File,
    blobs: PathBuf,
    synced: BTreeSet<OsString>,
}

impl Durability {
    /// Opens the files of an open database and syncs all that is there: what a killed process wrote but did not sync
    /// becomes visible now, so it must not vanish later.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let blobs = directory.join("blobs");
        let mut durability = Self { database: File::open(directory.join("db"))?, blobs, synced: BTreeSet::new() };
        let all = durability.new_blobs()?;
        durability.sync(all)?;
        File::open(directory.join("conf"))?.sync_all()?;
        File::open(&durability.blobs)?.sync_all()?;
        File::open(directory)?.sync_all()?;
        // The directory itself may be new.
        if let Some(parent) = directory.canonicalize()?.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(durability)
    }

    /// Blobs that are not synced yet. Call it while nothing else runs inside sled: a reader, too, can make it write a page,
    /// and a blob that is seen half written would count as synced.
    pub(super) fn new_blobs(&mut self) -> io::Result<Vec<OsString>> {
        let mut present = BTreeSet::new();
        let mut fresh = Vec::new();
        for entry in fs::read_dir(&self.blobs)? {
            let name = entry?.file_name();
            match self.synced.take(&name) {
                Some(name) => {
                    present.insert(name);
                }
                None => fresh.push(name),
            }
        }
        self.synced = present;
        Ok(fresh)
    }

    /// Makes these blobs and everything in the log durable.
    pub(super) fn sync(&mut self, blobs: Vec<OsString>) -> io::Result<()> {
        if !blobs.is_empty() {
            for name in blobs {
                match File::open(self.blobs.join(&name)) {
                    Ok(file) => {
                        file.sync_all()?;
                        self.synced.insert(name);
                    }
                    // sled has collected it since.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            File::open(&self.blobs)?.sync_all()?;
        }
        self.database.sync_data()
    }

    /// For a test: the sync of the log goes to `file` from now on.
    #[cfg(test)]
    pub(super) fn divert(&mut self, file: File) {
        self.database = file;
    }
}
