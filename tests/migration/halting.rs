//! A store whose n-th commit never answers: where a process dies, seen from the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use keyferry::store::{Outcome, Page, Revision, SharedStore, Store, StoreError, Transaction, Versioned};
use tokio::sync::Notify;

/// Counts commits over all stores of one world; the chosen one hangs before or after it is written.
#[derive(Default)]
pub struct Halt {
    count: AtomicU64,
    at: AtomicU64,
    after: std::sync::atomic::AtomicBool,
    pub reached: Notify,
}

impl Halt {
    pub fn arm(&self, at: u64, after: bool) {
        self.count.store(0, Ordering::SeqCst);
        self.at.store(at, Ordering::SeqCst);
        self.after.store(after, Ordering::SeqCst);
    }

    pub fn disarm(&self) {
        self.at.store(0, Ordering::SeqCst);
    }
}

pub struct Halting {
    pub inner: SharedStore,
    pub halt: Arc<Halt>,
}

#[async_trait]
impl Store for Halting {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        self.inner.get(key).await
    }

    async fn scan(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Page, StoreError> {
        self.inner.scan(start, end, limit).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        let at = self.halt.at.load(Ordering::SeqCst);
        let mine = at > 0 && self.halt.count.fetch_add(1, Ordering::SeqCst) + 1 == at;
        if mine && !self.halt.after.load(Ordering::SeqCst) {
            self.halt.reached.notify_one();
            std::future::pending::<()>().await;
        }
        let outcome = self.inner.commit(transaction).await;
        if mine {
            self.halt.reached.notify_one();
            std::future::pending::<()>().await;
        }
        outcome
    }

    async fn changed(&self, prefix: &[u8], since: Revision) {
        self.inner.changed(prefix, since).await;
    }

    fn revision(&self) -> Revision {
        self.inner.revision()
    }
}
