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
use crate::model::{Incarnation, JobId, KeySpec, MaterialId};
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
        let outcome = self.store.commit(transaction).await.map_err(|e| self.store_error(e))?;
        if !matches!(outcome, Outcome::Committed(_)) {
            // The slot that a KEK in memory came from may not be the current one any more: whoever tries again reads it.
            self.keks.retain(|_, _| false);
        }
        Ok(outcome)
    }

    pub(super) async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, KeystoreError> {
        self.store.get(key).await.map_err(|e| self.store_error(e))
    }

    /// A new head: its bytes, and opened (with a revision that is not known yet). The transaction that writes it takes
    /// the guard along: it keeps the head from appearing under a key that is being given up.
    pub(super) async fn new_head(
        &self,
        label: &Label,
        staged_by: Option<&JobId>,
    ) -> Result<(Vec<u8>, OpenHead, Compare), KeystoreError> {
        let keks = self.keks(&label.scope).await?;
        let random = self.random.as_ref();
        let beside = records::clear(&label.scope, staged_by);
        let text = serde_json::to_vec(label).map_err(|e| self.label_error(&e))?;
        let make = || {
            let dek = SealingKey::generate(random)?;
            let wrapped_dek = keks.seals.wrap(random, &self.head_address(&label.incarnation, "dek", &beside), &dek)?;
            let sealed_label = dek.seal(random, &self.head_address(&label.incarnation, "label", &beside), &text)?;
            Ok((dek, wrapped_dek, sealed_label))
        };
        let (dek, wrapped_dek, sealed_label) = make().map_err(|e| self.use_error(e))?;
        let head = Head { scope: label.scope.clone(), staged_by: staged_by.cloned(), wrapped_dek, sealed_label };
        let open = OpenHead { label: label.clone(), staged_by: staged_by.cloned(), revision: Revision(0), dek };
        Ok((head.encode(), open, keks.guard.clone()))
    }

    /// Opens a head as stored. Where the key was exchanged between the reading of the two, both are read again.
    pub(super) async fn open_head(
        &self,
        incarnation: &Incarnation,
        stored: &Versioned,
    ) -> Result<OpenHead, KeystoreError> {
        let mut newer: Option<Versioned> = None;
        loop {
            let stored = newer.as_ref().unwrap_or(stored);
            let head = Head::decode(&stored.value).map_err(|e| self.stored_error("head", e))?;
            let keks = self.keks(&head.scope).await?;
            let beside = records::clear(&head.scope, head.staged_by.as_ref());
            let open = || {
                let dek = keks.unwrap(&self.head_address(incarnation, "dek", &beside), &head.wrapped_dek)?;
                let label = dek.open(&self.head_address(incarnation, "label", &beside), &head.sealed_label)?;
                Ok((dek, label))
            };
            match open() {
                Ok((dek, label)) => {
                    let label: Label = serde_json::from_slice(&label).map_err(|e| self.label_error(&e))?;
                    return Ok(OpenHead { label, staged_by: head.staged_by, revision: stored.revision, dek });
                }
                Err(error) => {
                    let again = self.get(&layout::head(incarnation)).await?.ok_or_else(|| self.moved())?;
                    self.keks.retain(|other, _| *other != head.scope);
                    let same_keks = self.keks(&head.scope).await?.guard == keks.guard;
                    if again.revision == stored.revision && same_keks {
                        return Err(self.stored_error("head", error));
                    }
                    newer = Some(again);
                }
            }
        }
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
        self.address_of(label, version, if label.spec.is_some() { "material" } else { "value" })
    }

    /// Where the reference to a token object belongs.
    pub(super) fn deed_address<'a>(&'a self, label: &'a Label, version: &'a MaterialId) -> Address<'a> {
        self.address_of(label, version, "deed")
    }

    fn address_of<'a>(&'a self, label: &'a Label, version: &'a MaterialId, field: &'static str) -> Address<'a> {
        Address {
            scope: Some(&label.scope),
            resource: Some(&label.resource),
            incarnation: Some(&label.incarnation),
            version: Some(version),
            beside: label.spec.map_or("", KeySpec::as_str).as_bytes(),
            ..Address::of(&self.id, field)
        }
    }

    pub(super) fn head_address<'a>(
        &'a self,
        incarnation: &'a Incarnation,
        field: &'static str,
        beside: &'a [u8],
    ) -> Address<'a> {
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
        envelope
            .in_parts(|parts| head.dek.seal_parts(self.random.as_ref(), &address, parts))
            .map_err(|e| self.use_error(e))
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
            .and_then(SecretEnvelope::decode_owned)
            .map_err(|e| self.stored_error("secret value", e))
    }

    /// Parses material; RSA off the async threads.
    pub(super) async fn parse(&self, material: KeyMaterial) -> Result<Arc<OpenedMaterial>, KeystoreError> {
        let opened = if material.spec().raw_len().is_some() {
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

    /// Forgets in memory what was opened of these incarnations. Asked of everything in memory, while daily use waits.
    pub(super) fn drop_opened(&self, gone: &dyn Fn(&Incarnation) -> bool) {
        self.opened.retain(|place, _| !gone(&place.incarnation));
        self.heads.retain(|incarnation, _| !gone(incarnation));
    }

    fn label_error(&self, error: &serde_json::Error) -> KeystoreError {
        KeystoreError::Damaged { keystore: self.id.clone(), detail: format!("label: {error}") }
    }
}
