//! The rotators that are configured, and what this process remembers of rotations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jiff::Timestamp;
use tokio::sync::{Notify, OwnedMutexGuard};

use crate::catalogue::DueEntry;
use crate::model::{Scope, SecretName, SecretRecord};
use crate::rotator::Serving;

type Turn = Arc<tokio::sync::Mutex<()>>;

/// All rotators, in the order of the file. They change on reload.
#[derive(Default)]
pub struct Rotators {
    table: RwLock<Vec<Serving>>,
    turns: Mutex<HashMap<(Scope, SecretName), Turn>>,
    quiet: Mutex<HashMap<DueEntry, Timestamp>>,
    begun: Notify,
}

impl Rotators {
    /// Replaces them. What nobody served before is looked at again.
    pub fn replace(&self, table: Vec<Serving>) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table;
        self.quiet.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The rotator that serves a secret.
    #[must_use]
    pub fn of(&self, secret: &SecretRecord) -> Option<Serving> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.iter().find(|serving| serving.rule.serves(secret)).cloned()
    }

    /// Waits for a rotation that has begun.
    pub async fn begun(&self) {
        self.begun.notified().await;
    }

    pub(super) fn wake(&self) {
        self.begun.notify_one();
    }

    /// One at a time works on a secret's rotation.
    pub(super) async fn turn(&self, scope: &Scope, secret: &SecretName) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that nobody holds or waits for.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry((scope.clone(), secret.clone())).or_default())
        };
        turn.lock_owned().await
    }

    /// Whether nothing is to be done about an entry now, because nobody serves it or it has just failed.
    pub(super) fn is_quiet(&self, entry: &DueEntry, now: Timestamp) -> bool {
        let quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        quiet.get(entry).is_some_and(|until| now < *until)
    }

    /// Leaves an entry alone until then.
    pub(super) fn keep_quiet(&self, entry: &DueEntry, until: Timestamp) {
        self.quiet.lock().unwrap_or_else(PoisonError::into_inner).insert(entry.clone(), until);
    }
}
