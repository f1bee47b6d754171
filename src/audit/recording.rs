//! A store that adds an entry to the first transaction that goes through it: for commands whose work is done by several
//! rooms, so that none of them can be forgotten.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::{AuditError, Entry};
use crate::store::{Outcome, Page, Revision, SharedStore, Store, StoreError, Transaction, Versioned};

/// A view of a store for one command.
pub struct Recording {
    inner: SharedStore,
    entry: Entry,
    recorded: AtomicBool,
}

impl Recording {
    /// A view that will record `entry`.
    #[must_use]
    pub const fn new(inner: SharedStore, entry: Entry) -> Self {
        Self { inner, entry, recorded: AtomicBool::new(false) }
    }

    /// Records the entry in a transaction of its own with this outcome, if no transaction has taken it along: the
    /// command was refused, or had nothing to change.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn settle(&self, outcome: &str) -> Result<(), AuditError> {
        if self.recorded.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let mut transaction = Transaction::new();
        self.entry.clone().outcome(outcome).put(&mut transaction)?;
        match self.inner.commit(transaction).await? {
            Outcome::Committed(_) => Ok(()),
            Outcome::Conflict | Outcome::Unknown => Err(AuditError::Busy),
        }
    }
}

#[async_trait]
impl Store for Recording {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        self.inner.get(key).await
    }

    async fn scan(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Page, StoreError> {
        self.inner.scan(start, end, limit).await
    }

    async fn commit(&self, mut transaction: Transaction) -> Result<Outcome, StoreError> {
        let writes = !transaction.operations().is_empty() && transaction.has_room(0, 1);
        let takes = writes && !self.recorded.load(Ordering::SeqCst);
        if takes {
            self.entry.put(&mut transaction)?;
        }
        let outcome = self.inner.commit(transaction).await?;
        if takes && matches!(outcome, Outcome::Committed(_)) {
            self.recorded.store(true, Ordering::SeqCst);
        }
        Ok(outcome)
    }

    async fn changed(&self, prefix: &[u8], since: Revision) {
        self.inner.changed(prefix, since).await;
    }

    fn revision(&self) -> Revision {
        self.inner.revision()
    }
}
