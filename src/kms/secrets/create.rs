//! CreateSecret.

use std::collections::BTreeSet;
use std::time::Duration;

use zeroize::Zeroizing;

use super::filing::{Draft, Filed};
use super::placing::Home;
use super::shapes::{Shape, shape};
use super::stages::{CURRENT, PREVIOUS};
use crate::catalogue::{Change, Demand, Guarded, KeyOrAlias};
use crate::kms::{Caller, InstanceFacts, KmsError, Service, check_policy, default_policy};
use crate::model::{InstanceId, ResourceKind, Rotation, SecretRecord, SecretType, SecretVersionId, TagMap};

/// A secret to be made. No `Debug`: it carries the value.
pub struct NewSecret {
    /// Its name, or `$Auto` for RAMCredentials.
    pub name: String,
    /// Its type.
    pub secret_type: SecretType,
    /// The value as sent.
    pub value: Zeroizing<Vec<u8>>,
    /// True for `binary`.
    pub binary: bool,
    /// ID of the first version.
    pub version: SecretVersionId,
    /// Description.
    pub description: String,
    /// The key to encrypt under; `None`: the keystore's system key.
    pub encryption_key: Option<KeyOrAlias>,
    /// The instance to hold it; `None`: where the key is, else the default instance or the shared KMS.
    pub instance: Option<InstanceId>,
    /// Extended configuration, a JSON object as text.
    pub extended_config: Option<String>,
    /// Automatic rotation.
    pub rotation: RotationOrder,
    /// Tags.
    pub tags: TagMap,
    /// Policy document; only in an instance.
    pub policy: Option<String>,
}

/// Automatic rotation as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RotationOrder {
    /// On or off.
    pub enabled: bool,
    /// The period, 6 to 8,760 hours; needed when it is switched on.
    pub interval: Option<Duration>,
}

/// What CreateSecret made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedSecret {
    /// The secret.
    pub secret: SecretRecord,
    /// Its first version.
    pub version: SecretVersionId,
}

impl Service {
    /// Makes a secret with its first version.
    ///
    /// # Errors
    /// A locked scope, a taken name or one in its recovery window, an unusable key or instance, a used-up quota, or
    /// parameters that do not fit the type.
    pub async fn create_secret(&self, caller: &Caller, order: &NewSecret) -> Result<CreatedSecret, KmsError> {
        if caller.scope().account != caller.account {
            // A secret lies under a key of its own account, whatever the policies of other keys allow.
            return Err(KmsError::KeyNotFound);
        }
        self.admit(&caller.scope(), caller.nonce.as_ref()).await?;
        let now = self.clock.now();
        let Shape { name, values, extended_config } =
            shape(order.secret_type, &order.name, order.binary, &order.value, order.extended_config.as_deref(), now)?;
        let rotation = order.rotation.for_new(order.secret_type, now)?;
        self.refuse_taken(caller, &name).await?;
        let Home { keystore, instance, key } =
            self.home(caller, order.instance.as_ref(), order.encryption_key.as_ref()).await?;
        if let Some(facts) = &instance {
            self.check_room(&caller.scope(), facts, Demand { keys: 0, secrets: 1 }, None).await?;
        }
        let policy = match (&order.policy, keystore.instance()) {
            (Some(_), None) => {
                let reason = "only a secret of an instance has a policy".to_owned();
                return Err(KmsError::InvalidParameterBecause { name: "Policy", reason });
            }
            (Some(policy), Some(_)) => {
                check_policy(policy)?;
                Some(policy.clone())
            }
            (None, Some(_)) => Some(default_policy(ResourceKind::Secret, &caller.account)),
            (None, None) => None,
        };
        let secret = SecretRecord {
            name,
            account: caller.account.clone(),
            region: caller.region.clone(),
            incarnation: self.new_incarnation(),
            keystore,
            secret_type: order.secret_type,
            encryption_key: key.as_ref().map(|key| key.id.clone()),
            description: order.description.clone(),
            extended_config,
            created_at: now,
            updated_at: now,
            planned_delete_at: None,
            rotation,
            tags: order.tags.clone(),
            policy,
            version_count: u32::try_from(values.len()).unwrap_or(u32::MAX),
            placement: None,
        };
        let mut filed = Vec::new();
        for draft in self.drafts(order, values)? {
            match self.file_value(&secret, key.as_deref(), &draft, now).await {
                Ok(value) => filed.push(value),
                Err(error) => {
                    self.discard_values(&filed).await;
                    return Err(error);
                }
            }
        }
        let (secret, filed, instance) = (&secret, &filed, instance.as_ref());
        let made = self.manage(caller, |guarded| self.enter_secret(caller, guarded, secret, filed, instance)).await;
        if made.is_err() {
            self.discard_values(filed).await;
        }
        made.map(|()| CreatedSecret { secret: secret.clone(), version: order.version.clone() })
    }

