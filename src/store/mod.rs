//! One ordered space of byte strings, with etcd's shape: guarded transactions are the only write, reads are
//! linearizable and see only durable commits.
//!
//! Engines: [`sled`] (embedded default) and [`memory`] (simulation and tests); [`prefixed`] makes a part of a store look
//! like a whole one, [`gate`] holds writes back. Every engine passes the suite in `tests/store_conformance`.

mod changes;
mod error;
pub mod gate;
pub mod memory;
pub mod prefixed;
mod record;
pub mod sled;
mod transaction;

use std::sync::Arc;

use async_trait::async_trait;

pub use error::StoreError;
pub use record::{Record, Stored, decode, get_record, scan_records};
pub use transaction::{
    Compare, MAX_COMPARES, MAX_OPERATIONS, MAX_TRANSACTION_BYTES, MAX_VALUE_BYTES, Operation, Transaction,
};

/// The commit that wrote a value. Grows with every commit of the store; never used twice, also not across restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

/// A value and the revision that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The value.
    pub value: Vec<u8>,
    /// The commit that wrote it.
    pub revision: Revision,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// All of it is durable.
    Committed(Revision),
    /// A compare did not hold; nothing was written.
    Conflict,
    /// It may or may not have been written: read again before retrying.
    Unknown,
}

/// One page of a scan: atomic in itself, not with other pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Keys in ascending order.
    pub entries: Vec<(Vec<u8>, Versioned)>,
    /// Where the next page starts; `None` at the end of the range.
    pub next: Option<Vec<u8>>,
}

/// A store.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The value under a key.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError>;

    /// At most `limit` entries with `start <= key < end`, ascending; `end` `None` means to the end of the space.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn scan(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Page, StoreError>;

    /// Commits if every compare holds. Returns only when the commit survives `kill -9` and power loss.
    ///
    /// # Errors
    /// When the transaction breaks a limit, or the store refuses writes (nothing was written in both cases).
    async fn commit(&self, transaction: Transaction) -> Result<Outcome, StoreError>;

    /// Waits until something under `prefix` may have changed at or after `since` (exclusive). A hint: it may wake
    /// without a change, and is never a basis for correctness.
    async fn changed(&self, prefix: &[u8], since: Revision);

    /// The newest durable revision.
    fn revision(&self) -> Revision;
}

/// A store shared by its users.
pub type SharedStore = Arc<dyn Store>;

/// The first key after all keys with this prefix; `None` when there is none.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last.saturating_add(1));
            return Some(end);
        }
    }
    None
}
