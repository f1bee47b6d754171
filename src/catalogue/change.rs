//! One guarded transaction over resources. Made with a token, so that no change forgets its guard.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Catalogue, CatalogueError, Demand, DueEntry, Guarded, InFlight, InstanceRecord, Intent, IntentRecord, Locked, paths,
};
use crate::audit::Entry;
use crate::model::{
    AccountId, Incarnation, InstanceId, KeyId, KeyRecord, KeyVersionRecord, NonceClaim, ResourceKind, Scope,
    SecretRecord, SecretVersionRecord,
};
use crate::store::{Compare, MAX_OPERATIONS, Record, Revision, Stored, Transaction, scan_records};

/// A change being put together.
pub struct Change {
    transaction: Transaction,
    /// False for a job's change: it moves resources, which changes nothing about when they fall due.
    files_due: bool,
    /// What it touches, for the audit trail.
    touched: Vec<String>,
    /// Whose resources it changes.
    account: AccountId,
    /// The resources whose entries it writes, and those of which it makes or removes versions.
    entries: Vec<Incarnation>,
    versions: Vec<Incarnation>,
}

impl Change {
    /// A management change.
    #[must_use]
    pub fn guarded(guarded: &Guarded) -> Self {
        let mut transaction = Transaction::new();
        guarded.apply(&mut transaction);
        let account = guarded.scope().account.clone();
        Self::begun(transaction, true, account)
    }

    /// A change by the job that holds the lock.
    #[must_use]
    pub fn locked(locked: &Locked) -> Self {
        let mut transaction = Transaction::new();
        locked.apply(&mut transaction);
        let account = locked.scope().account.clone();
        Self::begun(transaction, false, account)
    }

    /// A change that finishes a rotation in flight: a gate does not stop it, a lock does.
    #[must_use]
    pub fn in_flight(flight: &InFlight) -> Self {
        let mut transaction = Transaction::new();
        transaction.compare(Compare::Absent(paths::lock(&flight.scope)));
        transaction.compare(Compare::Revision(paths::flight(&flight.scope), flight.record.revision()));
        Self::begun(transaction, true, flight.scope.account.clone())
    }

    const fn begun(transaction: Transaction, files_due: bool, account: AccountId) -> Self {
        Self { transaction, files_due, touched: Vec::new(), account, entries: Vec::new(), versions: Vec::new() }
    }

    /// True for a change by a job.
    pub(super) const fn is_of_a_job(&self) -> bool {
        !self.files_due
    }

