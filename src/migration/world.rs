//! All resources of a scope as they were read at one time: what a plan is made from.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{MigrationError, Migrations};
use crate::catalogue::RotationSeen;
use crate::model::{KeyId, KeyRecord, ResourceId, Scope, SecretName, SecretRecord};
use crate::store::{Revision, Stored};

/// The entries of a scope.
#[derive(Default)]
pub(super) struct World {
    /// Keys, service keys too.
    pub(super) keys: BTreeMap<KeyId, Stored<KeyRecord>>,
    /// Secrets.
    pub(super) secrets: BTreeMap<SecretName, Stored<SecretRecord>>,
}

impl World {
    /// Reads all of them.
    pub(super) async fn read(migrations: &Migrations, scope: &Scope) -> Result<Self, MigrationError> {
        let catalogue = &migrations.service.catalogue;
        let keys = catalogue.keys(scope).await?.into_iter().map(|key| (key.id.clone(), key)).collect();
        let secrets = catalogue.secrets_by_name(scope).await?;
        let secrets = secrets.into_iter().map(|secret| (secret.name.clone(), secret)).collect();
        Ok(Self { keys, secrets })
    }

    /// What is still in the shared keystore, service keys excepted.
    pub(super) fn shared(&self) -> BTreeSet<ResourceId> {
        let keys = self.keys.values().filter(|key| key.keystore.instance().is_none() && key.service.is_none());
        let secrets = self.secrets.values().filter(|secret| secret.keystore.instance().is_none());
        keys.map(|key| ResourceId::Key(key.id.clone()))
            .chain(secrets.map(|s| ResourceId::Secret(s.name.clone())))
            .collect()
    }

    /// The order of a plan: keys, then secrets, each in the order of creation.
    pub(super) fn in_order(&self, chosen: BTreeSet<ResourceId>) -> Vec<ResourceId> {
        // Stable: what was made at the same instant stays in the order of its names.
        let mut chosen: Vec<ResourceId> = chosen.into_iter().collect();
        chosen.sort_by_cached_key(|resource| (resource.kind(), self.created_at(resource)));
        chosen
    }

    /// What rotates, in the order of a plan.
    pub(super) fn rotating(&self) -> Vec<RotationSeen> {
        let keys = self.keys.values().filter(|key| key.rotation.enabled);
        let secrets = self.secrets.values().filter(|secret| secret.rotation.enabled);
        let mut rotating: Vec<(Timestamp, RotationSeen)> = keys
            .map(|key| (key.created_at, RotationSeen::of(ResourceId::Key(key.id.clone()), &key.rotation)))
            .chain(secrets.map(|secret| {
                (secret.created_at, RotationSeen::of(ResourceId::Secret(secret.name.clone()), &secret.rotation))
            }))
            .collect();
        rotating.sort_by_key(|(created_at, seen)| (seen.resource.kind(), *created_at));
        rotating.into_iter().map(|(_, seen)| seen).collect()
    }

    /// The revision of an entry.
    pub(super) fn revision(&self, resource: &ResourceId) -> Option<Revision> {
        match resource {
            ResourceId::Key(id) => self.keys.get(id).map(Stored::revision),
            ResourceId::Secret(name) => self.secrets.get(name).map(Stored::revision),
        }
    }

    /// How many versions a resource has, as its entry says.
    pub(super) fn versions(&self, resource: &ResourceId) -> u32 {
        let versions = match resource {
            ResourceId::Key(id) => self.keys.get(id).map(|key| key.version_count),
            ResourceId::Secret(name) => self.secrets.get(name).map(|secret| secret.version_count),
        };
        versions.unwrap_or_default()
    }

    fn created_at(&self, resource: &ResourceId) -> Option<Timestamp> {
        match resource {
            ResourceId::Key(id) => self.keys.get(id).map(|key| key.created_at),
            ResourceId::Secret(name) => self.secrets.get(name).map(|secret| secret.created_at),
        }
    }
}
