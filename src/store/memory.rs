//! A store in memory, for simulation and tests. Nothing survives the process.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::changes::Changes;
use super::{Operation, Outcome, Page, Revision, Store, StoreError, Transaction, Versioned};

/// A store in memory; durable means "in the map".
#[derive(Debug)]
pub struct MemoryStore {
    map: Mutex<BTreeMap<Vec<u8>, Versioned>>,
    changes: Changes,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self { map: Mutex::new(BTreeMap::new()), changes: Changes::new(Revision(0)) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Versioned>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        Ok(self.lock().get(key).cloned())
    }

    async fn scan(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Page, StoreError> {
        if end.is_some_and(|end| end <= start) {
            return Ok(Page { entries: Vec::new(), next: None });
        }
        let map = self.lock();
        let mut range = map.range::<[u8], _>((Bound::Included(start), end.map_or(Bound::Unbounded, Bound::Excluded)));
        let entries = range.by_ref().take(limit).map(|(key, value)| (key.clone(), value.clone())).collect();
        Ok(Page { entries, next: range.next().map(|(key, _)| key.clone()) })
    }

    async fn commit(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        transaction.check()?;
        let mut map = self.lock();
        if !transaction.compares().iter().all(|compare| compare.holds(map.get(compare.key()).map(|v| v.revision))) {
            return Ok(Outcome::Conflict);
        }
        let (_, operations) = transaction.into_parts();
        if operations.is_empty() {
            return Ok(Outcome::Committed(self.changes.newest()));
        }
        let revision = Revision(self.changes.newest().0.saturating_add(1));
        let mut written = Vec::with_capacity(operations.len());
        for operation in operations {
            written.push((revision, operation.key().to_vec()));
            match operation {
                Operation::Put(key, value) => {
                    map.insert(key, Versioned { value, revision });
                }
                Operation::Delete(key) => {
                    map.remove(&key);
                }
            }
        }
        // Under the lock, so that revisions are published in their order.
        self.changes.publish(written, revision);
        Ok(Outcome::Committed(revision))
    }

    async fn changed(&self, prefix: &[u8], since: Revision) {
        self.changes.wait(prefix, since).await;
    }

    fn revision(&self) -> Revision {
        self.changes.newest()
    }
}
