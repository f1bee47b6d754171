//! The one thread that writes: gathers what waits, so that many commits share one sync, and answers when it is done.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use ::sled::{Batch, IVec};
use tokio::sync::{mpsc, oneshot, watch};

use super::durability::Durability;
use super::fault::Fault;
use super::tally::Tally;
use super::view::{Before, COUNTER, View, encode, revision_of};
use super::watermark::Watermark;
use crate::observe::failpoint::{Failpoint, around_blocking};
use crate::observe::metrics::METRICS;
use crate::observe::{Event, Fields, emit};
use crate::store::changes::Changes;
use crate::store::{Operation, Outcome, Revision, StoreError, Transaction};

/// Transactions that may wait before `commit` itself waits.
pub(super) const QUEUE: usize = 1024;

/// A transaction (within the limits) and who waits for it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) transaction: Transaction,
    pub(super) answer: oneshot::Sender<Result<Outcome, StoreError>>,
}

/// The writer of a database.
#[derive(Debug)]
pub(super) struct Committer {
    directory: PathBuf,
    view: Arc<View>,
    changes: Arc<Changes>,
    durability: Durability,
    watermark: Watermark,
    /// Of the tree as it is once all that was taken is applied.
    tally: Tally,
    /// The newest revision given out, durable or not.
    newest: Revision,
    /// Why no write is taken any more. A sync that failed once is never tried again: the kernel may have dropped the pages
    /// that it could not write, and a second sync would then succeed without them.
    refused: watch::Sender<Option<String>>,
}

impl Committer {
    pub(super) fn new(
        directory: &Path,
        view: Arc<View>,
        changes: Arc<Changes>,
        durability: Durability,
        watermark: Watermark,
        tally: Tally,
        refused: watch::Sender<Option<String>>,
    ) -> Self {
        let newest = changes.newest();
        let directory = directory.to_owned();
        Self { directory, view, changes, durability, watermark, tally, newest, refused }
    }