    /// Claims the request's nonce: the change conflicts if it was claimed before.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn claim(&mut self, nonce: &NonceClaim) -> Result<&mut Self, CatalogueError> {
        self.transaction.create(&paths::nonce(nonce), &NonceRecord { expires_at: nonce.expires_at })?;
        Ok(self)
    }

    /// Records what it does: the entry is committed with it, naming the resources that it touches beside those it names
    /// already. To be called last.
    ///
    /// # Errors
    /// When the entry cannot be written.
    pub fn record(&mut self, mut entry: Entry) -> Result<&mut Self, CatalogueError> {
        for touched in &self.touched {
            if !entry.resources.contains(touched) {
                entry.resources.push(touched.clone());
            }
        }
        entry.put(&mut self.transaction)?;
        Ok(self)
    }

    /// True when it writes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.transaction.operations().is_empty()
    }

    /// Ends an intent: conflicts if the sweeper has taken it.
    pub fn fulfil(&mut self, intent: &Intent) -> &mut Self {
        intent.apply(&mut self.transaction);
        self
    }

    /// Leaves material to the sweeper: the intent is dead from the start, and what it names is destroyed after the
    /// commit, also across a crash.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn bequeath(&mut self, intent: &IntentRecord) -> Result<&mut Self, CatalogueError> {
        let dead = IntentRecord { dead: true, ..intent.clone() };
        self.transaction.create(&paths::intent(intent.place.version.as_str()), &dead)?;
        Ok(self)
    }

    /// A new key.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn create_key(&mut self, record: &KeyRecord) -> Result<&mut Self, CatalogueError> {
        self.enter("key", record.id.as_str(), &record.incarnation);
        let scope = scope_of_key(record);
        self.transaction.create(&paths::key(&record.region, &record.id), record)?;
        self.transaction
            .put(paths::index(&scope, ResourceKind::Key, record.created_at, record.id.as_str()), Vec::new());
        self.file(DueEntry::of_key(record));
        Ok(self)
    }

    /// An instance that is enabled.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn enable_instance(&mut self, record: &InstanceRecord) -> Result<&mut Self, CatalogueError> {
        self.touch("instance", record.id.as_str());
        self.transaction.create(&paths::instance(&record.id), record)?;
        Ok(self)
    }

    /// A changed key.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn update_key(&mut self, record: &Stored<KeyRecord>) -> Result<&mut Self, CatalogueError> {
        self.enter("key", record.id.as_str(), &record.incarnation);
        self.transaction.replace(&paths::key(&record.region, &record.id), record)?;
        self.file(DueEntry::of_key(record));
        Ok(self)
    }

    /// A key of which only tags or the policy changed: nothing about it falls due at another time.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn relabel_key(&mut self, record: &Stored<KeyRecord>) -> Result<&mut Self, CatalogueError> {
        self.enter("key", record.id.as_str(), &record.incarnation);
        self.transaction.replace(&paths::key(&record.region, &record.id), record)?;
        Ok(self)
    }

    /// A key that goes, with its aliases. Its versions go by [`Change::delete_key_version`].
    pub fn delete_key(&mut self, record: &Stored<KeyRecord>) -> &mut Self {
        self.enter("key", record.id.as_str(), &record.incarnation);
        let scope = scope_of_key(record);
        self.transaction.remove(&paths::key(&record.region, &record.id), record);
        self.transaction.delete(paths::index(&scope, ResourceKind::Key, record.created_at, record.id.as_str()));
        for alias in record.aliases.iter().take(MAX_OPERATIONS / 2) {
            self.transaction.delete(paths::alias(&scope, alias));
        }
        self
    }

    /// A new version of a key; its entry is written with it.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn create_key_version(
        &mut self,
        key: &KeyRecord,
        version: &KeyVersionRecord,
    ) -> Result<&mut Self, CatalogueError> {
        self.versions.push(key.incarnation.clone());
        self.transaction.create(&paths::key_version(&key.incarnation, &version.id), version)?;
        Ok(self)
    }

    /// A version that goes with its key.
    pub fn delete_key_version(&mut self, key: &KeyRecord, version: &Stored<KeyVersionRecord>) -> &mut Self {
        self.versions.push(key.incarnation.clone());
        self.transaction.remove(&paths::key_version(&key.incarnation, &version.id), version);
        self
    }

    /// A new alias; the key's own list is changed by [`Change::update_key`].
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn create_alias(&mut self, scope: &Scope, alias: &str, key: &KeyId) -> Result<&mut Self, CatalogueError> {
        self.touch("", alias);
        self.transaction.create(&paths::alias(scope, alias), &AliasRecord { key: key.clone() })?;
        Ok(self)
    }

    /// An alias that points elsewhere now, comparing what it pointed to.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn update_alias(
        &mut self,
        scope: &Scope,
        alias: &str,
        record: &Stored<AliasRecord>,
    ) -> Result<&mut Self, CatalogueError> {
        self.touch("", alias);
        self.transaction.replace(&paths::alias(scope, alias), record)?;
        Ok(self)
    }

    /// An alias that goes.
    pub fn delete_alias(&mut self, scope: &Scope, alias: &str, record: &Stored<AliasRecord>) -> &mut Self {
        self.touch("", alias);
        self.transaction.remove(&paths::alias(scope, alias), record);
        self
    }

    /// A new secret, comparing that its key (if named) is still as it was read.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn create_secret(
        &mut self,
        record: &SecretRecord,
        key: Option<&Stored<KeyRecord>>,
    ) -> Result<&mut Self, CatalogueError> {
        self.enter("secret", record.name.as_str(), &record.incarnation);
        let scope = scope_of_secret(record);
        self.transaction.create(&paths::secret(&scope, &record.name), record)?;
        self.transaction
            .put(paths::index(&scope, ResourceKind::Secret, record.created_at, record.name.as_str()), Vec::new());
        if let Some(key) = key {
            self.transaction.compare(Compare::Revision(paths::key(&key.region, &key.id), key.revision()));
            self.transaction.put(paths::under_key(&record.region, &key.id, &record.account, &record.name), Vec::new());
        }
        self.file(DueEntry::of_secret(record));
        Ok(self)
    }

    /// A changed secret.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn update_secret(&mut self, record: &Stored<SecretRecord>) -> Result<&mut Self, CatalogueError> {
        self.enter("secret", record.name.as_str(), &record.incarnation);
        self.transaction.replace(&paths::secret(&scope_of_secret(record), &record.name), record)?;
        self.file(DueEntry::of_secret(record));
        Ok(self)
    }

    /// A secret of which only tags or the policy changed.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn relabel_secret(&mut self, record: &Stored<SecretRecord>) -> Result<&mut Self, CatalogueError> {
        self.enter("secret", record.name.as_str(), &record.incarnation);
        self.transaction.replace(&paths::secret(&scope_of_secret(record), &record.name), record)?;
        Ok(self)
    }

    /// A secret that goes. Its versions go by [`Change::delete_secret_version`].
    pub fn delete_secret(&mut self, record: &Stored<SecretRecord>) -> &mut Self {
        self.enter("secret", record.name.as_str(), &record.incarnation);
        let scope = scope_of_secret(record);
        self.transaction.remove(&paths::secret(&scope, &record.name), record);
        self.transaction.delete(paths::index(&scope, ResourceKind::Secret, record.created_at, record.name.as_str()));
        if let Some(key) = &record.encryption_key {
            self.transaction.delete(paths::under_key(&record.region, key, &record.account, &record.name));
        }
        self
    }

    /// A new version of a secret; its entry is written with it.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn create_secret_version(
        &mut self,
        secret: &SecretRecord,
        version: &SecretVersionRecord,
    ) -> Result<&mut Self, CatalogueError> {
        self.versions.push(secret.incarnation.clone());
        self.transaction.create(&paths::secret_version(&secret.incarnation, &version.id), version)?;
        Ok(self)
    }

    /// A version whose stages changed.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn update_secret_version(
        &mut self,
        secret: &SecretRecord,
        version: &Stored<SecretVersionRecord>,
    ) -> Result<&mut Self, CatalogueError> {
        self.transaction.replace(&paths::secret_version(&secret.incarnation, &version.id), version)?;
        Ok(self)
    }

    /// A version that goes; its secret's entry is written with it.
    pub fn delete_secret_version(&mut self, secret: &SecretRecord, version: &Stored<SecretVersionRecord>) -> &mut Self {
        self.versions.push(secret.incarnation.clone());
        self.transaction.remove(&paths::secret_version(&secret.incarnation, &version.id), version);
        self
    }

    /// Room for this many more records of one key each?
    #[must_use]
    pub fn has_room(&self, records: usize) -> bool {
        self.transaction.has_room(records, records)
    }

    /// Puts an index row, comparing that its entry is as it was read.
    pub(super) fn index(&mut self, entry: Vec<u8>, revision: Revision, row: Vec<u8>) -> &mut Self {
        self.transaction.compare(Compare::Revision(entry, revision));
        self.transaction.put(row, Vec::new());
        self
    }

    /// Notes that a resource's entry is written.
    fn enter(&mut self, kind: &str, name: &str, incarnation: &Incarnation) {
        self.touch(kind, name);
        self.entries.push(incarnation.clone());
    }

    fn touch(&mut self, kind: &str, name: &str) {
        let touched = if kind.is_empty() { name.to_owned() } else { format!("{kind}/{name}") };
        if !self.touched.contains(&touched) {
            self.touched.push(touched);
        }
    }

    fn file(&mut self, entry: Option<DueEntry>) {
        if let Some(entry) = entry.filter(|_| self.files_due) {
            self.transaction.put(paths::due(&entry), Vec::new());
        }
    }

    pub(super) const fn transaction(&mut self) -> &mut Transaction {
        &mut self.transaction
    }

    pub(super) fn into_transaction(self) -> Transaction {
        // What a plan has read of a resource it takes over inside the lock where the entry's revision is the same.
        debug_assert!(
            self.versions.iter().all(|of| self.entries.contains(of)),
            "a version is made or removed, and the entry is not written"
        );
        self.transaction
    }
}

