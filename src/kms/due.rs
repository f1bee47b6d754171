//! What falls due by itself: deletions, expiries, rotations. Nothing of it happens in a locked scope: it waits for the
//! unlock (design §6, step 4).

use jiff::Timestamp;

use super::clock_watch::Look;
use super::{KmsError, Service};
use crate::catalogue::{CatalogueError, DueEntry};
use crate::model::ResourceId;

/// Entries read at a time.
const PAGE: usize = 200;

/// What a round of [`Service::run_due`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DueReport {
    /// Keys that got a new version.
    pub rotated: usize,
    /// Keys destroyed.
    pub deleted_keys: usize,
    /// Keys whose imported material has expired.
    pub expired: usize,
    /// Secrets destroyed.
    pub deleted_secrets: usize,
    /// Rotations of secrets that have begun.
    pub begun: usize,
    /// Managed secrets that are due and have no rotator: they keep their value.
    pub unserved: usize,
    /// Things that wait for the end of a migration.
    pub waiting: usize,
    /// Things that failed and are tried again in the next round.
    pub failed: usize,
}

/// What became of one due entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Rotated,
    DeletedKey,
    Expired,
    DeletedSecret,
    Begun,
    Unserved,
    /// The entry no longer agrees with its resource.
    Nothing,
    /// A migration holds it back.
    Waiting,
}

impl Service {
    /// Does what has fallen due by `now`, earliest first. To be called every second or so, and after an unlock; one
    /// round at a time.
    ///
    /// # Errors
    /// When the list of due entries cannot be read; what fails with one entry is counted, logged and tried again.
    pub async fn run_due(&self, now: Timestamp) -> Result<DueReport, KmsError> {
        self.run_due_within(Look { now, destroy_until: now }).await
    }

    /// As [`Service::run_due`], but destroys and expires only what the look at the clock allows; the rest waits.
    ///
    /// # Errors
    /// As [`Service::run_due`].
    pub async fn run_due_within(&self, look: Look) -> Result<DueReport, KmsError> {
        let now = look.now;
        let mut report = DueReport::default();
        let mut last: Option<DueEntry> = None;
        loop {
            let page = self.catalogue.due(now, last.as_ref(), PAGE).await?;
            for entry in &page {
                let done = match &entry.resource {
                    ResourceId::Key(id) => self.due_key(entry, id, look).await,
                    ResourceId::Secret(name) => self.due_secret(entry, name, look).await,
                };
                report.count(entry, done);
            }
            match page.into_iter().next_back() {
                Some(entry) => last = Some(entry),
                None => return Ok(report),
            }
        }
    }

    /// Whether a migration closes the entry's scope.
    pub(super) async fn closed(&self, entry: &DueEntry) -> Result<bool, KmsError> {
        match self.catalogue.guard(&entry.scope).await {
            Ok(_) => Ok(false),
            Err(CatalogueError::Refused(_)) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

impl DueReport {
    fn count(&mut self, entry: &DueEntry, done: Result<Done, KmsError>) {
        let counter = match done {
            Ok(Done::Nothing) => return,
            Ok(Done::Rotated) => &mut self.rotated,
            Ok(Done::DeletedKey) => &mut self.deleted_keys,
            Ok(Done::Expired) => &mut self.expired,
            Ok(Done::DeletedSecret) => &mut self.deleted_secrets,
            Ok(Done::Begun) => &mut self.begun,
            Ok(Done::Unserved) => &mut self.unserved,
            // The gate went up meanwhile.
            Ok(Done::Waiting) | Err(KmsError::Migrating(_)) => &mut self.waiting,
            Err(error) => {
                tracing::warn!(resource = %entry.resource, scope = %entry.scope, ?error, "what fell due could not be done yet");
                &mut self.failed
            }
        };
        *counter = counter.saturating_add(1);
    }
}

/// A settled entry that changed in the same moment is met again in the next round.
pub(super) fn forgive_conflict(settled: Result<(), CatalogueError>) -> Result<(), KmsError> {
    match settled {
        Ok(()) | Err(CatalogueError::Conflict) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
