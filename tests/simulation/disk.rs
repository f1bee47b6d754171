//! A store as a process sees it: slow, sometimes failing, sometimes the place where the process dies.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use keyferry::store::{Operation, Outcome, Page, Revision, SharedStore, Store, StoreError, Transaction, Versioned};
use tokio::sync::watch;

use crate::chance::Chance;

/// What happens to the disks of a story.
pub(crate) struct Weather {
    pub(crate) chance: Arc<Chance>,
    /// Whether anything goes wrong at all.
    pub(crate) stormy: AtomicBool,
    /// In ten thousand calls.
    pub(crate) rate: u64,
    /// Every commit of the story, for comparison with another telling of it.
    pub(crate) trace: Mutex<DefaultHasher>,
    pub(crate) commits: AtomicU64,
}

impl Weather {
    fn hits(&self) -> bool {
        self.stormy.load(Ordering::SeqCst) && self.chance.hits(self.rate)
    }

    async fn pass(&self) {
        if self.stormy.load(Ordering::SeqCst) && self.chance.hits(2_000) {
            tokio::time::sleep(self.chance.millis(20)).await;
        }
    }
}

/// A process lives until its first mishap of that kind.
#[derive(Default)]
pub(crate) struct Life {
    dead: watch::Sender<bool>,
}

impl Life {
    pub(crate) fn end(&self) {
        self.dead.send_replace(true);
    }

    pub(crate) fn is_over(&self) -> bool {
        *self.dead.borrow()
    }

    pub(crate) async fn ended(&self) {
        // The sender is ours.
        let _ = self.dead.subscribe().wait_for(|dead| *dead).await;
    }

    /// The dead do nothing any more.
    async fn go_on(&self) {
        if *self.dead.borrow() {
            std::future::pending::<()>().await;
        }
    }
}

pub(crate) struct Disk {
    pub(crate) inner: SharedStore,
    pub(crate) weather: Arc<Weather>,
    pub(crate) life: Arc<Life>,
}

impl Disk {
    async fn reach(&self) -> Result<(), StoreError> {
        self.weather.pass().await;
        self.life.go_on().await;
        if self.weather.hits() {
            return Err(StoreError::Unavailable("simulated: it cannot be read".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Disk {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        self.reach().await?;
        self.inner.get(key).await
    }

    async fn scan(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Page, StoreError> {
        self.reach().await?;
        self.inner.scan(start, end, limit).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        self.weather.pass().await;
        self.life.go_on().await;
        let mishap = if self.weather.hits() { Some(self.weather.chance.below(5)) } else { None };
        match mishap {
            Some(0) => return Err(StoreError::Unavailable("simulated: it cannot be written".to_owned())),
            Some(1) => return Ok(Outcome::Unknown),
            Some(2) => {
                self.life.end();
                self.life.go_on().await;
            }
            _ => {}
        }
        {
            let mut trace = self.weather.trace.lock().unwrap();
            // Entries of the audit trail are filed under random names until they are chained.
            let told = transaction.operations().iter().map(Operation::key).filter(|key| !key.starts_with(b"a/new/"));
            told.for_each(|key| key.hash(&mut *trace));
            trace.write_u64(self.weather.commits.fetch_add(1, Ordering::SeqCst));
        }
        let outcome = self.inner.commit(transaction).await;
        match mishap {
            Some(3) => Ok(Outcome::Unknown),
            Some(4) => {
                self.life.end();
                self.life.go_on().await;
                outcome
            }
            _ => outcome,
        }
    }

    async fn changed(&self, prefix: &[u8], since: Revision) {
        self.inner.changed(prefix, since).await;
    }

    fn revision(&self) -> Revision {
        self.inner.revision()
    }
}
