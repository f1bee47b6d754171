//! Reading and opening stored records; what every other file here builds on.

use std::sync::Arc;

use super::fence::State;
use super::records::{self, Head};
use super::{SoftwareKeystore, layout};
use crate::crypto::CryptoError;
use crate::crypto::envelope::SecretEnvelope;
use crate::crypto::material::{KeyMaterial, OpenedMaterial};
use crate::crypto::sealing::{Address, SealingKey};
use crate::keystore::{KeystoreError, Label, Place};
use crate::model::{Incarnation, JobId, KeySpec, MaterialId, Scope};
use crate::observe::failpoint::Injected;
use crate::store::{Compare, Outcome, Revision, Store, StoreError, Transaction, Versioned};

/// A head with its data key opened.
pub(super) struct OpenHead {
    pub(super) label: Label,
    pub(super) staged_by: Option<JobId>,
    pub(super) revision: Revision,
    pub(super) dek: SealingKey,
}

/// Whether daily use sees a resource.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    Hidden,
    Provisional,
    Settled,
}

impl SoftwareKeystore {
    pub(super) fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// What a failpoint makes a call answer.
    pub(super) fn rehearsed(&self, injected: Injected) -> KeystoreError {
        if injected.refused {
            return KeystoreError::Refused(format!("rehearsed at {}", injected.point));
        }
        KeystoreError::Unavailable { keystore: self.id.clone(), detail: format!("rehearsed at {}", injected.point) }
    }

    pub(super) fn store_error(&self, error: StoreError) -> KeystoreError {
        let keystore = self.id.clone();
        match error {
            StoreError::Unavailable(detail) => KeystoreError::Unavailable { keystore, detail },
            StoreError::Limit(_) | StoreError::Busy { .. } => {
                KeystoreError::Unavailable { keystore, detail: error.to_string() }
            }
            _ => KeystoreError::Damaged { keystore, detail: error.to_string() },
        }
    }

    /// A stored record that does not open where it lies.
    pub(super) fn stored_error(&self, what: &str, error: CryptoError) -> KeystoreError {
        KeystoreError::Damaged { keystore: self.id.clone(), detail: format!("{what}: {error}") }
    }

    pub(super) fn moved(&self) -> KeystoreError {
        KeystoreError::Moved(self.id.clone())
    }

    /// An error of using opened material.
    pub(super) fn use_error(&self, error: CryptoError) -> KeystoreError {
        match error {
            CryptoError::Rejected => KeystoreError::Rejected,
            CryptoError::Unsuitable(why) => KeystoreError::Unsuitable(why),
            CryptoError::Malformed(_) | CryptoError::Failed(_) => {
                KeystoreError::Unavailable { keystore: self.id.clone(), detail: error.to_string() }
            }
        }
    }

    pub(super) async fn commit(&self, transaction: Transaction) -> Result<Outcome, KeystoreError> {
        self.store.commit(transaction).await.map_err(|e| self.store_error(e))
    }

    pub(super) async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, KeystoreError> {
        self.store.get(key).await.map_err(|e| self.store_error(e))
    }

    /// The KEK of a scope; made when the scope is first used.
    pub(super) async fn kek(&self, scope: &Scope) -> Result<Arc<SealingKey>, KeystoreError> {
        let now = self.clock.monotonic();
        if let Some(kek) = self.keks.get(scope, now) {
            return Ok(kek);
        }
        let address = Address { scope: Some(scope), ..Address::of(&self.id, "kek") };
        let root = self.root.sealing();
        let key = layout::kek(scope);
        loop {
            let generation = self.keks.generation();
            if let Some(stored) = self.get(&key).await? {
                let kek =
                    root.unwrap(&address, &stored.value).map_err(|e| self.stored_error("key-encryption key", e))?;
                let kek = Arc::new(kek);
                self.keks.insert(generation, scope.clone(), Arc::clone(&kek), now);
                return Ok(kek);
            }
            let wrapped = SealingKey::generate(self.random.as_ref())
                .and_then(|kek| root.wrap(self.random.as_ref(), &address, &kek))
                .map_err(|e| self.use_error(e))?;
            let mut transaction = Transaction::new();
            transaction.compare(Compare::Absent(key.clone())).put(key.clone(), wrapped);
            // Whoever wins, the next read shows it.
            let _ = self.commit(transaction).await?;
        }
    }