    async fn enter_secret(
        &self,
        caller: &Caller,
        guarded: Guarded,
        secret: &SecretRecord,
        filed: &[Filed],
        instance: Option<&InstanceFacts>,
    ) -> Result<(Change, ()), KmsError> {
        self.refuse_taken(caller, &secret.name).await?;
        let key = match &secret.encryption_key {
            Some(id) => Some(self.catalogue.key(&secret.region, id).await?.ok_or(KmsError::KeyNotFound)?),
            None => None,
        };
        if let Some(key) = &key {
            self.require_enabled(key)?;
            if key.keystore != secret.keystore {
                return Err(KmsError::Unavailable("the key moved while the secret was made".to_owned()));
            }
        }
        let mut change = Change::guarded(&guarded);
        change.create_secret(secret, key.as_ref())?;
        for value in filed {
            change.create_secret_version(secret, &value.version)?;
            change.fulfil(&value.material.intent);
        }
        if let Some(facts) = instance {
            self.check_room(guarded.scope(), facts, Demand { keys: 0, secrets: 1 }, Some(&mut change)).await?;
        }
        Ok((change, ()))
    }

    async fn refuse_taken(&self, caller: &Caller, name: &crate::model::SecretName) -> Result<(), KmsError> {
        match self.catalogue.secret(&caller.scope(), name).await? {
            None => Ok(()),
            Some(found) if found.planned_delete_at.is_some() => Err(KmsError::InDeleteWindow),
            Some(_) => Err(KmsError::ResourceExists),
        }
    }

    /// The current value under the ID that was asked for, a second one as the previous value under an ID of its own.
    fn drafts(&self, order: &NewSecret, values: Vec<Zeroizing<Vec<u8>>>) -> Result<Vec<Draft>, KmsError> {
        let mut drafts = Vec::new();
        for (number, value) in (1_u32..).zip(values) {
            let (id, stage) = if number == 1 {
                (order.version.clone(), CURRENT)
            } else {
                let id = self.new_version_id().to_string();
                (id.parse().map_err(|_| KmsError::Internal("a fresh version ID is not valid".to_owned()))?, PREVIOUS)
            };
            drafts.push(Draft { id, number, binary: order.binary, stages: BTreeSet::from([stage.to_owned()]), value });
        }
        Ok(drafts)
    }
}

impl RotationOrder {
    /// The setting of a new secret.
    fn for_new(self, kind: SecretType, now: jiff::Timestamp) -> Result<Rotation, KmsError> {
        if !self.enabled {
            return Ok(Rotation { interval: self.interval, ..Rotation::default() });
        }
        if kind == SecretType::Generic {
            let reason = "a Generic secret does not rotate by itself".to_owned();
            return Err(KmsError::InvalidParameterBecause { name: "EnableAutomaticRotation", reason });
        }
        let interval = self.interval.ok_or(KmsError::MissingParameter("RotationInterval"))?;
        Ok(Rotation { enabled: true, interval: Some(interval), since: Some(now), ..Rotation::default() })
    }
}
