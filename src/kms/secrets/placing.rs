//! Which keystore a new secret goes to, and under which key.

use crate::catalogue::KeyOrAlias;
use crate::kms::{Caller, InstanceFacts, KmsError, Service};
use crate::model::{InstanceId, KeyRecord, KeyUsage, KeystoreId};
use crate::store::Stored;

/// Where a new secret goes.
pub(super) struct Home {
    pub(super) keystore: KeystoreId,
    /// What is known of the instance, if it goes into one.
    pub(super) instance: Option<InstanceFacts>,
    pub(super) key: Option<Stored<KeyRecord>>,
}

impl Service {
    /// Decides where a new secret goes. A secret lies where its key lies; where no instance is named, it follows its key,
    /// and without a key goes to the account's default instance.
    pub(super) async fn home(
        &self,
        caller: &Caller,
        instance: Option<&InstanceId>,
        key: Option<&KeyOrAlias>,
    ) -> Result<Home, KmsError> {
        let key = match key {
            Some(name) => Some(self.encryption_key(caller, name).await?),
            None => None,
        };
        let keystore = match (instance, &key) {
            (Some(id), _) => KeystoreId::Instance(id.clone()),
            (None, Some(key)) => key.keystore.clone(),
            (None, None) => match self.default_instance(&caller.scope()).await? {
                Some(id) => KeystoreId::Instance(id),
                None => KeystoreId::Shared(caller.region.clone()),
            },
        };
        let instance = match &keystore {
            KeystoreId::Instance(id) => Some(self.open_instance(&caller.scope(), id).await?),
            KeystoreId::Shared(_) => None,
        };
        if key.as_ref().is_some_and(|key| key.keystore != keystore) {
            return Err(KmsError::InvalidParameterBecause {
                name: "EncryptionKeyId",
                reason: "the key is not in the instance that is to hold the secret".to_owned(),
            });
        }
        Ok(Home { keystore, instance, key })
    }

    async fn encryption_key(&self, caller: &Caller, name: &KeyOrAlias) -> Result<Stored<KeyRecord>, KmsError> {
        let key = self.find(&caller.scope(), name).await?;
        if key.service.is_some() {
            return Err(KmsError::UnsupportedOperation("a service key does not encrypt secrets.".to_owned()));
        }
        if !key.spec.is_symmetric() || key.usage != KeyUsage::EncryptDecrypt {
            return Err(KmsError::InvalidParameterBecause {
                name: "EncryptionKeyId",
                reason: "a secret is encrypted under a symmetric key".to_owned(),
            });
        }
        self.require_enabled(&key)?;
        Ok(key)
    }
}
