//! CreateKey, and the checks of what may be created where.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::new_material::NewMaterial;
use super::{By, Caller, InstanceFacts, KeyView, KmsError, Service, check_policy, default_policy};
use crate::catalogue::{Change, Demand, Guarded};
use crate::model::{
    InstanceId, KeyId, KeyOrigin, KeyRecord, KeySpec, KeyState, KeyUsage, KeyVersionRecord, KeystoreId,
    ProtectionLevel, ResourceKind, Rotation, Scope, TagMap,
};

/// What the caller of CreateKey wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Algorithm and size.
    pub spec: KeySpec,
    /// What for; absent: what the spec is first of all for.
    pub usage: Option<KeyUsage>,
    /// Generated, or to be imported.
    pub origin: KeyOrigin,
    /// Asked for; counts in the shared KMS only, an instance has its own.
    pub protection: Option<ProtectionLevel>,
    /// Description.
    pub description: String,
    /// The instance; absent: the account's default instance if it has one, else the shared KMS.
    pub instance: Option<InstanceId>,
    /// Tags.
    pub tags: TagMap,
    /// The period of automatic rotation, if it is to be on.
    pub rotation: Option<Duration>,
    /// Policy document; keys of an instance only.
    pub policy: Option<String>,
}

impl Default for NewKey {
    fn default() -> Self {
        Self {
            spec: KeySpec::Aes256,
            usage: None,
            origin: KeyOrigin::Kms,
            protection: None,
            description: String::new(),
            instance: None,
            tags: TagMap::new(),
            rotation: None,
            policy: None,
        }
    }
}

impl Service {
    /// Creates a key with its first version; an EXTERNAL one waits for its material.
    ///
    /// # Errors
    /// What does not fit together, an instance that is not the caller's, a quota, or a locked scope.
    pub async fn create_key(&self, caller: &Caller, new: NewKey) -> Result<KeyView, KmsError> {
        let scope = caller.scope();
        self.admit(&scope, caller.nonce.as_ref()).await?;
        let mut new = new;
        if new.instance.is_none() {
            new.instance = self.default_instance(&scope).await?;
        }
        let facts = match &new.instance {
            Some(id) => Some(self.open_instance(&scope, id).await?),
            None => None,
        };
        check(&new, facts.as_ref())?;
        if let Some(facts) = &facts {
            self.check_room(&scope, facts, Demand { keys: 1, secrets: 0 }, None).await?;
        }
        let key = self.new_key_record(caller, new, facts.as_ref());
        self.file_key(&scope, key, facts.as_ref(), By::Caller(caller)).await
    }

    /// An instance in which the account may create resources: its own, or one that is shared with it inside their resource
    /// directory.
    ///
    /// # Errors
    /// `InstanceNotFound`.
    pub async fn usable_instance(&self, scope: &Scope, id: &InstanceId) -> Result<InstanceFacts, KmsError> {
        // Read in any case: somebody else's instance takes as long as one that does not exist.
        let record = self.catalogue.instance(id).await?;
        let facts = self.keystores.instance(id).filter(|facts| facts.region == scope.region);
        let facts = facts.filter(|facts| !self.keystores.withdrawn().instances.contains(&facts.id));
        let facts = facts.ok_or(KmsError::InstanceNotFound)?;
        let shared = facts.shared_with.contains(&scope.account)
            || record.is_some_and(|record| record.shared_with.contains(&scope.account));
        let shared = shared && self.keystores.check_share(&facts.owner, &scope.account).is_ok();
        if facts.owner == scope.account || shared { Ok(facts) } else { Err(KmsError::InstanceNotFound) }
    }

