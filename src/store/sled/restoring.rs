//! Making a database from a backup: records with the revisions they had.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ::sled::Batch;

use super::fault::{Fault, contained};
use super::tally::Tally;
use super::view::{COUNTER, encode};
use super::watermark::Watermark;
use super::{Options, lock, open_tree};
use crate::store::{Revision, StoreError, Versioned};

/// A database that is being made. Without [`Restoring::finish`] it has no revision counter and cannot be opened.
pub struct Restoring {
    directory: PathBuf,
    tree: ::sled::Db,
    batch: Batch,
    bytes: usize,
    newest: Revision,
    tally: Tally,
    _lock: File,
}

impl Restoring {
    /// Begins in a directory that is not there yet. Blocks, as everything here.
    ///
    /// # Errors
    /// When there is one already, or it cannot be written.
    pub fn begin(directory: &Path) -> Result<Self, StoreError> {
        let unusable = |error: io::Error| StoreError::Unavailable(format!("{}: {error}", directory.display()));
        DirBuilder::new().mode(0o700).create(directory).map_err(unusable)?;
        let lock = lock(directory)?;
        let tree = open_tree(directory, &Options { cache_capacity: CACHE })?;
        let (batch, newest, tally) = (Batch::default(), Revision(0), Tally::default());
        Ok(Self { directory: directory.to_owned(), tree, batch, bytes: 0, newest, tally, _lock: lock })
    }

    /// Takes a record, of a key that it was not given yet.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&mut self, key: &[u8], record: &Versioned) -> Result<(), StoreError> {
        self.newest = self.newest.max(record.revision);
        let raw = encode(record.revision, &record.value);
        self.bytes = self.bytes.saturating_add(key.len()).saturating_add(raw.len());
        self.tally.add(key, &raw);
        self.batch.insert(key, raw);
        if self.bytes < BATCH { Ok(()) } else { self.apply() }
    }

    /// Ends: later commits have revisions above `newest` and above those of all records. Durable on return.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self, newest: Revision) -> Result<(), StoreError> {
        let newest = self.newest.max(newest);
        self.batch.insert(COUNTER, encode(newest, &self.tally.to_bytes()));
        self.apply()?;
        let flushed = contained(|| Ok(self.tree.flush().map(drop)?));
        flushed.map_err(|fault: Fault| fault.into_error(&self.directory))?;
        let directory = self.directory.clone();
        drop(self);
        let ended = Watermark::open(&directory, newest).and_then(|_| sync_all(&directory));
        ended.map_err(|error| StoreError::Unavailable(format!("{}: {error}", directory.display())))
    }

    fn apply(&mut self) -> Result<(), StoreError> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        contained(|| Ok(self.tree.apply_batch(batch)?)).map_err(|fault: Fault| fault.into_error(&self.directory))
    }
}

/// Everything below a directory, and the directory itself.
fn sync_all(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(directory)?.sync_all()
}

const CACHE: u64 = 64 * 1024 * 1024;
const BATCH: usize = 1024 * 1024;
