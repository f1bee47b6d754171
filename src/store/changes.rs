//! Who waits for a change, and what changed lately: the part of `Store::changed` that all engines share.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::Revision;

/// The newest durable revision, and the keys of the latest writes.
#[derive(Debug)]
pub(super) struct Changes {
    newest: watch::Sender<Revision>,
    recent: Mutex<Recent>,
}

impl Changes {
    /// Nothing is known about writes up to `newest`.
    pub(super) fn new(newest: Revision) -> Self {
        Self {
            newest: watch::Sender::new(newest),
            recent: Mutex::new(Recent { forgotten: newest, writes: VecDeque::new() }),
        }
    }

    /// The newest published revision.
    pub(super) fn newest(&self) -> Revision {
        *self.newest.borrow()
    }

    /// Publishes durable writes, in the order of their revisions, once readers can see them.
    pub(super) fn publish(&self, writes: impl IntoIterator<Item = (Revision, Vec<u8>)>, newest: Revision) {
        {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.writes.extend(writes);
            while recent.writes.len() > REMEMBERED {
                if let Some((revision, _)) = recent.writes.pop_front() {
                    recent.forgotten = revision;
                }
            }
        }
        self.newest.send_replace(newest);
    }

    /// Waits until a key under `prefix` was, or may have been, written after `since`.
    pub(super) async fn wait(&self, prefix: &[u8], mut since: Revision) {
        let mut newest = self.newest.subscribe();
        loop {
            let seen = *newest.borrow_and_update();
            if seen > since && self.touched(prefix, since) {
                return;
            }
            since = since.max(seen);
            if newest.changed().await.is_err() {
                return;
            }
        }
    }

    fn touched(&self, prefix: &[u8], since: Revision) -> bool {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        since < recent.forgotten
            || recent
                .writes
                .iter()
                .rev()
                .take_while(|(revision, _)| *revision > since)
                .any(|(_, key)| key.starts_with(prefix))
    }
}

/// Keys remembered, so that a watcher of one prefix does not wake for every commit elsewhere.
const REMEMBERED: usize = 4096;

#[derive(Debug)]
struct Recent {
    /// Writes up to this revision may be missing below.
    forgotten: Revision,
    writes: VecDeque<(Revision, Vec<u8>)>,
}