    /// Counts what a change adds to an instance and refuses what its quota does not allow. Guarded: the change conflicts
    /// when the count has changed meanwhile, or when the account's share has gone.
    ///
    /// # Errors
    /// `LimitExceeded`; `InstanceNotFound` when the account may not use it any more.
    pub async fn check_room(
        &self,
        scope: &Scope,
        facts: &InstanceFacts,
        more: Demand,
        change: Option<&mut Change>,
    ) -> Result<(), KmsError> {
        // The quota is read after the change has compared it: if it is newer than what the change compares, that conflicts.
        if let Some(change) = change {
            self.catalogue.count_in(change, &facts.id, more, Demand::default()).await?;
            // So is the share: what takes it away changes the account's count.
            self.usable_instance(scope, &facts.id).await?;
        }
        let taken = self.catalogue.quota(&facts.id).await?.taken(None);
        let over = |taken: u64, more: u64, quota: u64| more > 0 && taken.saturating_add(more) > quota;
        if over(taken.keys, more.keys, facts.key_quota) {
            return Err(KmsError::LimitExceeded(format!("Instance {} may hold {} keys.", facts.id, facts.key_quota)));
        }
        if over(taken.secrets, more.secrets, facts.secret_quota) {
            return Err(KmsError::LimitExceeded(format!(
                "Instance {} may hold {} secrets.",
                facts.id, facts.secret_quota
            )));
        }
        Ok(())
    }

    /// Makes the material of a new key and commits its entry.
    pub(super) async fn file_key(
        &self,
        scope: &Scope,
        key: KeyRecord,
        facts: Option<&InstanceFacts>,
        by: By<'_>,
    ) -> Result<KeyView, KmsError> {
        let material = match key.origin {
            KeyOrigin::Kms => Some(self.generate_version(&key).await?),
            KeyOrigin::External => None,
        };
        let mut key = key;
        key.primary_version = material.as_ref().map(|m| m.place.version.clone());
        key.version_count = u32::from(material.is_some());
        let (entry, made) = (&key, material.as_ref());
        let committed =
            self.change(scope, by, |guarded| async move {
                Ok((self.entry_change(&guarded, entry, made, facts).await?, ()))
            })
            .await;
        if let Err(error) = committed {
            if let Some(material) = &material {
                self.discard(&material.place).await;
            }
            return Err(error);
        }
        self.view(key).await
    }

    async fn entry_change(
        &self,
        guarded: &Guarded,
        key: &KeyRecord,
        material: Option<&NewMaterial>,
        facts: Option<&InstanceFacts>,
    ) -> Result<Change, KmsError> {
        let mut change = Change::guarded(guarded);
        change.create_key(key)?;
        for alias in &key.aliases {
            change.create_alias(guarded.scope(), alias, &key.id)?;
        }
        if let Some(material) = material {
            change.create_key_version(key, &version_record(key, material, 1, key.created_at))?;
            change.fulfil(&material.intent);
        }
        if let Some(facts) = facts {
            self.check_room(guarded.scope(), facts, Demand { keys: 1, secrets: 0 }, Some(&mut change)).await?;
        }
        Ok(change)
    }

    fn new_key_record(&self, caller: &Caller, new: NewKey, facts: Option<&InstanceFacts>) -> KeyRecord {
        let now = self.clock.now();
        let policy = new.policy.or_else(|| facts.map(|_| default_policy(ResourceKind::Key, &caller.account)));
        let protection_level = match facts {
            Some(facts) if facts.hardware => ProtectionLevel::Hsm,
            _ => ProtectionLevel::Software,
        };
        KeyRecord {
            usage: new.usage.or(new.spec.usages().first().copied()).unwrap_or(KeyUsage::EncryptDecrypt),
            description: new.description,
            tags: new.tags,
            policy,
            protection_level,
            rotation: Rotation {
                enabled: new.rotation.is_some(),
                interval: new.rotation,
                ..first_rotation(new.origin, now)
            },
            ..self.blank_key(&caller.scope(), new.spec, new.origin, facts.map(|facts| &facts.id), now)
        }
    }