impl Catalogue {
    /// Adds to a change what an instance holds more or less by it of the changed scope's account; guarded by the revisions
    /// of the quota record and of the account's.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn count_in(
        &self,
        change: &mut Change,
        id: &InstanceId,
        plus: Demand,
        minus: Demand,
    ) -> Result<(), CatalogueError> {
        let account = change.account.clone();
        self.count(&mut change.transaction, id, &account, plus, minus).await
    }

    /// Whether a management request's nonce was claimed before.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn nonce_used(&self, nonce: &NonceClaim) -> Result<bool, CatalogueError> {
        Ok(self.store().get(&paths::nonce(nonce)).await?.is_some())
    }

    /// Removes claimed nonces that need not be remembered any more; answers how many.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn sweep_nonces(&self, now: Timestamp) -> Result<usize, CatalogueError> {
        let claimed = scan_records::<NonceRecord>(self.store().as_ref(), paths::NONCES, None, usize::MAX).await?;
        let expired: Vec<Vec<u8>> =
            claimed.into_iter().filter(|(_, n)| n.expires_at < now).map(|(path, _)| path).collect();
        for batch in expired.chunks(MAX_OPERATIONS) {
            let mut transaction = Transaction::new();
            for path in batch {
                transaction.delete(path.clone());
            }
            self.commit_transaction(transaction).await?;
        }
        Ok(expired.len())
    }
}

/// Which key an alias names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasRecord {
    /// The key.
    pub key: KeyId,
}

impl Record for AliasRecord {
    const KIND: &'static str = "alias";
    const SCHEMA: u16 = 1;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct NonceRecord {
    expires_at: Timestamp,
}

impl Record for NonceRecord {
    const KIND: &'static str = "nonce";
    const SCHEMA: u16 = 1;
}

fn scope_of_key(record: &KeyRecord) -> Scope {
    Scope { region: record.region.clone(), account: record.account.clone() }
}

fn scope_of_secret(record: &SecretRecord) -> Scope {
    Scope { region: record.region.clone(), account: record.account.clone() }
}
