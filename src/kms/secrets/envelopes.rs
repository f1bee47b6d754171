//! From a value to what a keystore stores, and back: the data key and the customer master key around it.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::crypto::envelope::{SecretEnvelope, ValueAddress, open_value, seal_value};
use crate::keystore::Place;
use crate::kms::{KmsError, Service};
use crate::model::{KeyId, KeyRecord, MaterialId, SecretRecord, SecretVersionRecord};

impl Service {
    /// Wraps a value for a secret's keystore, under its customer master key if it has one.
    pub(super) async fn wrap_value(
        &self,
        secret: &SecretRecord,
        key: Option<&KeyRecord>,
        material: &MaterialId,
        value: &Zeroizing<Vec<u8>>,
    ) -> Result<SecretEnvelope, KmsError> {
        let Some(key) = key else {
            return Ok(SecretEnvelope::System { value: value.clone() });
        };
        self.require_enabled(key)?;
        let mut data_key = Zeroizing::new([0_u8; 32]);
        self.random.fill(data_key.as_mut());
        let address = address(secret, material);
        let sealed_value = seal_value(&data_key, &address, self.random.as_ref(), value).map_err(internal)?;
        let sealed = self.seal_blob(key, data_key.as_slice(), &context(secret, material)).await?;
        Ok(SecretEnvelope::Cmk { key_id: sealed.key, blob: sealed.blob, sealed_value })
    }

    /// The value of a version.
    pub(super) async fn open_version(
        &self,
        secret: &SecretRecord,
        version: &SecretVersionRecord,
    ) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        let place = Place { incarnation: secret.incarnation.clone(), version: version.material.clone() };
        let place = &place;
        let envelope = self.ask_for_secret(secret, |keystore| async move { keystore.read_value(place).await }).await?;
        match envelope {
            SecretEnvelope::System { value } => Ok(value),
            SecretEnvelope::Cmk { key_id, blob, sealed_value } => {
                if version.encryption_key.as_ref() != Some(&key_id) {
                    return Err(KmsError::Internal(format!("a value of secret {} names another key", secret.name)));
                }
                let data_key =
                    self.unwrap_data_key(secret, &key_id, &context(secret, &version.material), &blob).await?;
                open_value(&data_key, &address(secret, &version.material), &sealed_value).map_err(internal)
            }
        }
    }

    async fn unwrap_data_key(
        &self,
        secret: &SecretRecord,
        key_id: &KeyId,
        context: &BTreeMap<String, String>,
        blob: &[u8],
    ) -> Result<Zeroizing<[u8; 32]>, KmsError> {
        let key = self.catalogue.key(&secret.region, key_id).await?.ok_or(KmsError::KeyNotFound)?;
        self.require_enabled(&key)?;
        let opened = self.open_blob(&key, blob, context).await.map_err(|error| match error {
            // The caller sent no blob: that it does not open is a fault of ours.
            KmsError::InvalidParameter(_) => {
                KmsError::Internal(format!("a data key of secret {} does not open", secret.name))
            }
            other => other,
        })?;
        let mut data_key = Zeroizing::new([0_u8; 32]);
        if opened.plaintext.len() != data_key.len() {
            return Err(KmsError::Internal(format!("a data key of secret {} has a wrong length", secret.name)));
        }
        data_key.copy_from_slice(&opened.plaintext);
        Ok(data_key)
    }
}

/// Ties a data key to the one value it is for.
fn context(secret: &SecretRecord, material: &MaterialId) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("secret".to_owned(), secret.name.to_string()),
        ("incarnation".to_owned(), secret.incarnation.to_string()),
        ("version".to_owned(), material.to_string()),
    ])
}

fn address<'a>(secret: &'a SecretRecord, material: &'a MaterialId) -> ValueAddress<'a> {
    ValueAddress {
        account: &secret.account,
        region: &secret.region,
        name: &secret.name,
        incarnation: &secret.incarnation,
        version: material,
    }
}

fn internal(error: crate::crypto::CryptoError) -> KmsError {
    KmsError::Internal(error.to_string())
}