    /// A new head: its bytes, and opened (with a revision that is not known yet).
    pub(super) async fn new_head(
        &self,
        label: &Label,
        staged_by: Option<&JobId>,
    ) -> Result<(Vec<u8>, OpenHead), KeystoreError> {
        let kek = self.kek(&label.scope).await?;
        let random = self.random.as_ref();
        let beside = records::clear(&label.scope, staged_by);
        let text = serde_json::to_vec(label).map_err(|e| self.label_error(&e))?;
        let make = || {
            let dek = SealingKey::generate(random)?;
            let wrapped_dek = kek.wrap(random, &self.head_address(&label.incarnation, "dek", &beside), &dek)?;
            let sealed_label = dek.seal(random, &self.head_address(&label.incarnation, "label", &beside), &text)?;
            Ok((dek, wrapped_dek, sealed_label))
        };
        let (dek, wrapped_dek, sealed_label) = make().map_err(|e| self.use_error(e))?;
        let head = Head { scope: label.scope.clone(), staged_by: staged_by.cloned(), wrapped_dek, sealed_label };
        let open = OpenHead { label: label.clone(), staged_by: staged_by.cloned(), revision: Revision(0), dek };
        Ok((head.encode(), open))
    }

    /// Opens a head as stored.
    pub(super) async fn open_head(
        &self,
        incarnation: &Incarnation,
        stored: &Versioned,
    ) -> Result<OpenHead, KeystoreError> {
        let head = Head::decode(&stored.value).map_err(|e| self.stored_error("head", e))?;
        let kek = self.kek(&head.scope).await?;
        let beside = records::clear(&head.scope, head.staged_by.as_ref());
        let open = || {
            let dek = kek.unwrap(&self.head_address(incarnation, "dek", &beside), &head.wrapped_dek)?;
            let label = dek.open(&self.head_address(incarnation, "label", &beside), &head.sealed_label)?;
            Ok((dek, label))
        };
        let (dek, label) = open().map_err(|e| self.stored_error("head", e))?;
        let label = serde_json::from_slice(&label).map_err(|e| self.label_error(&e))?;
        Ok(OpenHead { label, staged_by: head.staged_by, revision: stored.revision, dek })
    }

    /// The head of an incarnation from the durable store, whether daily use sees it or not.
    pub(super) async fn read_head(&self, incarnation: &Incarnation) -> Result<Option<OpenHead>, KeystoreError> {
        match self.get(&layout::head(incarnation)).await? {
            Some(stored) => self.open_head(incarnation, &stored).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether daily use sees what this job staged (`None`: not staged by a job).
    pub(super) async fn sight(&self, staged_by: Option<&JobId>) -> Result<Sight, KeystoreError> {
        let Some(job) = staged_by else {
            return Ok(Sight::Settled);
        };
        Ok(match self.job_state(job).await? {
            Some(State::Settled) => Sight::Settled,
            Some(State::Activated) => Sight::Provisional,
            _ => Sight::Hidden,
        })
    }

    /// The sealed bytes of one version.
    pub(super) async fn read_version(&self, place: &Place) -> Result<Option<Vec<u8>>, KeystoreError> {
        let key = layout::version(&place.incarnation, &place.version);
        let Some(stored) = self.get(&key).await? else {
            return Ok(None);
        };
        let (further, first) = records::split_version(&stored.value).map_err(|e| self.stored_error("version", e))?;
        if further == 0 {
            return Ok(Some(first.to_vec()));
        }
        // One scan is atomic: the chunks of one page belong together.
        let entries = self.scan(&key).await?;
        let mut versions = records::versions(&entries).map_err(|e| self.stored_error("version", e))?;
        Ok(versions.pop().map(|(_, sealed)| sealed))
    }

    /// Where the sealed bytes of a version belong.
    fn version_address<'a>(&'a self, label: &'a Label, version: &'a MaterialId) -> Address<'a> {
        Address {
            scope: Some(&label.scope),
            resource: Some(&label.resource),
            incarnation: Some(&label.incarnation),
            version: Some(version),
            beside: label.spec.map_or("", KeySpec::as_str).as_bytes(),
            ..Address::of(&self.id, if label.spec.is_some() { "material" } else { "value" })
        }
    }

