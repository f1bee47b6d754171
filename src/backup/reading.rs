//! Reading a backup. What is given out has been authenticated; that the backup is whole is known at its end only.

use std::io::{ErrorKind, Read};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::format::{BEGIN, END, FILE, FORMAT, MAGIC, MANIFEST, PartEnd, RECORD, SEALED_KEY};
use super::{BackupError, CHUNK, Manifest, Part};
use crate::crypto::Reader as Fields;
use crate::crypto::archive::{ArchiveKey, Stream};
use crate::store::{Revision, Versioned};

/// Something in a backup.
pub enum Item {
    /// A part begins.
    Part(Part),
    /// A record of the present part.
    Record(Vec<u8>, Versioned),
    /// A file of the present part: name and content.
    File(String, Vec<u8>),
}

/// A backup that is being read.
pub struct Reader<R: Read> {
    input: R,
    stream: Stream,
    text: Zeroizing<Vec<u8>>,
    /// How much of the text has been given out.
    taken: usize,
    chunk: u64,
    ended: bool,
    entries: u64,
    hash: Sha256,
    in_part: bool,
}

impl<R: Read> Reader<R> {
    /// Begins to read; answers what the backup is.
    ///
    /// # Errors
    /// No backup, another key, damage.
    pub fn open(mut input: R, key: &ArchiveKey) -> Result<(Manifest, Self), BackupError> {
        let mut head = [0; 16 + 1 + 8 + SEALED_KEY];
        input.read_exact(&mut head).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => BackupError::NoBackup,
            _ => BackupError::Medium(error),
        })?;
        let mut fields = Fields::new(&head, "head");
        let (magic, format, id) = (fields.array::<16>()?, fields.u8()?, hex::encode(fields.array::<8>()?));
        if magic != *MAGIC || format != FORMAT {
            return Err(BackupError::NoBackup);
        }
        if id != key.id() {
            return Err(BackupError::WrongKey { needed: id, given: key.id() });
        }
        let damaged = |_| BackupError::Damaged { chunk: 0, what: "its head does not open" };
        let stream = key.resume(MAGIC, fields.rest()).map_err(damaged)?;
        let text = Zeroizing::new(Vec::new());
        let (hash, in_part) = (Sha256::new(), false);
        let mut reader = Self { input, stream, text, taken: 0, chunk: 0, ended: false, entries: 0, hash, in_part };
        match reader.frame()? {
            Some((MANIFEST, content)) => Ok((reader.json(&content)?, reader)),
            _ => Err(reader.damaged("it does not begin with what it is")),
        }
    }

    /// The next item; `None` at the end, which shows that everything was there.
    ///
    /// # Errors
    /// Damage, or a medium that fails.
    pub fn next_item(&mut self) -> Result<Option<Item>, BackupError> {
        loop {
            let before = if self.in_part { Some(self.hash.clone()) } else { None };
            let Some((tag, content)) = self.frame()? else {
                return if self.in_part { Err(self.damaged("a part has no end")) } else { Ok(None) };
            };
            let malformed = |_| BackupError::Damaged { chunk: self.chunk, what: "an entry cannot be read" };
            let mut fields = Fields::new(&content, "entry");
            match (tag, before) {
                (BEGIN, None) => {
                    self.in_part = true;
                    return Ok(Some(Item::Part(self.json(&content)?)));
                }
                (RECORD, Some(_)) => {
                    self.entries = self.entries.saturating_add(1);
                    let key = fields.field().map_err(malformed)?.to_vec();
                    let revision = Revision(u64::from_be_bytes(fields.array().map_err(malformed)?));
                    let value = fields.field().map_err(malformed)?.to_vec();
                    return Ok(Some(Item::Record(key, Versioned { value, revision })));
                }
                (FILE, Some(_)) => {
                    self.entries = self.entries.saturating_add(1);
                    let name = fields.text().map_err(malformed)?;
                    return Ok(Some(Item::File(name, fields.field().map_err(malformed)?.to_vec())));
                }
                (END, Some(hash)) => {
                    let end: PartEnd = self.json(&content)?;
                    if end.entries != self.entries || end.sha256 != hex::encode(hash.finalize()) {
                        return Err(self.damaged("a part is not what was written"));
                    }
                    self.in_part = false;
                }
                _ => return Err(self.damaged("an entry is out of place")),
            }
        }
    }

    fn frame(&mut self) -> Result<Option<(u8, Vec<u8>)>, BackupError> {
        if !self.fill(FRAME_HEAD)? {
            return if self.text.len() == self.taken { Ok(None) } else { Err(self.damaged("its end is missing")) };
        }
        let head = self.text.get(self.taken..).unwrap_or_default();
        let mut fields = Fields::new(head, "frame");
        let (tag, length) = (fields.u8()?, u32::from_be_bytes(fields.array()?));
        let whole = FRAME_HEAD.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        if !self.fill(whole)? {
            return Err(self.damaged("its end is missing"));
        }
        let frame = self.text.get(self.taken..self.taken.saturating_add(whole)).unwrap_or_default();
        if tag == BEGIN {
            (self.entries, self.hash) = (0, Sha256::new());
        }
        self.hash.update(frame);
        let content = frame.get(FRAME_HEAD..).unwrap_or_default().to_vec();
        self.taken = self.taken.saturating_add(whole);
        Ok(Some((tag, content)))
    }

    /// Reads chunks until so many bytes of text are there. False: the backup ends before.
    fn fill(&mut self, wanted: usize) -> Result<bool, BackupError> {
        while self.text.len().saturating_sub(self.taken) < wanted {
            if self.ended {
                return Ok(false);
            }
            self.text.drain(..self.taken);
            self.taken = 0;
            let mut head = [0; 5];
            self.exactly(&mut head)?;
            let [last, length @ ..] = head;
            let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            if last > 1 || length > CHUNK.saturating_add(28) {
                return Err(self.damaged("a chunk has no length that is possible"));
            }
            let mut sealed = vec![0; length];
            self.exactly(&mut sealed)?;
            let opened = self.stream.open(self.chunk, last == 1, &sealed);
            let opened = opened.map_err(|_| self.damaged("it does not open"))?;
            self.text.extend_from_slice(&opened);
            self.chunk = self.chunk.saturating_add(1);
            self.ended = last == 1;
            if self.ended && self.input.read(&mut [0])? > 0 {
                return Err(self.damaged("something follows its end"));
            }
        }
        Ok(true)
    }

    fn exactly(&mut self, room: &mut [u8]) -> Result<(), BackupError> {
        self.input.read_exact(room).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => self.damaged("it was cut"),
            _ => BackupError::Medium(error),
        })
    }

    fn json<T: serde::de::DeserializeOwned>(&self, content: &[u8]) -> Result<T, BackupError> {
        serde_json::from_slice(content).map_err(|_| self.damaged("an entry cannot be read"))
    }

    const fn damaged(&self, what: &'static str) -> BackupError {
        BackupError::Damaged { chunk: self.chunk, what }
    }
}

const FRAME_HEAD: usize = 5;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
