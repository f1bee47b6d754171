//! The tree as readers may see it: durable commits only.
//!
//! While a batch is applied but not yet synced, readers see the values from before it for every key that it writes. The
//! write lock is held only for moments: to apply a batch in memory, and to drop the old values once it is durable.

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock};

use ::sled::{Batch, Db, IVec};

use super::fault::{Fault, contained};
use crate::store::{Page, Revision, Versioned};

/// Key of the revision counter: the empty key, which no transaction may write.
pub(super) const COUNTER: &[u8] = b"";

/// What stood under each key that a batch writes; `None`: nothing.
pub(super) type Before = BTreeMap<IVec, Option<IVec>>;

/// The tree and the old values of the batch in flight.
#[derive(Debug)]
pub(super) struct View {
    tree: Db,
    before: RwLock<Before>,
}

impl View {
    pub(super) fn new(tree: Db) -> Self {
        Self { tree, before: RwLock::new(BTreeMap::new()) }
    }

    /// The durable value.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Versioned>, Fault> {
        if key == COUNTER {
            return Ok(None);
        }
        let before = self.before.read().unwrap_or_else(PoisonError::into_inner);
        let raw = match before.get(key) {
            Some(old) => old.clone(),
            None => contained(|| Ok(self.tree.get(key)?))?,
        };
        raw.map(|raw| decode(&raw)).transpose()
    }

    /// A page of durable values, atomic.
    pub(super) fn page(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Page, Fault> {
        if end.is_some_and(|end| end <= start) {
            return Ok(Page { entries: Vec::new(), next: None });
        }
        let lower = if start == COUNTER { Bound::Excluded(COUNTER) } else { Bound::Included(start) };
        let range = (lower, end.map_or(Bound::Unbounded, Bound::Excluded));
        let before = self.before.read().unwrap_or_else(PoisonError::into_inner);
        contained(|| {
            let merged = Merged {
                tree: self.tree.range::<&[u8], _>(range).peekable(),
                before: before.range::<[u8], _>(range).peekable(),
            };
            let mut entries = Vec::new();
            for entry in merged {
                let (key, raw) = entry?;
                if entries.len() == limit {
                    return Ok(Page { entries, next: Some(key) });
                }
                entries.push((key, decode(&raw)?));
            }
            Ok(Page { entries, next: None })
        })
    }

    /// What stands in the tree now, durable or not. For the committer, between batches.
    pub(super) fn raw(&self, key: &[u8]) -> Result<Option<IVec>, Fault> {
        contained(|| Ok(self.tree.get(key)?))
    }

    /// Applies a batch, hidden behind the old values. After an error they stay, so that readers never see any of it.
    pub(super) fn apply(&self, old: Before, batch: Batch) -> Result<(), Fault> {
        let mut before = self.before.write().unwrap_or_else(PoisonError::into_inner);
        *before = old;
        contained(|| Ok(self.tree.apply_batch(batch)?))
    }

    /// Writes the log out to the file (not yet to the disk).
    pub(super) fn flush(&self) -> Result<(), Fault> {
        contained(|| Ok(self.tree.flush().map(drop)?))
    }

    /// Runs `work` while no reader is inside sled.
    pub(super) fn alone<T>(&self, work: impl FnOnce() -> T) -> T {
        let _readers_out = self.before.write().unwrap_or_else(PoisonError::into_inner);
        work()
    }

    /// Shows the batch: it is durable.
    pub(super) fn reveal(&self) {
        let old = std::mem::take(&mut *self.before.write().unwrap_or_else(PoisonError::into_inner));
        drop(old);
    }
}

/// A stored value: the revision (8 bytes, big-endian), then the bytes.
pub(super) fn encode(revision: Revision, value: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(value.len().saturating_add(8));
    raw.extend_from_slice(&revision.0.to_be_bytes());
    raw.extend_from_slice(value);
    raw
}

/// The revision of a stored value.
pub(super) fn revision_of(raw: &[u8]) -> Result<Revision, Fault> {
    raw.first_chunk::<8>()
        .map(|bytes| Revision(u64::from_be_bytes(*bytes)))
        .ok_or_else(|| Fault { detail: format!("a value of {} bytes has no revision", raw.len()), damaged: true })
}

/// Both parts of a stored value.
pub(super) fn decode(raw: &[u8]) -> Result<Versioned, Fault> {
    let revision = revision_of(raw)?;
    Ok(Versioned { value: raw.get(8..).unwrap_or_default().to_vec(), revision })
}

/// Tree and old values in key order; where both have a key, the old value counts.
struct Merged<'a> {
    tree: Peekable<::sled::Iter>,
    before: Peekable<btree_map::Range<'a, IVec, Option<IVec>>>,
}

impl Iterator for Merged<'_> {
    type Item = Result<(Vec<u8>, IVec), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let old = match (self.tree.peek(), self.before.peek()) {
                (_, None) | (Some(Err(_)), _) => false,
                (None, Some(_)) => true,
                (Some(Ok((key, _))), Some((old, _))) => *old <= key,
            };
            if !old {
                return Some(self.tree.next()?.map(|(key, raw)| (key.to_vec(), raw)).map_err(Fault::from));
            }
            let (key, value) = self.before.next()?;
            self.tree.next_if(|entry| matches!(entry, Ok((present, _)) if **present == **key));
            if let Some(value) = value {
                return Some(Ok((key.to_vec(), value.clone())));
            }
        }
    }
}
