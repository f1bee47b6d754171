//! What a keystore holds, each record opened from the durable store: for the doctor.

use std::collections::BTreeSet;

use super::vault::{OpenHead, Sight};
use super::{SoftwareKeystore, layout};
use crate::keystore::{Held, HeldVersion, KeystoreError, Place};
use crate::model::{Incarnation, MaterialId};

impl SoftwareKeystore {
    pub(super) async fn held_records(&self) -> Result<Vec<Held>, KeystoreError> {
        let entries = self.scan(layout::RESOURCES).await?;
        let incarnations: BTreeSet<Incarnation> =
            entries.iter().filter_map(|(key, _)| layout::incarnation(key)).collect();
        let mut all = Vec::new();
        for incarnation in incarnations {
            let versions: BTreeSet<MaterialId> = entries
                .iter()
                .filter(|(key, _)| layout::incarnation(key).as_ref() == Some(&incarnation))
                .filter_map(|(key, _)| layout::version_of(key))
                .collect();
            all.extend(self.held(incarnation, versions).await?);
        }
        Ok(all)
    }

    /// `None`: it has gone meanwhile.
    async fn held(&self, incarnation: Incarnation, ids: BTreeSet<MaterialId>) -> Result<Option<Held>, KeystoreError> {
        let head = match self.read_head(&incarnation).await {
            Ok(Some(head)) => Ok(head),
            Ok(None) if ids.is_empty() => return Ok(None),
            Ok(None) => Err("its head is missing".to_owned()),
            Err(error @ KeystoreError::Damaged { .. }) => Err(error.to_string()),
            Err(KeystoreError::Moved(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut versions = Vec::new();
        for id in ids {
            let fault = match &head {
                Ok(head) => {
                    self.fault_of(head, Place { incarnation: incarnation.clone(), version: id.clone() }).await?
                }
                Err(why) => Some(why.clone()),
            };
            versions.push(HeldVersion { id, fault });
        }
        let (label, staged_by) = match head {
            Ok(head) => (Ok(head.label), head.staged_by),
            Err(why) => (Err(why), None),
        };
        let settled = self.sight(staged_by.as_ref()).await? == Sight::Settled;
        Ok(Some(Held { incarnation, label, staged_by, settled, versions }))
    }

    async fn fault_of(&self, head: &OpenHead, place: Place) -> Result<Option<String>, KeystoreError> {
        let opened = match self.read_version(&place).await {
            Ok(Some(sealed)) if head.label.spec.is_some() => match self.open_key(head, &place.version, &sealed).await {
                Ok(key) => self.prove_usable(&key).await,
                Err(error) => Err(error),
            },
            Ok(Some(sealed)) => self.open_envelope(head, &place.version, &sealed).map(drop),
            Ok(None) => return Ok(None),
            Err(error) => Err(error),
        };
        match opened {
            Ok(()) => Ok(None),
            Err(error @ KeystoreError::Damaged { .. }) => Ok(Some(error.to_string())),
            Err(error) => Err(error),
        }
    }
}
