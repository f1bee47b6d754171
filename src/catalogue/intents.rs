//! Intents: what an operation is about to file in a keystore, told before it does, so that a crash between the two leaves
//! nothing nobody knows of.
//!
//! The committing transaction compares the intent's revision and deletes it. The sweeper first turns an intent into
//! `dead` (a late commit then conflicts), destroys what it names, then deletes it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Catalogue, CatalogueError, paths};
use crate::keystore::Place;
use crate::model::{Incarnation, KeystoreId, MaterialId};
use crate::store::{
    Compare, MAX_OPERATIONS, Record, Revision, Stored, Transaction, get_record, prefix_end, scan_records,
};

/// An intent as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentRecord {
    /// Where the material goes.
    pub keystore: KeystoreId,
    /// Under which name.
    pub place: Place,
    /// When it was told.
    pub at: Timestamp,
    /// The process that told it.
    pub worker: String,
    /// The sweeper has taken it: what it names is being destroyed.
    pub dead: bool,
    /// It names the whole incarnation, whose entry is gone, and not one version (see [`IntentRecord::whole`]).
    #[serde(default)]
    pub whole: bool,
}

impl IntentRecord {
    /// For [`super::Change::bequeath`]: everything of an incarnation whose entry goes.
    #[must_use]
    pub fn whole(keystore: &KeystoreId, incarnation: &Incarnation, at: Timestamp, worker: &str) -> Self {
        // Filed under the incarnation's own UUID, which no version shares.
        let uuid = uuid::Uuid::try_parse(incarnation.as_str()).map(uuid::Uuid::into_bytes).unwrap_or_default();
        let place = Place { incarnation: incarnation.clone(), version: MaterialId::from_bytes(uuid) };
        Self { keystore: keystore.clone(), place, at, worker: worker.to_owned(), dead: true, whole: true }
    }
}

impl Record for IntentRecord {
    const KIND: &'static str = "intent";
    const SCHEMA: u16 = 1;
}

/// An intent of this process.
#[derive(Debug, Clone)]
pub struct Intent {
    path: Vec<u8>,
    revision: Revision,
}

impl Intent {
    pub(super) fn apply(&self, transaction: &mut Transaction) {
        transaction.compare(Compare::Revision(self.path.clone(), self.revision));
        transaction.delete(self.path.clone());
    }
}

impl Catalogue {
    /// Tells what will be filed.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn intend(&self, record: &IntentRecord) -> Result<Intent, CatalogueError> {
        let path = paths::intent(record.place.version.as_str());
        let mut transaction = Transaction::new();
        transaction.create(&path, record)?;
        let revision = self.commit_transaction(transaction).await?;
        Ok(Intent { path, revision })
    }

    /// Every intent.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn intents(&self) -> Result<Vec<Stored<IntentRecord>>, CatalogueError> {
        let found = scan_records(self.store().as_ref(), paths::INTENTS, None, usize::MAX).await?;
        Ok(found.into_iter().map(|(_, record)| record).collect())
    }

    /// The intent for a place, if there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn intent(&self, place: &Place) -> Result<Option<Stored<IntentRecord>>, CatalogueError> {
        Ok(get_record(self.store().as_ref(), &paths::intent(place.version.as_str())).await?)
    }

    /// Removes the version records of an incarnation whose entry is gone. Idempotent.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn clear_versions(&self, incarnation: &Incarnation) -> Result<(), CatalogueError> {
        for prefix in [paths::key_versions(incarnation), paths::secret_versions(incarnation)] {
            loop {
                let page = self.store().scan(&prefix, prefix_end(&prefix).as_deref(), MAX_OPERATIONS).await?;
                if page.entries.is_empty() {
                    break;
                }
                let mut transaction = Transaction::new();
                for (path, _) in page.entries {
                    transaction.delete(path);
                }
                self.commit_transaction(transaction).await?;
            }
        }
        Ok(())
    }

    /// Marks an intent dead, so that a late commit of its operation conflicts.
    ///
    /// # Errors
    /// `Conflict` when its operation committed meanwhile.
    pub async fn kill_intent(&self, intent: &Stored<IntentRecord>) -> Result<(), CatalogueError> {
        let mut dead = intent.clone();
        dead.dead = true;
        let mut transaction = Transaction::new();
        transaction.replace(&paths::intent(intent.place.version.as_str()), &dead)?;
        self.commit_transaction(transaction).await.map(|_| ())
    }

    /// Removes a dead intent once what it named is destroyed. Idempotent.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn bury_intent(&self, place: &Place) -> Result<(), CatalogueError> {
        let mut transaction = Transaction::new();
        transaction.delete(paths::intent(place.version.as_str()));
        self.commit_transaction(transaction).await.map(|_| ())
    }
}
