//! A store whose n-th commit does not go as it should: where a process dies, hangs or sees an error.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use keyferry::store::{Outcome, Page, Revision, SharedStore, Store, StoreError, Transaction, Versioned};
use tokio::sync::{Notify, watch};

/// What the chosen commit does.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[allow(dead_code, reason = "each user needs some of them")]
pub enum Trouble {
    /// It never answers, as if the process had died before or after it.
    #[default]
    Die,
    /// It fails: nothing is written, or (after) nobody knows.
    Fail,
    /// It hangs, and every later one with it, until [`Halt::thaw`].
    Freeze,
}

/// Counts commits over all stores of one world; the chosen one meets its trouble before or after it is written.
#[derive(Default)]
pub struct Halt {
    count: AtomicU64,
    at: AtomicU64,
    after: std::sync::atomic::AtomicBool,
    trouble: Mutex<Trouble>,
    frozen: watch::Sender<bool>,
    pub reached: Notify,
}

impl Halt {
    pub fn arm(&self, at: u64, after: bool) {
        self.arm_with(at, after, Trouble::Die);
    }

    pub fn arm_with(&self, at: u64, after: bool, trouble: Trouble) {
        *self.trouble.lock().unwrap() = trouble;
        self.count.store(0, Ordering::SeqCst);
        self.at.store(at, Ordering::SeqCst);
        self.after.store(after, Ordering::SeqCst);
    }

    pub fn disarm(&self) {
        self.at.store(0, Ordering::SeqCst);
    }

    /// True when the chosen commit has come.
    #[allow(dead_code, reason = "for the tests of single steps")]
    pub fn came(&self) -> bool {
        self.count.load(Ordering::SeqCst) >= self.at.load(Ordering::SeqCst)
    }

    /// Every commit from now on hangs.
    pub fn freeze(&self) {
        self.frozen.send_replace(true);
    }

    pub fn thaw(&self) {
        self.frozen.send_replace(false);
    }

    async fn trouble(&self) -> bool {
        let trouble = *self.trouble.lock().unwrap();
        self.reached.notify_one();
        match trouble {
            Trouble::Die => std::future::pending().await,
            Trouble::Fail => true,
            Trouble::Freeze => {
                self.frozen.send_replace(true);
                self.while_frozen().await;
                false
            }
        }
    }

    async fn while_frozen(&self) {
        self.frozen.subscribe().wait_for(|frozen| !*frozen).await.unwrap();
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
        let after = self.halt.after.load(Ordering::SeqCst);
        self.halt.while_frozen().await;
        if mine && !after && self.halt.trouble().await {
            return Err(StoreError::Unavailable("a rehearsed failure".to_owned()));
        }
        let outcome = self.inner.commit(transaction).await;
        if mine && after && self.halt.trouble().await {
            return Ok(Outcome::Unknown);
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
