//! A part of a store that looks like a whole one: a shared keystore in the control store's engine.

use async_trait::async_trait;

use super::{
    Compare, Operation, Outcome, Page, Revision, SharedStore, Store, StoreError, Transaction, Versioned, prefix_end,
};

/// All keys of `inner` that begin with a prefix, without it.
///
/// The prefix counts towards the byte limit of a transaction. Nobody else may write under the prefix, and no other
/// prefix may begin with it.
pub struct Prefixed {
    inner: SharedStore,
    prefix: Vec<u8>,
}

impl Prefixed {
    /// The part of `inner` under `prefix`.
    #[must_use]
    pub fn new(inner: SharedStore, prefix: impl Into<Vec<u8>>) -> Self {
        Self { inner, prefix: prefix.into() }
    }

    fn full(&self, key: &[u8]) -> Vec<u8> {
        [self.prefix.as_slice(), key].concat()
    }

    fn own(&self, key: Vec<u8>) -> Vec<u8> {
        key.strip_prefix(self.prefix.as_slice()).map(<[u8]>::to_vec).unwrap_or(key)
    }
}

#[async_trait]
impl Store for Prefixed {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        self.inner.get(&self.full(key)).await
    }

    async fn scan(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Page, StoreError> {
        let end = end.map_or_else(|| prefix_end(&self.prefix), |end| Some(self.full(end)));
        let page = self.inner.scan(&self.full(start), end.as_deref(), limit).await?;
        Ok(Page {
            entries: page.entries.into_iter().map(|(key, value)| (self.own(key), value)).collect(),
            next: page.next.map(|key| self.own(key)),
        })
    }

    async fn commit(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        transaction.check()?;
        let (compares, operations) = transaction.into_parts();
        let mut full = Transaction::new();
        for compare in compares {
            full.compare(match compare {
                Compare::Absent(key) => Compare::Absent(self.full(&key)),
                Compare::Present(key) => Compare::Present(self.full(&key)),
                Compare::Revision(key, revision) => Compare::Revision(self.full(&key), revision),
            });
        }
        for operation in operations {
            match operation {
                Operation::Put(key, value) => full.put(self.full(&key), value),
                Operation::Delete(key) => full.delete(self.full(&key)),
            };
        }
        self.inner.commit(full).await
    }

    async fn changed(&self, prefix: &[u8], since: Revision) {
        self.inner.changed(&self.full(prefix), since).await;
    }

    fn revision(&self) -> Revision {
        self.inner.revision()
    }
}
