//! Making material: told first, made second, committed third (design §4), so that a crash leaves nothing nobody knows of.

use uuid::Builder;

use super::{KmsError, Service};
use crate::catalogue::{Intent, IntentRecord};
use crate::keystore::{Label, Place};
use crate::model::{Incarnation, KeyRecord, KeystoreId, MaterialId, ResourceId, Scope};

/// Material that was made and is not in the catalogue yet: commit with [`NewMaterial::intent`] fulfilled, or
/// [`Service::discard`] it.
pub struct NewMaterial {
    /// To be fulfilled by the committing change.
    pub intent: Intent,
    /// Where it lies.
    pub place: Place,
    /// In which keystore.
    pub keystore: KeystoreId,
}

impl Service {
    /// Generates a version of a key in its keystore. The caller has checked that its scope is not locked.
    ///
    /// # Errors
    /// When the intent cannot be told or the keystore refuses.
    pub async fn generate_version(&self, key: &KeyRecord) -> Result<NewMaterial, KmsError> {
        let place = Place { incarnation: key.incarnation.clone(), version: self.new_version_id() };
        let material = self.tell(&key.keystore, place).await?;
        let keystore = self.keystore(&key.keystore)?;
        if let Err(error) = keystore.generate(&label_of(key), &material.place).await {
            self.discard(&material.place).await;
            return Err(error.into());
        }
        Ok(material)
    }

    /// Tells what will be filed at `place`.
    ///
    /// # Errors
    /// When the store refuses.
    pub(super) async fn tell(&self, keystore: &KeystoreId, place: Place) -> Result<NewMaterial, KmsError> {
        let record = IntentRecord {
            keystore: keystore.clone(),
            place: place.clone(),
            at: self.clock.now(),
            worker: self.worker.to_string(),
            dead: false,
            whole: false,
        };
        let intent = self.catalogue.intend(&record).await?;
        Ok(NewMaterial { intent, place, keystore: keystore.clone() })
    }

    /// A random version ID.
    #[must_use]
    pub fn new_version_id(&self) -> MaterialId {
        MaterialId::from_bytes(Builder::from_random_bytes(self.random_bytes()).into_uuid().into_bytes())
    }

    /// A random incarnation.
    #[must_use]
    pub fn new_incarnation(&self) -> Incarnation {
        Incarnation::from_bytes(self.random_bytes())
    }

    pub(super) fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes);
        bytes
    }
}

/// The label under which a keystore files a key.
pub(super) fn label_of(key: &KeyRecord) -> Label {
    Label {
        scope: Scope { region: key.region.clone(), account: key.account.clone() },
        resource: ResourceId::Key(key.id.clone()),
        incarnation: key.incarnation.clone(),
        spec: Some(key.spec),
    }
}
