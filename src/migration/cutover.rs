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
    /// The first field, by name, that differs although no flip may change it (invariant 5).
    fn differing(&self, other: &Self) -> Option<&'static str>;
}

/// [`Flip::differing`] from the fields that stay and those that a flip may change. A field of the entry that stands among
/// neither does not compile.
macro_rules! differing {
    ($entry:ident: stay $($stays:ident),+; flip $($flips:ident),+) => {
        fn differing(&self, other: &Self) -> Option<&'static str> {
            let $entry { $($stays,)+ $($flips: _,)+ } = self;
            let same = [$((stringify!($stays), *$stays == other.$stays),)+];
            same.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
        }
    };
}

/// SHA-256 of an entry's JSON, hexadecimal.
pub(super) fn entry_digest<T: Serialize>(entry: &T) -> Result<String, MigrationError> {
    let mut json = Vec::with_capacity(1024);
    serde_json::to_writer(&mut json, entry).map_err(|e| MigrationError::Internal(e.to_string()))?;
    Ok(hex::encode(Sha256::digest(json)))
}

/// Compares an entry as it will read (or reads) after the flip with the entry as locked, field by field.
pub(super) fn same_but_for_the_flip<T: Flip>(before: &T, after: &T) -> Result<(), String> {
    before.differing(after).map_or(Ok(()), |field| Err(format!("field {field} differs")))
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

    differing! {
        KeyRecord:
        stay account, aliases, created_at, creator, deletion_protection, deletion_protection_description, description,
            id, imported, incarnation, origin, primary_version, region, rotation, service, spec, state, tags, usage,
            version_count;
        flip keystore, placement, policy, protection_level
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

    differing! {
        SecretRecord:
        stay account, created_at, description, encryption_key, extended_config, incarnation, name, planned_delete_at,
            region, rotation, secret_type, tags, updated_at, version_count;
        flip keystore, placement, policy
    }
}

/// The default policy of the API pages SetKeyPolicy and SetSecretPolicy.
pub(crate) fn default_policy(sid: &str, account: &str) -> String {
    format!(
        r#"{{"Version":"1","Statement":[{{"Sid":"{sid}","Effect":"Allow","Principal":{{"RAM":["acs:ram::{account}:*"]}},"Action":["kms:*"],"Resource":["*"]}}]}}"#
    )
}

#[cfg(test)]
#[path = "cutover_tests.rs"]
mod tests;
