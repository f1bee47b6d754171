//! Chaining: entries that transactions have put go behind the head, in the order of their revisions.
//!
//! A chained entry under its place is the link (32 bytes), the revision that put it (8 bytes, big-endian) and the bytes
//! that were put. `link = SHA-256(tag ‖ link before ‖ place ‖ revision ‖ bytes)`; nothing is of variable length but what
//! comes last. All links of a transaction and the head they lead to are written together, guarded by the head's revision.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{AuditError, Head, Trail, paths};
use crate::crypto::base64_bytes;
use crate::store::{
    MAX_OPERATIONS, Outcome, Record, Revision, SharedStore, StoreError, Transaction, Versioned, get_record, prefix_end,
};

/// A link of the chain.
pub(super) type Link = [u8; 32];

/// The head of the chain as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeadRecord {
    /// The place of the newest entry; 0 for an empty trail.
    pub(super) place: u64,
    #[serde(with = "base64_bytes")]
    pub(super) link: Link,
}

impl Record for HeadRecord {
    const KIND: &'static str = "audit head";
    const SCHEMA: u16 = 1;
}

/// What the first entry links to.
pub(super) fn genesis() -> Link {
    Sha256::digest(b"keyferry audit genesis v1").into()
}

/// The link of an entry.
pub(super) fn link(before: &Link, place: u64, revision: u64, bytes: &[u8]) -> Link {
    let mut hash = Sha256::new();
    hash.update(b"keyferry audit entry v1");
    hash.update(before);
    hash.update(place.to_be_bytes());
    hash.update(revision.to_be_bytes());
    hash.update(bytes);
    hash.finalize().into()
}

/// A chained entry taken apart: link, revision and bytes.
pub(super) fn parts(value: &[u8]) -> Option<(Link, u64, &[u8])> {
    let (link, rest) = value.split_first_chunk::<32>()?;
    let (revision, bytes) = rest.split_first_chunk::<8>()?;
    Some((*link, u64::from_be_bytes(*revision), bytes))
}

impl Trail {
    /// Chains what transactions have put so far; answers how many entries. One chainer at a time.
    ///
    /// # Errors
    /// [`AuditError::Busy`] when another process chains; when the store refuses.
    pub async fn chain(&self) -> Result<usize, AuditError> {
        let _alone = self.writing.lock().await;
        self.chain_alone().await
    }

    /// As [`Trail::chain`], by whoever holds the right to write.
    pub(super) async fn chain_alone(&self) -> Result<usize, AuditError> {
        let mut waiting = pending(&self.store).await?;
        // Entries of one transaction share its revision.
        waiting.sort_by(|(_, a), (_, b)| (a.revision, &a.value).cmp(&(b.revision, &b.value)));
        let mut chained: usize = 0;
        for batch in waiting.chunks(BATCH) {
            self.chain_batch(batch).await?;
            chained = chained.saturating_add(batch.len());
        }
        Ok(chained)
    }

    /// Waits until entries may be waiting that were put after `since`.
    pub async fn put_since(&self, since: Revision) {
        self.store.changed(paths::PENDING, since).await;
    }

    /// The newest revision: what [`Trail::put_since`] may wait from once everything before is chained.
    #[must_use]
    pub fn now_at(&self) -> Revision {
        self.store.revision()
    }

    /// The head of the chain.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn head(&self) -> Result<Head, AuditError> {
        let stored = get_record::<HeadRecord>(self.store.as_ref(), paths::HEAD).await?;
        Ok(stored.map_or_else(Head::genesis, |head| Head { place: head.place, link: head.link }))
    }

    async fn chain_batch(&self, batch: &[(Vec<u8>, Versioned)]) -> Result<(), AuditError> {
        let stored = get_record::<HeadRecord>(self.store.as_ref(), paths::HEAD).await?;
        let mut head = stored.as_ref().map_or_else(|| HeadRecord { place: 0, link: genesis() }, |head| **head);
        let mut transaction = Transaction::new();
        for (key, entry) in batch {
            head.place = head.place.saturating_add(1);
            head.link = link(&head.link, head.place, entry.revision.0, &entry.value);
            let value = [head.link.as_slice(), &entry.revision.0.to_be_bytes(), &entry.value].concat();
            transaction.put(paths::link(head.place), value);
            transaction.delete(key.clone());
        }
        match stored {
            Some(mut stored) => {
                *stored = head;
                transaction.replace(paths::HEAD, &stored)?;
            }
            None => {
                transaction.create(paths::HEAD, &head)?;
            }
        }
        match self.store.commit(transaction).await? {
            Outcome::Committed(_) => Ok(()),
            // The next round reads again what was written and what waits.
            Outcome::Conflict | Outcome::Unknown => Err(AuditError::Busy),
        }
    }
}

/// Two writes an entry, and one for the head. A value holds 40 bytes more than was put, which [`super::Entry`] leaves free.
const BATCH: usize = (MAX_OPERATIONS - 1) / 2;
const PAGE: usize = 512;

/// What is put and not chained. Nothing newer than what was durable when it began, so that no older entry comes late.
pub(super) async fn pending(store: &SharedStore) -> Result<Vec<(Vec<u8>, Versioned)>, StoreError> {
    let newest = store.revision();
    let mut found = scan(store, paths::PENDING).await?;
    found.retain(|(_, entry)| entry.revision <= newest);
    Ok(found)
}

/// Everything under a prefix.
pub(super) async fn scan(store: &SharedStore, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Versioned)>, StoreError> {
    let end = prefix_end(prefix);
    let (mut found, mut start) = (Vec::new(), prefix.to_vec());
    loop {
        let page = store.scan(&start, end.as_deref(), PAGE).await?;
        found.extend(page.entries);
        match page.next {
            Some(next) => start = next,
            None => return Ok(found),
        }
    }
}
