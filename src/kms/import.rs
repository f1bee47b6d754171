//! BYOK: material that the owner made (origin EXTERNAL).
//!
//! A keyed check value of the material outlives its deletion and expiry, so that only the same material can come back,
//! under the same version ID, and old ciphertexts open again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::create_key::version_record;
use super::import_token::{ImportToken, WrappingAlgorithm};
use super::key_changes::{refuse_pending_deletion, refuse_service_key};
use super::new_material::{NewMaterial, label_of};
use super::{Caller, KmsError, Service};
use crate::catalogue::{Change, Guarded, IntentRecord, KeyOrAlias};
use crate::crypto::material::KeyMaterial;
use crate::keystore::{KeystoreError, Place};
use crate::model::{ImportedMaterial, KeyId, KeyOrigin, KeyRecord, KeySpec, KeyState};
use crate::store::Stored;

/// How long an import token is good for.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(24);

/// What GetParametersForImport answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportParameters {
    /// The key.
    pub key: KeyId,
    /// The token that ImportKeyMaterial wants back.
    pub token: Vec<u8>,
    /// The public wrapping key, RSA-2048, as DER SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// When the token ends.
    pub expires_at: Timestamp,
}

impl Service {
    /// GetParametersForImport: a fresh wrapping key and a token, good for 24 hours.
    ///
    /// # Errors
    /// `UnsupportedOrigin` for a key whose material the KMS makes.
    pub async fn get_parameters_for_import(
        &self,
        caller: &Caller,
        id: &KeyId,
        algorithm: WrappingAlgorithm,
    ) -> Result<ImportParameters, KmsError> {
        let key = self.external_key(caller, id).await?;
        let random = self.random.clone();
        let wrapping = tokio::task::spawn_blocking(move || KeyMaterial::generate(KeySpec::Rsa2048, random.as_ref()))
            .await
            .map_err(|error| KmsError::Internal(error.to_string()))?
            .map_err(|error| KmsError::Internal(error.to_string()))?;
        let expires_at = self.clock.now().saturating_add(TOKEN_LIFE).unwrap_or(Timestamp::MAX);
        let (token, public_key) = ImportToken::new(&key, algorithm, expires_at, &wrapping)?;
        let token = self.seal_token(&caller.region, &token).await?;
        // Nothing changes, but it counts as management: the nonce is claimed, and a lock refuses it.
        self.manage(caller, |guarded| async move { Ok((Change::guarded(&guarded), ())) }).await?;
        Ok(ImportParameters { key: key.id.clone(), token, public_key, expires_at })
    }

    /// ImportKeyMaterial. `expires_at` absent: the material never expires.
    ///
    /// # Errors
    /// `InvalidImportToken`, `ExpiredImportToken`, `InvalidKeyMaterial` (wrong size, or not the material that the key had
    /// before), `UnsupportedOrigin`, `KeyState` for a key pending deletion.
    pub async fn import_key_material(
        &self,
        caller: &Caller,
        id: &KeyId,
        token: &[u8],
        wrapped: &[u8],
        expires_at: Option<Timestamp>,
    ) -> Result<(), KmsError> {
        let key = self.external_key(caller, id).await?;
        refuse_pending_deletion(&key)?;
        if expires_at.is_some_and(|at| at <= self.clock.now()) {
            return Err(KmsError::InvalidParameterBecause {
                name: "KeyMaterialExpireUnix",
                reason: "it lies in the past".to_owned(),
            });
        }
        let token = self.open_token(&caller.region, token).await?.ok_or(KmsError::InvalidImportToken)?;
        if token.key != key.id || token.incarnation != key.incarnation {
            return Err(KmsError::InvalidImportToken);
        }
        if token.expires_at <= self.clock.now() {
            return Err(KmsError::ExpiredImportToken);
        }
        let material = token.unwrap(wrapped)?;
        if key.spec.raw_len() != Some(material.len()) {
            return Err(KmsError::InvalidKeyMaterial);
        }
        let imported = match &key.imported {
            Some(known) if !is_same(known, &material) => return Err(KmsError::InvalidKeyMaterial),
            Some(known) => ImportedMaterial { expires_at, present: true, ..known.clone() },
            None => self.check_values(&material, expires_at),
        };
        let present = key.imported.as_ref().is_some_and(|known| known.present);
        let made = if present { None } else { Some(self.file_imported(&key, &imported, material).await?) };
        let (caller_scope, name, imported, new) =
            (&caller.scope(), &KeyOrAlias::Id(id.clone()), &imported, made.as_ref());
        let committed = self
            .manage(caller, |guarded| async move {
                let key = self.find(caller_scope, name).await?;
                self.import_change(&guarded, key, imported, new)
            })
            .await;
        if committed.is_err()
            && let Some(made) = &made
        {
            self.discard(&made.place).await;
        }
        committed
    }

    /// DeleteKeyMaterial: the key waits for its material again, unless it waits for its deletion.
    ///
    /// # Errors
    /// `UnsupportedOrigin`.
    pub async fn delete_key_material(&self, caller: &Caller, id: &KeyId) -> Result<(), KmsError> {
        let (scope, name) = (&caller.scope(), &KeyOrAlias::Id(id.clone()));
        let left = self
            .manage(caller, |guarded| async move {
                let key = self.find(scope, name).await?;
                check_external(&key)?;
                let mut change = Change::guarded(&guarded);
                let left = self.drop_imported(&mut change, key)?;
                Ok((change, left))
            })
            .await?;
        if let Some(place) = left {
            self.discard(&place).await;
        }
        Ok(())
    }

