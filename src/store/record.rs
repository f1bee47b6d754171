//! Typed records over byte strings: a schema version in front, values over 16 KiB cut into chunks.
//!
//! A record under key `K` is `K` -> `[b'K', schema u16, chunks u16]` and the first part of the JSON text; further parts
//! lie under `K 00 n` (n as u16, from 1), which sort directly behind `K`, since no record key contains a zero byte.
//! All chunks are written in one transaction, so comparing the revision of `K` guards the whole record.

use std::ops::{Deref, DerefMut};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Compare, MAX_VALUE_BYTES, Revision, Store, StoreError, Transaction, Versioned, prefix_end};

/// A type that is kept in a store.
pub trait Record: Serialize + DeserializeOwned + Send {
    /// Its name in error texts.
    const KIND: &'static str;
    /// The schema this release writes.
    const SCHEMA: u16;

    /// Brings the JSON of an older schema to the present one.
    ///
    /// # Errors
    /// A text saying why it cannot.
    fn upgrade(from: u16, value: Value) -> Result<Value, String> {
        let _ = value;
        Err(format!("no upgrade from schema {from}"))
    }
}

/// A record as read: dereferences to the value; remembers what is needed to replace it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<T> {
    value: T,
    revision: Revision,
    chunks: u16,
}

impl<T> Stored<T> {
    /// The revision of the record.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// The value alone.
    #[must_use]
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> Deref for Stored<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Stored<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl Transaction {
    /// Creates a record, comparing that there is none.
    ///
    /// # Errors
    /// When the value cannot be written as JSON.
    pub fn create<T: Record>(&mut self, key: &[u8], value: &T) -> Result<&mut Self, StoreError> {
        self.compare(Compare::Absent(key.to_vec()));
        self.write(key, value, 0)
    }

    /// Replaces a record by its changed value, comparing that nobody else changed it since it was read.
    ///
    /// # Errors
    /// When the value cannot be written as JSON.
    pub fn replace<T: Record>(&mut self, key: &[u8], stored: &Stored<T>) -> Result<&mut Self, StoreError> {
        self.compare(Compare::Revision(key.to_vec(), stored.revision));
        self.write(key, &stored.value, stored.chunks)
    }

    /// Removes a record, comparing that nobody changed it since it was read.
    pub fn remove<T: Record>(&mut self, key: &[u8], stored: &Stored<T>) -> &mut Self {
        self.compare(Compare::Revision(key.to_vec(), stored.revision));
        for n in 0..=stored.chunks {
            self.delete(chunk_key(key, n));
        }
        self
    }

    /// Writes a record whatever was there; only for records of at most one chunk that have one writer.
    ///
    /// # Errors
    /// When the value cannot be written as JSON.
    pub fn overwrite<T: Record>(&mut self, key: &[u8], value: &T) -> Result<&mut Self, StoreError> {
        self.write(key, value, 0)
    }

    fn write<T: Record>(&mut self, key: &[u8], value: &T, old_chunks: u16) -> Result<&mut Self, StoreError> {
        let malformed = |detail: String| StoreError::Malformed { key: show(key), kind: T::KIND, detail };
        // Most records are one value: written behind its header, it need not be copied there.
        let mut head = Vec::with_capacity(COMMON);
        let [s1, s2] = T::SCHEMA.to_be_bytes();
        head.extend_from_slice(&[MARK, s1, s2, 0, 0]);
        serde_json::to_writer(&mut head, value).map_err(|e| malformed(e.to_string()))?;
        let rest = head.split_off(head.len().min(MAX_VALUE_BYTES));
        let parts = rest.chunks(MAX_VALUE_BYTES.saturating_sub(HEADER));
        let chunks = u16::try_from(parts.len()).map_err(|_| malformed("too large".to_owned()))?;
        if let [_, _, _, c1, c2, ..] = head.as_mut_slice() {
            [*c1, *c2] = chunks.to_be_bytes();
        }
        if chunks > 0 {
            head.shrink_to_fit();
        }
        self.put(key, head);
        for (n, part) in (1_u16..).zip(parts) {
            self.put(chunk_key(key, n), part);
        }
        for n in chunks.saturating_add(1)..=old_chunks {
            self.delete(chunk_key(key, n));
        }
        Ok(self)
    }
}

/// Reads one record.
///
/// # Errors
/// When the store cannot be read, or the record is malformed or newer than this release.
pub async fn get_record<T: Record>(store: &dyn Store, key: &[u8]) -> Result<Option<Stored<T>>, StoreError> {
    loop {
        let Some(head) = store.get(key).await? else {
            return Ok(None);
        };
        let chunks = header::<T>(key, &head.value)?.1;
        if chunks == 0 {
            return decode(key, &head, &[]).map(Some);
        }
        // A page is atomic, so head and chunks of one page belong together.
        let end = prefix_end(&[key, &[0]].concat());
        let page = store.scan(key, end.as_deref(), usize::from(chunks).saturating_add(1)).await?;
        let mut entries = page.entries.into_iter();
        if let Some((first, head)) = entries.next()
            && first == key
            && header::<T>(key, &head.value)?.1 <= chunks
        {
            let rest: Vec<Versioned> = entries.map(|(_, v)| v).collect();
            return decode(key, &head, &rest).map(Some);
        }
    }
}

/// Reads all records whose keys begin with `prefix` and lie at or after `from`, at most `limit`, in key order.
///
/// # Errors
/// As [`get_record`].
pub async fn scan_records<T: Record>(
    store: &dyn Store,
    prefix: &[u8],
    from: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<(Vec<u8>, Stored<T>)>, StoreError> {
    let end = prefix_end(prefix);
    let mut start = from.map_or_else(|| prefix.to_vec(), <[u8]>::to_vec);
    let mut found = Vec::new();
    while found.len() < limit {
        let want = limit.saturating_sub(found.len()).clamp(1, SCAN_PAGE);
        let page = store.scan(&start, end.as_deref(), want).await?;
        for (key, head) in page.entries {
            if key.contains(&0) {
                continue;
            }
            if found.len() == limit {
                return Ok(found);
            }
            let record = if header::<T>(&key, &head.value)?.1 == 0 {
                Some(decode(&key, &head, &[])?)
            } else {
                get_record(store, &key).await?
            };
            found.extend(record.map(|record| (key, record)));
        }
        match page.next {
            Some(next) => start = next,
            None => break,
        }
        // An embedded engine never waits: whoever reads many lets others go on.
        tokio::task::yield_now().await;
    }
    Ok(found)
}

/// Decodes a record from its first value and its further chunks.
///
/// # Errors
/// When it is malformed or newer than this release.
pub fn decode<T: Record>(key: &[u8], head: &Versioned, rest: &[Versioned]) -> Result<Stored<T>, StoreError> {
    let malformed = |detail: String| StoreError::Malformed { key: show(key), kind: T::KIND, detail };
    let (schema, chunks) = header::<T>(key, &head.value)?;
    let first = head.value.get(HEADER..).unwrap_or_default();
    let mut joined;
    let json = if chunks == 0 {
        first
    } else {
        if rest.len() < usize::from(chunks) {
            return Err(malformed(format!(
                "{} of {chunks} chunks are missing",
                usize::from(chunks).saturating_sub(rest.len())
            )));
        }
        joined = first.to_vec();
        for part in rest.iter().take(usize::from(chunks)) {
            joined.extend_from_slice(&part.value);
        }
        &joined
    };
    let value = if schema == T::SCHEMA {
        serde_json::from_slice(json).map_err(|e| malformed(e.to_string()))?
    } else {
        let old = serde_json::from_slice(json).map_err(|e| malformed(e.to_string()))?;
        let new = T::upgrade(schema, old).map_err(malformed)?;
        serde_json::from_value(new).map_err(|e| malformed(e.to_string()))?
    };
    Ok(Stored { value, revision: head.revision, chunks })
}

const MARK: u8 = b'K';
const HEADER: usize = 5;
/// More than most records take, so that they are written without growing.
const COMMON: usize = 1024;
const SCAN_PAGE: usize = 512;

fn header<T: Record>(key: &[u8], value: &[u8]) -> Result<(u16, u16), StoreError> {
    match value {
        [MARK, s1, s2, c1, c2, ..] => {
            let schema = u16::from_be_bytes([*s1, *s2]);
            if schema > T::SCHEMA {
                return Err(StoreError::Newer { key: show(key), kind: T::KIND, found: schema, known: T::SCHEMA });
            }
            Ok((schema, u16::from_be_bytes([*c1, *c2])))
        }
        _ => Err(StoreError::Malformed { key: show(key), kind: T::KIND, detail: "no record header".to_owned() }),
    }
}

fn chunk_key(key: &[u8], n: u16) -> Vec<u8> {
    if n == 0 { key.to_vec() } else { [key, &[0], &n.to_be_bytes()].concat() }
}

fn show(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