    /// A key record with nothing asked for.
    pub(super) fn blank_key(
        &self,
        scope: &Scope,
        spec: KeySpec,
        origin: KeyOrigin,
        instance: Option<&InstanceId>,
        now: Timestamp,
    ) -> KeyRecord {
        KeyRecord {
            id: self.new_key_id(instance),
            account: scope.account.clone(),
            region: scope.region.clone(),
            incarnation: self.new_incarnation(),
            keystore: instance
                .map_or_else(|| KeystoreId::Shared(scope.region.clone()), |id| KeystoreId::Instance(id.clone())),
            spec,
            usage: spec.usages().first().copied().unwrap_or(KeyUsage::EncryptDecrypt),
            origin,
            protection_level: ProtectionLevel::Software,
            state: if origin == KeyOrigin::Kms { KeyState::Enabled } else { KeyState::PendingImport },
            description: String::new(),
            creator: scope.account.to_string(),
            service: None,
            created_at: now,
            primary_version: None,
            version_count: 0,
            rotation: first_rotation(origin, now),
            deletion_protection: false,
            deletion_protection_description: String::new(),
            aliases: BTreeSet::new(),
            tags: TagMap::new(),
            policy: None,
            imported: None,
            placement: None,
        }
    }

    /// A UUID in the shared KMS; in an instance `key-`, the region code of its ID and 17 digits and letters.
    fn new_key_id(&self, instance: Option<&InstanceId>) -> KeyId {
        let random = uuid::Builder::from_random_bytes(self.random_bytes()).into_uuid();
        let shared = random.hyphenated().to_string();
        let text = match instance {
            None => shared.clone(),
            Some(id) => {
                let name = id.as_str().strip_prefix("kst-").unwrap_or_default();
                let code: String = name.chars().take_while(char::is_ascii_lowercase).take(4).collect();
                let tail: String = hex::encode(self.random_bytes::<9>()).chars().take(17).collect();
                format!("key-{code}{tail}")
            }
        };
        // Both forms are valid by construction; the UUID is so without any doubt.
        text.parse().or_else(|_| shared.parse()).unwrap_or_else(|_| self.new_key_id(None))
    }
}

/// The record of a version that was made.
pub(super) fn version_record(key: &KeyRecord, material: &NewMaterial, number: u32, now: Timestamp) -> KeyVersionRecord {
    KeyVersionRecord { key: key.id.clone(), id: material.place.version.clone(), number, created_at: now }
}

fn first_rotation(origin: KeyOrigin, now: Timestamp) -> Rotation {
    Rotation { last: (origin == KeyOrigin::Kms).then_some(now), ..Rotation::default() }
}

fn check(new: &NewKey, facts: Option<&InstanceFacts>) -> Result<(), KmsError> {
    if facts.is_none() && new.spec.is_of_instances() {
        return Err(KmsError::InvalidParameterBecause {
            name: "KeySpec",
            reason: format!("keys of spec {} exist in instances only; send DKMSInstanceId", new.spec),
        });
    }
    if new.usage.is_some_and(|usage| !new.spec.usages().contains(&usage)) {
        return Err(KmsError::InvalidParameterBecause {
            name: "KeyUsage",
            reason: format!("a key of spec {} cannot be used for it", new.spec),
        });
    }
    if new.origin == KeyOrigin::External && !new.spec.is_symmetric() {
        return Err(KmsError::UnsupportedOrigin);
    }
    if new.rotation.is_some() {
        check_rotates(new.spec, new.origin)?;
        if facts.is_some_and(|facts| facts.hardware) {
            return Err(KmsError::UnsupportedOperation("keys of a hardware instance do not rotate".to_owned()));
        }
    }
    if facts.is_none() && new.protection == Some(ProtectionLevel::Hsm) {
        return Err(KmsError::UnsupportedProtectionLevel);
    }
    match (&new.policy, facts) {
        (Some(_), None) => Err(KmsError::InvalidParameterBecause {
            name: "Policy",
            reason: "only keys of an instance have a policy".to_owned(),
        }),
        (Some(policy), Some(_)) => check_policy(policy),
        (None, _) => Ok(()),
    }
}

/// Only symmetric keys that the KMS generated rotate by themselves.
pub(super) fn check_rotates(spec: KeySpec, origin: KeyOrigin) -> Result<(), KmsError> {
    if origin != KeyOrigin::Kms {
        return Err(KmsError::UnsupportedOrigin);
    }
    if spec.is_symmetric() {
        Ok(())
    } else {
        Err(KmsError::UnsupportedOperation("keys of this spec do not rotate by themselves".to_owned()))
    }
}