    /// Runs until every sender is gone and all they sent is answered.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let mut group = Group::default();
            self.take(&mut group, first);
            while group.bytes < GROUP_BYTES
                && let Ok(next) = requests.try_recv()
            {
                self.take(&mut group, next);
            }
            self.settle(group);
        }
    }

    fn take(&mut self, group: &mut Group, request: Request) {
        let refused = self.refused.borrow().clone();
        if let Some(reason) = refused {
            answer(request.answer, Err(StoreError::Unavailable(reason)));
            return;
        }
        match self.judge(group, &request.transaction) {
            // A read can make sled write a page; what failed then, fails from now on.
            Err(fault) if !fault.damaged => {
                let reason = self.refuse(&fault);
                answer(request.answer, Err(StoreError::Unavailable(reason)));
            }
            Err(fault) => answer(request.answer, Err(StoreError::Unavailable(fault.detail))),
            Ok(Verdict::Conflict) => answer(request.answer, Ok(Outcome::Conflict)),
            Ok(Verdict::ConflictInGroup) => group.waiting.push((request.answer, Outcome::Conflict)),
            Ok(Verdict::Holds(before)) => {
                let revision = self.add(group, before, request.transaction);
                group.waiting.push((request.answer, Outcome::Committed(revision)));
            }
        }
    }

    /// Checks the compares; if they hold, also reads what the writes will replace, so that nothing can fail later.
    fn judge(&self, group: &Group, transaction: &Transaction) -> Result<Verdict, Fault> {
        let mut conflict = None;
        // Most writes are to keys that are compared: one look serves both.
        let mut seen: BTreeMap<&[u8], Option<IVec>> = BTreeMap::new();
        for compare in transaction.compares() {
            let (found, in_group) = match group.written.get(compare.key()) {
                Some(found) => (found.as_deref().map(revision_of).transpose()?, true),
                None => {
                    let raw = self.view.raw(compare.key())?;
                    let found = raw.as_deref().map(revision_of).transpose()?;
                    seen.insert(compare.key(), raw);
                    (found, false)
                }
            };
            if !compare.holds(found) {
                if !in_group {
                    return Ok(Verdict::Conflict);
                }
                conflict = Some(Verdict::ConflictInGroup);
            }
        }
        if let Some(conflict) = conflict {
            return Ok(conflict);
        }
        let mut before = Before::new();
        for operation in transaction.operations() {
            if !group.before.contains_key(operation.key()) {
                let raw = match seen.remove(operation.key()) {
                    Some(raw) => raw,
                    None => self.view.raw(operation.key())?,
                };
                before.insert(IVec::from(operation.key()), raw);
            }
        }
        Ok(Verdict::Holds(before))
    }

    fn add(&mut self, group: &mut Group, before: Before, transaction: Transaction) -> Revision {
        let (_, operations) = transaction.into_parts();
        if operations.is_empty() {
            return self.newest;
        }
        self.newest = Revision(self.newest.0.saturating_add(1));
        group.before.extend(before);
        for operation in operations {
            let (key, raw) = match operation {
                Operation::Put(key, value) => (key, Some(IVec::from(encode(self.newest, &value)))),
                Operation::Delete(key) => (key, None),
            };
            // The key that `judge` copied serves the batch and both maps.
            let replaced = group.before.get_key_value(key.as_slice());
            let shared = replaced.map_or_else(|| IVec::from(key.as_slice()), |(shared, _)| shared.clone());
            let old = group.written.get(&shared).or(replaced.map(|(_, old)| old));
            if let Some(Some(old)) = old {
                self.tally.remove(&key, old);
            }
            group.bytes = group.bytes.saturating_add(key.len());
            match &raw {
                Some(raw) => {
                    self.tally.add(&key, raw);
                    group.bytes = group.bytes.saturating_add(raw.len());
                    group.batch.insert(shared.clone(), raw.clone());
                }
                None => group.batch.remove(shared.clone()),
            }
            group.written.insert(shared, raw);
            group.changed.push((self.newest, key));
        }
        self.newest
    }

    fn settle(&mut self, mut group: Group) {
        if !group.written.is_empty() {
            group.batch.insert(COUNTER, encode(self.newest, &self.tally.to_bytes()));
            let begun = Instant::now();
            let persisted = self.persist(group.before, group.batch);
            METRICS.store_sync.observe(begun.elapsed());
            if let Err(fault) = persisted {
                self.refuse(&fault);
                for (waiting, _) in group.waiting {
                    answer(waiting, Ok(Outcome::Unknown));
                }
                return;
            }
            self.view.reveal();
            self.changes.publish(group.changed, self.newest);
        }
        for (waiting, outcome) in group.waiting {
            answer(waiting, Ok(outcome));
        }
    }

    fn refuse(&self, fault: &Fault) -> String {
        let reason = format!(
            "{}: a write could not be made durable ({}); restart once the disk is well; no write is taken until then",
            self.directory.display(),
            fault.detail
        );
        emit(Event::StoreDegraded, &Fields::new(), &reason);
        self.refused.send_replace(Some(reason.clone()));
        reason
    }

    fn persist(&mut self, before: Before, batch: Batch) -> Result<(), Fault> {
        let write = || {
            self.view.apply(before, batch)?;
            self.view.flush()
        };
        around_blocking(Failpoint::StoreWrite, write, Fault::from)?;
        // All blobs that the flushed log names were written before the flush.
        let blobs = self.view.alone(|| self.durability.new_blobs())?;
        let sync = || {
            self.durability.sync(blobs)?;
            Ok(self.watermark.raise(self.newest)?)
        };
        around_blocking(Failpoint::StoreSync, sync, Fault::from)
    }
}

/// Bytes after which a group takes no more; a group pins sled's log in memory.
const GROUP_BYTES: usize = 2 * 1024 * 1024;

enum Verdict {
    Holds(Before),
    /// Against durable state.
    Conflict,
    /// Against a write of the same group: no answer before that is durable.
    ConflictInGroup,
}

/// Transactions that become durable together.
#[derive(Default)]
struct Group {
    batch: Batch,
    before: Before,
    /// What each key written by the group holds after it.
    written: BTreeMap<IVec, Option<IVec>>,
    changed: Vec<(Revision, Vec<u8>)>,
    waiting: Vec<(oneshot::Sender<Result<Outcome, StoreError>>, Outcome)>,
    bytes: usize,
}

fn answer(waiting: oneshot::Sender<Result<Outcome, StoreError>>, result: Result<Outcome, StoreError>) {
    // The caller may have gone away; its transaction stands all the same.
    let _ = waiting.send(result);
}