    fn head_address<'a>(&'a self, incarnation: &'a Incarnation, field: &'static str, beside: &'a [u8]) -> Address<'a> {
        Address { incarnation: Some(incarnation), beside, ..Address::of(&self.id, field) }
    }

    pub(super) fn seal_material(
        &self,
        head: &OpenHead,
        version: &MaterialId,
        material: &KeyMaterial,
    ) -> Result<Vec<u8>, KeystoreError> {
        let address = self.version_address(&head.label, version);
        head.dek.seal(self.random.as_ref(), &address, material.expose()).map_err(|e| self.use_error(e))
    }

    pub(super) fn seal_envelope(
        &self,
        head: &OpenHead,
        version: &MaterialId,
        envelope: &SecretEnvelope,
    ) -> Result<Vec<u8>, KeystoreError> {
        let address = self.version_address(&head.label, version);
        head.dek.seal(self.random.as_ref(), &address, &envelope.encode()).map_err(|e| self.use_error(e))
    }

    pub(super) fn open_material(
        &self,
        head: &OpenHead,
        version: &MaterialId,
        sealed: &[u8],
    ) -> Result<KeyMaterial, KeystoreError> {
        let spec = head.label.spec.ok_or(KeystoreError::Unsuitable("it is a secret"))?;
        let address = self.version_address(&head.label, version);
        let bytes = head.dek.open(&address, sealed).map_err(|e| self.stored_error("key material", e))?;
        Ok(KeyMaterial::from_sealed(spec, bytes))
    }

    pub(super) fn open_envelope(
        &self,
        head: &OpenHead,
        version: &MaterialId,
        sealed: &[u8],
    ) -> Result<SecretEnvelope, KeystoreError> {
        if head.label.spec.is_some() {
            return Err(KeystoreError::Unsuitable("it is a key"));
        }
        let address = self.version_address(&head.label, version);
        head.dek
            .open(&address, sealed)
            .and_then(|bytes| SecretEnvelope::decode(&bytes))
            .map_err(|e| self.stored_error("secret value", e))
    }

    /// Parses material; RSA off the async threads.
    pub(super) async fn parse(&self, material: KeyMaterial) -> Result<Arc<OpenedMaterial>, KeystoreError> {
        let opened = if material.spec().is_symmetric() {
            material.open()
        } else {
            self.off_thread(move || material.open()).await?
        };
        opened.map(Arc::new).map_err(|e| self.stored_error("key material", e))
    }

    /// Uses material: inline where that is quick, off the async threads otherwise.
    pub(super) async fn use_material<T: Send + 'static>(
        &self,
        material: Arc<OpenedMaterial>,
        operation: impl FnOnce(&OpenedMaterial) -> Result<T, CryptoError> + Send + 'static,
    ) -> Result<T, KeystoreError> {
        let result = if material.is_slow() {
            self.off_thread(move || operation(&material)).await?
        } else {
            operation(&material)
        };
        result.map_err(|e| self.use_error(e))
    }

    /// Runs something slow where it holds nothing up.
    pub(super) async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, KeystoreError> {
        tokio::task::spawn_blocking(work).await.map_err(|_| KeystoreError::Unavailable {
            keystore: self.id.clone(),
            detail: "it is shutting down".to_owned(),
        })
    }

    /// Forgets in memory what was opened of these incarnations.
    pub(super) fn drop_opened(&self, gone: &dyn Fn(&Incarnation) -> bool) {
        self.opened.retain(|place, _| !gone(&place.incarnation));
        self.heads.retain(|incarnation, _| !gone(incarnation));
    }

    fn label_error(&self, error: &serde_json::Error) -> KeystoreError {
        KeystoreError::Damaged { keystore: self.id.clone(), detail: format!("label: {error}") }
    }
}
