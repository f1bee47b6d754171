//! A store in memory whose disk can be bad: read-only, full, or forgetting what it had acknowledged.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use keyferry::store::{Operation, Outcome, Page, Revision, Store, StoreError, Transaction, Versioned};

type Map = BTreeMap<Vec<u8>, Versioned>;

#[derive(Default)]
pub struct Rewinding {
    disk: Mutex<Disk>,
}

#[derive(Default)]
struct Disk {
    map: Map,
    revision: u64,
    /// Commits that are still taken; `None`: any number.
    room: Option<u64>,
    kept: Option<Map>,
    lost: Option<Map>,
}

impl Rewinding {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    /// After so many more commits the disk is full (0: read-only from now on).
    pub fn fill_up(&self, room: u64) {
        self.disk().room = Some(room);
    }

    /// There is room again.
    pub fn heal(&self) {
        self.disk().room = None;
    }

    /// Remembers what is there.
    pub fn keep(&self) {
        let mut disk = self.disk();
        disk.kept = Some(disk.map.clone());
    }

    /// Loses everything since it was kept. Nothing kept: nothing.
    pub fn lose(&self) {
        let disk = &mut *self.disk();
        if let Some(kept) = disk.kept.take() {
            disk.lost = Some(std::mem::replace(&mut disk.map, kept));
        }
    }

    /// What was lost is there again, as somebody restores it: in the place of what there is.
    pub fn bring_back(&self) {
        let disk = &mut *self.disk();
        if let Some(lost) = disk.lost.take() {
            disk.map = lost;
        }
    }

    /// Everything there is.
    pub fn all(&self) -> Map {
        self.disk().map.clone()
    }
}

#[async_trait]
impl Store for Rewinding {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        Ok(self.disk().map.get(key).cloned())
    }

    async fn scan(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Page, StoreError> {
        let disk = self.disk();
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let mut range = disk.map.range::<[u8], _>((Bound::Included(start), end));
        let entries = range.by_ref().take(limit).map(|(key, value)| (key.clone(), value.clone())).collect();
        Ok(Page { entries, next: range.next().map(|(key, _)| key.clone()) })
    }

    async fn commit(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        let disk = &mut *self.disk();
        match disk.room.as_mut() {
            Some(0) => return Err(StoreError::Unavailable("no space left on device".to_owned())),
            Some(room) => *room -= 1,
            None => {}
        }
        let holds = |key: &[u8]| disk.map.get(key).map(|found| found.revision);
        if !transaction.compares().iter().all(|compare| compare.holds(holds(compare.key()))) {
            return Ok(Outcome::Conflict);
        }
        disk.revision += 1;
        let revision = Revision(disk.revision);
        for operation in transaction.into_parts().1 {
            match operation {
                Operation::Put(key, value) => drop(disk.map.insert(key, Versioned { value, revision })),
                Operation::Delete(key) => drop(disk.map.remove(&key)),
            }
        }
        Ok(Outcome::Committed(revision))
    }

    /// A hint; nobody waits for an instance's store.
    async fn changed(&self, _prefix: &[u8], _since: Revision) {
        std::future::pending().await
    }

    fn revision(&self) -> Revision {
        Revision(self.disk().revision)
    }
}
