//! Versions of a key: made by hand or by rotation, described, listed.

use jiff::Timestamp;

use super::create_key::version_record;
use super::key_changes::refuse_service_key;
use super::new_material::NewMaterial;
use super::{Caller, KmsError, Service};
use crate::catalogue::{Change, Guarded, KeyOrAlias};
use crate::model::{KeyId, KeyOrigin, KeyRecord, KeyVersionRecord, MaterialId};
use crate::store::Stored;

/// Versions a key may have (kms-protocol.md §9).
pub(super) const MAX_VERSIONS: u32 = 50;

impl Service {
    /// CreateKeyVersion: the new version of a symmetric key becomes its primary version.
    ///
    /// # Errors
    /// `UnsupportedOrigin` for imported material, `KeyState` for a key that is not enabled, `LimitExceeded` at 50 versions.
    pub async fn create_key_version(&self, caller: &Caller, name: &KeyOrAlias) -> Result<KeyVersionRecord, KmsError> {
        let scope = caller.scope();
        self.admit(&scope, caller.nonce.as_ref()).await?;
        let key = self.find(&scope, name).await?;
        self.check_new_version(&key)?;
        let id = KeyOrAlias::Id(key.id.clone());
        let material = self.generate_version(&key).await?;
        let (scope, id, made) = (&scope, &id, &material);
        let committed = self
            .manage(caller, |guarded| async move {
                let key = self.find(scope, id).await?;
                self.check_new_version(&key)?;
                self.add_version(&guarded, key, made, self.clock.now())
            })
            .await;
        if committed.is_err() {
            self.discard(&material.place).await;
        }
        committed
    }

    /// DescribeKeyVersion.
    ///
    /// # Errors
    /// `KeyVersionNotFound`, and those of finding the key.
    pub async fn describe_key_version(
        &self,
        caller: &Caller,
        name: &KeyOrAlias,
        version: &str,
    ) -> Result<(KeyId, KeyVersionRecord), KmsError> {
        let key = self.find(&caller.scope(), name).await?;
        Ok((key.id.clone(), self.version_of(&key, version).await?))
    }

    /// All versions of a key, oldest first.
    ///
    /// # Errors
    /// Those of finding the key.
    pub async fn list_key_versions(
        &self,
        caller: &Caller,
        name: &KeyOrAlias,
    ) -> Result<(KeyId, Vec<KeyVersionRecord>), KmsError> {
        let key = self.find(&caller.scope(), name).await?;
        let versions = self.catalogue.key_versions(&key.incarnation).await?;
        Ok((key.id.clone(), versions.into_iter().map(Stored::into_value).collect()))
    }

    /// A version of a key by the text a caller sent.
    pub(super) async fn version_of(&self, key: &KeyRecord, version: &str) -> Result<KeyVersionRecord, KmsError> {
        let id: MaterialId = version.parse().map_err(|_| KmsError::KeyVersionNotFound)?;
        let found = self.catalogue.key_version(&key.incarnation, &id).await?;
        Ok(found.ok_or(KmsError::KeyVersionNotFound)?.into_value())
    }

    /// The change that adds a version which was made for `key`.
    pub(super) fn add_version(
        &self,
        guarded: &Guarded,
        mut key: Stored<KeyRecord>,
        material: &NewMaterial,
        now: Timestamp,
    ) -> Result<(Change, KeyVersionRecord), KmsError> {
        // Material is sealed for its keystore; the key has moved while it was made.
        if key.keystore != material.keystore || key.incarnation != material.place.incarnation {
            return Err(KmsError::Unavailable("the key has moved while its version was made".to_owned()));
        }
        key.version_count = key.version_count.saturating_add(1);
        let version = version_record(&key, material, key.version_count, now);
        if key.spec.is_symmetric() {
            key.primary_version = Some(version.id.clone());
        }
        key.rotation.last = Some(now);
        let mut change = Change::guarded(guarded);
        change.create_key_version(&key, &version)?;
        change.update_key(&key)?.fulfil(&material.intent);
        Ok((change, version))
    }

    fn check_new_version(&self, key: &KeyRecord) -> Result<(), KmsError> {
        refuse_service_key(key)?;
        if key.origin != KeyOrigin::Kms {
            return Err(KmsError::UnsupportedOrigin);
        }
        if key.spec.is_mac() {
            return Err(KmsError::UnsupportedOperation("an HMAC key has one version".to_owned()));
        }
        self.refuse_hardware(key)?;
        self.require_enabled(key)?;
        if key.version_count >= MAX_VERSIONS {
            return Err(KmsError::LimitExceeded(format!("A key has at most {MAX_VERSIONS} versions.")));
        }
        Ok(())
    }
}
