//! Asking the keystore that the catalogue names, across a cut-over.

use std::future::Future;
use std::sync::Arc;

use super::{KmsError, Service};
use crate::keystore::{Answer, Keystore, KeystoreError};
use crate::model::{KeyId, KeyRecord, KeystoreId, RegionId, Scope, SecretName, SecretRecord};
use crate::observe::metrics::{METRICS, served_by};
use crate::store::Stored;

/// A cut-over moves a resource once, a roll-back once more; more turns than this are a fault.
const TURNS: usize = 16;

impl Service {
    /// Runs `ask` on the keystore that holds a key. When that answers `Moved`, or provisionally and the entry has changed
    /// its keystore meanwhile, the catalogue is read again. A target that cannot be reached before its job's first purge
    /// is answered for by the source, which is whole until then.
    ///
    /// # Errors
    /// What `ask` failed with, or `KeyNotFound` when the key went away.
    pub async fn ask_for_key<T, F, Fut>(&self, key: &KeyRecord, ask: F) -> Result<T, AskError>
    where
        F: Fn(Arc<dyn Keystore>) -> Fut + Send,
        Fut: Future<Output = Result<Answer<T>, KeystoreError>> + Send,
        T: Send,
    {
        let (region, id) = (key.region.clone(), key.id.clone());
        self.ask(entry_of_key(key), || self.key_entry(&region, &id), ask).await
    }

    /// As [`Service::ask_for_key`], for a secret.
    ///
    /// # Errors
    /// What `ask` failed with, or `ResourceNotFound` when the secret went away.
    pub async fn ask_for_secret<T, F, Fut>(&self, secret: &SecretRecord, ask: F) -> Result<T, AskError>
    where
        F: Fn(Arc<dyn Keystore>) -> Fut + Send,
        Fut: Future<Output = Result<Answer<T>, KeystoreError>> + Send,
        T: Send,
    {
        let scope = Scope { region: secret.region.clone(), account: secret.account.clone() };
        let name = secret.name.clone();
        self.ask(entry_of_secret(secret), || self.secret_entry(&scope, &name), ask).await
    }

    async fn ask<T, R, RFut, F, Fut>(&self, first: Entry, reread: R, ask: F) -> Result<T, AskError>
    where
        R: Fn() -> RFut + Send,
        RFut: Future<Output = Result<Entry, KmsError>> + Send,
        F: Fn(Arc<dyn Keystore>) -> Fut + Send,
        Fut: Future<Output = Result<Answer<T>, KeystoreError>> + Send,
        T: Send,
    {
        let mut entry = first;
        for _ in 0..TURNS {
            let keystore = self.keystore(&entry.keystore)?;
            let kind = keystore.served_by();
            served_by(kind);
            match ask(keystore).await {
                Ok(answer) if !answer.provisional => return Ok(answer.value),
                Ok(answer) => {
                    let now = reread().await?;
                    if now.keystore == entry.keystore {
                        return Ok(answer.value);
                    }
                    entry = now;
                }
                Err(KeystoreError::Moved(_)) => {
                    // The next turn reads a newer entry, or finds the resource gone.
                    let now = reread().await?;
                    if now.keystore == entry.keystore {
                        tokio::task::yield_now().await;
                    }
                    entry = now;
                }
                Err(error) if error.is_unavailable() => {
                    METRICS.keystore_error(kind);
                    let now = reread().await?;
                    if now.keystore != entry.keystore {
                        entry = now;
                        continue;
                    }
                    let Some(former) = self.whole_source(&entry).await? else { return Err(AskError::Keystore(error)) };
                    match ask(self.keystore(&former)?).await {
                        Ok(answer) => return Ok(answer.value),
                        // The target came back and the purge went on in between.
                        Err(KeystoreError::Moved(_)) => {}
                        Err(error) => return Err(AskError::Keystore(error)),
                    }
                }
                Err(error) => return Err(AskError::Keystore(error)),
            }
        }
        Err(AskError::Service(KmsError::Unavailable("a resource is moving to and fro".to_owned())))
    }

    /// The keystore a resource came from, while its job has not purged it: identical to the target until then.
    async fn whole_source(&self, entry: &Entry) -> Result<Option<KeystoreId>, KmsError> {
        let Some((job, former)) = &entry.former else { return Ok(None) };
        let job = self.catalogue.job(job).await?;
        Ok(job.filter(|job| !job.state.is_past_return() && !job.state.is_final()).map(|_| former.clone()))
    }

    pub(super) fn keystore(&self, id: &KeystoreId) -> Result<Arc<dyn Keystore>, KmsError> {
        self.keystores.get(id).ok_or_else(|| KmsError::Internal(format!("no keystore {id} in this deployment")))
    }

    async fn key_entry(&self, region: &RegionId, id: &KeyId) -> Result<Entry, KmsError> {
        let found: Option<Stored<KeyRecord>> = self.catalogue.key(region, id).await?;
        found.map(|key| entry_of_key(&key)).ok_or(KmsError::KeyNotFound)
    }

    async fn secret_entry(&self, scope: &Scope, name: &SecretName) -> Result<Entry, KmsError> {
        let found = self.catalogue.secret(scope, name).await?;
        found.map(|secret| entry_of_secret(&secret)).ok_or(KmsError::ResourceNotFound)
    }
}

/// Why an answer could not be had: callers of cryptographic operations tell a rejected ciphertext from other failures.
#[derive(Debug)]
pub enum AskError {
    /// The keystore refused or failed.
    Keystore(KeystoreError),
    /// The service failed.
    Service(KmsError),
}

impl From<KmsError> for AskError {
    fn from(error: KmsError) -> Self {
        Self::Service(error)
    }
}

impl From<AskError> for KmsError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Keystore(error) => error.into(),
            AskError::Service(error) => error,
        }
    }
}

struct Entry {
    keystore: KeystoreId,
    former: Option<(crate::model::JobId, KeystoreId)>,
}

fn entry_of_key(key: &KeyRecord) -> Entry {
    Entry {
        keystore: key.keystore.clone(),
        former: key.placement.as_ref().map(|p| (p.job.clone(), p.keystore.clone())),
    }
}

fn entry_of_secret(secret: &SecretRecord) -> Entry {
    Entry {
        keystore: secret.keystore.clone(),
        former: secret.placement.as_ref().map(|p| (p.job.clone(), p.keystore.clone())),
    }
}
