//! The flip of an entry and its exact reverse, as pure functions.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::MigrationError;
use crate::model::{InstanceId, JobId, KeyRecord, KeystoreId, Placement, ProtectionLevel, SecretRecord};

/// Where a job moves resources.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    /// The job.
    pub(super) job: JobId,
    /// The instance.
    pub(super) instance: InstanceId,
    /// True for hardware.
    pub(super) hardware: bool,
}

/// An entry that can flip.
pub(super) trait Flip: Serialize + Sized {
    /// Points the entry at the destination and sets the default policy; false when it already points there by this job.
    fn flip(&mut self, to: &Destination) -> bool;
    /// Undoes this job's flip; false when there was none.
    fn flip_back(&mut self, job: &JobId) -> bool;
}

/// Names of the fields that a flip may change; everything else is as before (invariant 5).
const MAY_DIFFER: [&str; 4] = ["keystore", "policy", "protection_level", "placement"];

/// SHA-256 of an entry's JSON, hexadecimal.
pub(super) fn entry_digest<T: Serialize>(entry: &T) -> Result<String, MigrationError> {
    let json = serde_json::to_vec(entry).map_err(|e| MigrationError::Internal(e.to_string()))?;
    Ok(hex::encode(Sha256::digest(json)))
}

/// Compares an entry as it will read (or reads) after the flip with the entry as locked, field by field.
pub(super) fn same_but_for_the_flip<T: Serialize>(before: &T, after: &T) -> Result<(), String> {
    let object = |entry: &T| match serde_json::to_value(entry) {
        Ok(serde_json::Value::Object(map)) => Ok(map),
        Ok(_) => Err("an entry that is not an object".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let (before, after) = (object(before)?, object(after)?);
    let differing = before
        .keys()
        .chain(after.keys())
        .find(|field| !MAY_DIFFER.contains(&field.as_str()) && before.get(field.as_str()) != after.get(field.as_str()));
    differing.map_or(Ok(()), |field| Err(format!("field {field} differs")))
}

impl Flip for KeyRecord {
    fn flip(&mut self, to: &Destination) -> bool {
        if self.placement.as_ref().is_some_and(|p| p.job == to.job) {
            return false;
        }
        let earlier = self.placement.take().map(Box::new);
        self.placement = Some(Placement {
            job: to.job.clone(),
            keystore: self.keystore.clone(),
            policy: self.policy.clone(),
            protection_level: Some(self.protection_level),
            earlier,
        });
        self.keystore = KeystoreId::Instance(to.instance.clone());
        self.policy = Some(default_policy("kms default key policy", self.account.as_str()));
        if to.hardware {
            self.protection_level = ProtectionLevel::Hsm;
        }
        true
    }

    fn flip_back(&mut self, job: &JobId) -> bool {
        let Some(placement) = self.placement.take_if(|p| p.job == *job) else { return false };
        self.keystore = placement.keystore;
        self.policy = placement.policy;
        self.protection_level = placement.protection_level.unwrap_or(self.protection_level);
        self.placement = placement.earlier.map(|earlier| *earlier);
        true
    }
}

impl Flip for SecretRecord {
    fn flip(&mut self, to: &Destination) -> bool {
        if self.placement.as_ref().is_some_and(|p| p.job == to.job) {
            return false;
        }
        let earlier = self.placement.take().map(Box::new);
        self.placement = Some(Placement {
            job: to.job.clone(),
            keystore: self.keystore.clone(),
            policy: self.policy.clone(),
            protection_level: None,
            earlier,
        });
        self.keystore = KeystoreId::Instance(to.instance.clone());
        self.policy = Some(default_policy("kms default secret policy", self.account.as_str()));
        true
    }

    fn flip_back(&mut self, job: &JobId) -> bool {
        let Some(placement) = self.placement.take_if(|p| p.job == *job) else { return false };
        self.keystore = placement.keystore;
        self.policy = placement.policy;
        self.placement = placement.earlier.map(|earlier| *earlier);
        true
    }
}

/// The default policy of the API pages SetKeyPolicy and SetSecretPolicy.
pub(crate) fn default_policy(sid: &str, account: &str) -> String {
    format!(
        r#"{{"Version":"1","Statement":[{{"Sid":"{sid}","Effect":"Allow","Principal":{{"RAM":["acs:ram::{account}:*"]}},"Action":["kms:*"],"Resource":["*"]}}]}}"#
    )
}
