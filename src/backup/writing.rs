//! Writing a backup.

use std::io::Write;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::format::{BEGIN, END, FILE, FORMAT, MAGIC, MANIFEST, PartEnd, RECORD};
use super::{BackupError, CHUNK, Manifest, Part};
use crate::crypto::Writer as Fields;
use crate::crypto::archive::{ArchiveKey, Stream};
use crate::model::Random;
use crate::store::{Store, Versioned};

/// A backup that is being written. Without [`Writer::finish`] it shows as cut.
pub struct Writer<'a, W: Write> {
    out: W,
    random: &'a dyn Random,
    stream: Stream,
    /// Text of the next chunk.
    text: Zeroizing<Vec<u8>>,
    chunk: u64,
    entries: u64,
    hash: Sha256,
}

impl<'a, W: Write> Writer<'a, W> {
    /// Begins a backup.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(
        mut out: W,
        key: &ArchiveKey,
        random: &'a dyn Random,
        manifest: &Manifest,
    ) -> Result<Self, BackupError> {
        let (sealed, stream) = key.begin(random, MAGIC)?;
        out.write_all(MAGIC)?;
        out.write_all(&[FORMAT])?;
        out.write_all(&hex::decode(key.id()).unwrap_or_default())?;
        out.write_all(&sealed)?;
        let text = Zeroizing::new(Vec::with_capacity(CHUNK.saturating_mul(2)));
        let mut writer = Self { out, random, stream, text, chunk: 0, entries: 0, hash: Sha256::new() };
        writer.frame(MANIFEST, &json(manifest)?)?;
        Ok(writer)
    }

    /// Writes all records of a store, which nobody changes meanwhile.
    ///
    /// # Errors
    /// When the store cannot be read or the backup not be written.
    pub async fn store(&mut self, place: &str, store: &dyn Store) -> Result<(), BackupError> {
        let part = Part { kind: super::PartKind::Store, place: place.to_owned(), revision: store.revision().0 };
        self.begin_part(&part)?;
        let mut start = Vec::new();
        loop {
            let page = store.scan(&start, None, PAGE).await?;
            for (key, Versioned { value, revision }) in &page.entries {
                let mut record = Fields::new();
                record.field(key).u64(revision.0).field(value);
                self.entry(RECORD, &record.finish())?;
            }
            match page.next {
                Some(next) => start = next,
                None => return self.end_part(),
            }
        }
    }

    /// Writes small files, by name.
    ///
    /// # Errors
    /// When the backup cannot be written.
    pub fn files(&mut self, place: &str, files: &[(String, Vec<u8>)]) -> Result<(), BackupError> {
        self.begin_part(&Part { kind: super::PartKind::Files, place: place.to_owned(), revision: 0 })?;
        for (name, content) in files {
            let mut file = Fields::new();
            file.text(name).field(content);
            self.entry(FILE, &file.finish())?;
        }
        self.end_part()
    }

    /// Ends the backup; answers where it was written.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<W, BackupError> {
        self.chunk(true)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn begin_part(&mut self, part: &Part) -> Result<(), BackupError> {
        (self.entries, self.hash) = (0, Sha256::new());
        self.frame(BEGIN, &json(part)?)
    }

    fn entry(&mut self, tag: u8, content: &[u8]) -> Result<(), BackupError> {
        self.entries = self.entries.saturating_add(1);
        self.frame(tag, content)
    }

    fn end_part(&mut self) -> Result<(), BackupError> {
        let sha256 = hex::encode(std::mem::take(&mut self.hash).finalize());
        let end = PartEnd { entries: self.entries, sha256 };
        self.frame(END, &json(&end)?)
    }

    fn frame(&mut self, tag: u8, content: &[u8]) -> Result<(), BackupError> {
        let length = u32::try_from(content.len()).map_err(|_| BackupError::NoBackup)?.to_be_bytes();
        for piece in [&[tag], length.as_slice(), content] {
            self.hash.update(piece);
            self.text.extend_from_slice(piece);
        }
        while self.text.len() > CHUNK {
            self.chunk(false)?;
        }
        Ok(())
    }

    fn chunk(&mut self, last: bool) -> Result<(), BackupError> {
        let length = self.text.len().min(CHUNK);
        let sealed = self.stream.seal(self.random, self.chunk, last, self.text.get(..length).unwrap_or_default())?;
        self.out.write_all(&[u8::from(last)])?;
        self.out.write_all(&u32::try_from(sealed.len()).unwrap_or(u32::MAX).to_be_bytes())?;
        self.out.write_all(&sealed)?;
        self.text.drain(..length);
        self.chunk = self.chunk.saturating_add(1);
        Ok(())
    }
}

const PAGE: usize = 500;

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, BackupError> {
    serde_json::to_vec(value).map_err(|error| BackupError::Medium(std::io::Error::other(error)))
}
