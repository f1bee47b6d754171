//! Filing a value in a keystore before the catalogue knows of it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::keystore::{Label, Place};
use crate::kms::{KmsError, NewMaterial, Service};
use crate::model::{KeyRecord, ResourceId, Scope, SecretRecord, SecretVersionId, SecretVersionRecord};

/// A value as it came, and under which ID and stages it is to be known.
pub(super) struct Draft {
    pub(super) id: SecretVersionId,
    pub(super) number: u32,
    pub(super) binary: bool,
    pub(super) stages: BTreeSet<String>,
    pub(super) value: Zeroizing<Vec<u8>>,
}

/// A value that lies in the keystore and waits for its entry.
pub(super) struct Filed {
    pub(super) version: SecretVersionRecord,
    pub(super) material: NewMaterial,
}

impl Service {
    /// Files a value under a fresh ID, telling the intent first.
    pub(super) async fn file_value(
        &self,
        secret: &SecretRecord,
        key: Option<&KeyRecord>,
        draft: &Draft,
        now: Timestamp,
    ) -> Result<Filed, KmsError> {
        let keystore = self.keystore(&secret.keystore)?;
        let place = Place { incarnation: secret.incarnation.clone(), version: self.new_version_id() };
        let envelope = self.wrap_value(secret, key, &place.version, &draft.value).await?;
        let material = self.tell(&secret.keystore, place).await?;
        if let Err(error) = keystore.put_value(&label_of(secret), &material.place, &envelope).await {
            self.discard(&material.place).await;
            return Err(error.into());
        }
        let version = SecretVersionRecord {
            id: draft.id.clone(),
            material: material.place.version.clone(),
            number: draft.number,
            created_at: now,
            binary: draft.binary,
            stages: draft.stages.clone(),
            encryption_key: secret.encryption_key.clone(),
        };
        Ok(Filed { version, material })
    }

    /// Gives up what a refused operation filed. What was committed after all stays: its intent is gone.
    pub(super) async fn discard_values(&self, filed: &[Filed]) {
        for value in filed {
            self.discard(&value.material.place).await;
        }
    }
}

/// The label under which a keystore files a secret.
fn label_of(secret: &SecretRecord) -> Label {
    Label {
        scope: Scope { region: secret.region.clone(), account: secret.account.clone() },
        resource: ResourceId::Secret(secret.name.clone()),
        incarnation: secret.incarnation.clone(),
        spec: None,
    }
}