    /// Takes imported material out of an entry, leaving it to the sweeper; answers where it lies. `None`: there was none.
    pub(super) fn drop_imported(
        &self,
        change: &mut Change,
        mut key: Stored<KeyRecord>,
    ) -> Result<Option<Place>, KmsError> {
        let Some(material) = key.imported.as_mut().filter(|material| material.present) else {
            return Ok(None);
        };
        material.present = false;
        let place = Place { version: material.version.clone(), incarnation: key.incarnation.clone() };
        if !matches!(key.state, KeyState::PendingDeletion { .. }) {
            key.state = KeyState::PendingImport;
        }
        let left = IntentRecord {
            keystore: key.keystore.clone(),
            place: place.clone(),
            at: self.clock.now(),
            worker: self.worker.to_string(),
            dead: true,
            whole: false,
        };
        change.update_key(&key)?.bequeath(&left)?;
        Ok(Some(place))
    }

    async fn external_key(&self, caller: &Caller, id: &KeyId) -> Result<Stored<KeyRecord>, KmsError> {
        let scope = caller.scope();
        self.admit(&scope, caller.nonce.as_ref()).await?;
        let key = self.find(&scope, &KeyOrAlias::Id(id.clone())).await?;
        check_external(&key)?;
        Ok(key)
    }

    fn check_values(&self, material: &[u8], expires_at: Option<Timestamp>) -> ImportedMaterial {
        let check_key = self.random_bytes::<32>();
        ImportedMaterial {
            check_value: STANDARD.encode(keyed(&check_key, material).finalize().into_bytes()),
            check_key: STANDARD.encode(check_key),
            expires_at,
            version: self.new_version_id(),
            present: true,
        }
    }

    /// Files imported material in the key's keystore, under the version it had before.
    async fn file_imported(
        &self,
        key: &KeyRecord,
        imported: &ImportedMaterial,
        material: Zeroizing<Vec<u8>>,
    ) -> Result<NewMaterial, KmsError> {
        let place = Place { incarnation: key.incarnation.clone(), version: imported.version.clone() };
        // What was deleted a moment ago, or left by an import that crashed, goes first.
        self.sweep_deleted(&place).await?;
        let made = match self.tell(&key.keystore, place).await {
            Ok(made) => made,
            Err(KmsError::Unavailable(_)) => {
                return Err(KmsError::Unavailable("the key's former material is still being deleted".to_owned()));
            }
            Err(error) => return Err(error),
        };
        let filed = async {
            let keystore = self.keystore(&key.keystore)?;
            let material = KeyMaterial::from_imported(key.spec, material).map_err(|_| KmsError::InvalidKeyMaterial)?;
            match keystore.import(&label_of(key), &made.place, material.clone()).await {
                Err(KeystoreError::Exists) => {
                    // The intent is ours and the entry has no material, so this is nobody's.
                    keystore.destroy(&made.place.incarnation, Some(std::slice::from_ref(&made.place))).await?;
                    Ok(keystore.import(&label_of(key), &made.place, material).await?)
                }
                answer => Ok::<(), KmsError>(answer?),
            }
        };
        if let Err(error) = filed.await {
            self.discard(&made.place).await;
            return Err(error);
        }
        Ok(made)
    }

    async fn sweep_deleted(&self, place: &Place) -> Result<(), KmsError> {
        match self.catalogue.intent(place).await? {
            Some(intent) if intent.dead || intent.worker != *self.worker => self.sweep_place(place).await.map(|_| ()),
            _ => Ok(()),
        }
    }

    fn import_change(
        &self,
        guarded: &Guarded,
        mut key: Stored<KeyRecord>,
        imported: &ImportedMaterial,
        made: Option<&NewMaterial>,
    ) -> Result<(Change, ()), KmsError> {
        check_external(&key)?;
        refuse_pending_deletion(&key)?;
        let present = key.imported.as_ref().is_some_and(|known| known.present);
        let same = key.imported.as_ref().is_none_or(|known| known.check_value == imported.check_value);
        if present == made.is_some() || !same || made.is_some_and(|made| made.keystore != key.keystore) {
            return Err(KmsError::Unavailable("the key's material changed meanwhile".to_owned()));
        }
        let mut change = Change::guarded(guarded);
        if key.state == KeyState::PendingImport {
            key.state = KeyState::Enabled;
        }
        if let Some(made) = made {
            let now = self.clock.now();
            if key.version_count == 0 {
                key.version_count = 1;
                change.create_key_version(&key, &version_record(&key, made, 1, now))?;
                key.rotation.last = Some(now);
            }
            key.primary_version = Some(imported.version.clone());
            change.fulfil(&made.intent);
        }
        key.imported = Some(imported.clone());
        change.update_key(&key)?;
        Ok((change, ()))
    }
}

fn check_external(key: &KeyRecord) -> Result<(), KmsError> {
    refuse_service_key(key)?;
    if key.origin == KeyOrigin::External { Ok(()) } else { Err(KmsError::UnsupportedOrigin) }
}

/// HMAC-SHA-256 (RFC 2104) of material under the check key.
fn keyed(check_key: &[u8; 32], material: &[u8]) -> Hmac<Sha256> {
    // HMAC pads a key with zeros to the hash's block; done here, where it cannot fail.
    let mut block = [0; 64];
    block.iter_mut().zip(check_key).for_each(|(to, from)| *to = *from);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(b"keyferry imported material v1");
    mac.update(material);
    mac
}

fn is_same(known: &ImportedMaterial, material: &[u8]) -> bool {
    let key = STANDARD.decode(&known.check_key).ok().and_then(|key| <[u8; 32]>::try_from(key).ok());
    let value = STANDARD.decode(&known.check_value).ok();
    match (key, value) {
        (Some(key), Some(value)) => keyed(&key, material).verify_slice(&value).is_ok(),
        _ => false,
    }
}
