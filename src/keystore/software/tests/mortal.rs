//! Faults: a process that dies at a chosen write.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;

use super::super::slots::{SlotError, SlotName, Slots};
use super::*;
use crate::store::{Page, Revision, Store, Versioned};

/// Store and slots of a process that dies at a chosen call, before or after the call had its effect.
#[derive(Default)]
pub(super) struct Death {
    at: AtomicU64,
    after: AtomicBool,
    calls: AtomicU64,
    dead: AtomicBool,
}

impl Death {
    pub(super) fn arm(&self, at: u64, after: bool) {
        self.at.store(at, Ordering::SeqCst);
        self.after.store(after, Ordering::SeqCst);
        self.calls.store(0, Ordering::SeqCst);
        self.dead.store(false, Ordering::SeqCst);
    }

    /// Whether the process has died.
    pub(super) fn struck(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Whether the call takes effect, and whether it answers.
    fn strike(&self) -> (bool, bool) {
        if self.dead.load(Ordering::SeqCst) {
            return (false, false);
        }
        if self.calls.fetch_add(1, Ordering::SeqCst) + 1 == self.at.load(Ordering::SeqCst) {
            self.dead.store(true, Ordering::SeqCst);
            return (self.after.load(Ordering::SeqCst), false);
        }
        (true, true)
    }
}

pub(super) struct Mortal<T: ?Sized>(pub(super) Arc<Death>, pub(super) Arc<T>);

#[async_trait]
impl Store for Mortal<dyn Store> {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        self.1.get(key).await
    }

    async fn scan(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Page, StoreError> {
        self.1.scan(start, end, limit).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        let (acts, answers) = self.0.strike();
        let outcome = if acts { self.1.commit(transaction).await? } else { Outcome::Unknown };
        if answers { Ok(outcome) } else { Err(StoreError::Unavailable("dead".to_owned())) }
    }

    async fn changed(&self, prefix: &[u8], since: Revision) {
        self.1.changed(prefix, since).await;
    }

    fn revision(&self) -> Revision {
        self.1.revision()
    }
}

impl Mortal<MemorySlots> {
    fn answer(name: &SlotName, answers: bool) -> Result<(), SlotError> {
        let dead = || SlotError::Medium { name: name.clone(), source: std::io::Error::other("dead") };
        if answers { Ok(()) } else { Err(dead()) }
    }
}

#[async_trait]
impl Slots for Mortal<MemorySlots> {
    async fn create(&self, name: &SlotName, content: &[u8]) -> Result<(), SlotError> {
        let (acts, answers) = self.0.strike();
        // A file that dies on the way is there in part.
        let part = if acts && !answers { content.split_at(20).0 } else { content };
        if acts {
            self.1.create(name, part).await?;
        }
        Self::answer(name, answers)
    }

    async fn read(&self, name: &SlotName) -> Result<Option<Vec<u8>>, SlotError> {
        self.1.read(name).await
    }

    async fn replace(&self, name: &SlotName, content: &[u8]) -> Result<(), SlotError> {
        let (acts, answers) = self.0.strike();
        if acts {
            self.1.replace(name, content).await?;
        }
        Self::answer(name, answers)
    }

    async fn shred(&self, name: &SlotName) -> Result<(), SlotError> {
        let (acts, answers) = self.0.strike();
        if acts {
            self.1.shred(name).await?;
        }
        Self::answer(name, answers)
    }
}
