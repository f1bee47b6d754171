//! Reading: GetSecretValue, DescribeSecret, ListSecrets.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::stages::{CURRENT, PREVIOUS};
use crate::kms::{Caller, KmsError, Service};
use crate::model::{ResourceKind, SecretName, SecretRecord, SecretType, SecretVersionRecord};
use crate::store::Stored;

/// Which version's value is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WhichVersion {
    /// By ID, as the client wrote it: what no ID can be is one that does not exist. Ignored for managed types.
    pub id: Option<String>,
    /// By stage; `None`: `ACSCurrent`. Not looked at where an ID counts.
    pub stage: Option<String>,
}

/// A value with what is known of it. No `Debug`: it carries the value.
pub struct SecretValue {
    /// The secret.
    pub secret: SecretRecord,
    /// The version.
    pub version: SecretVersionRecord,
    /// The value as stored.
    pub value: Zeroizing<Vec<u8>>,
}

/// What ListSecrets filters by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretFilterKey {
    /// The name begins with it.
    SecretName,
    /// The description begins with it.
    Description,
    /// A tag has this key.
    TagKey,
    /// A tag has this value.
    TagValue,
    /// The instance that holds it.
    Instance,
    /// The type.
    SecretType,
    /// The account that made it.
    Creator,
}

/// One filter: a secret must match one of the values.
pub type SecretFilter = (SecretFilterKey, BTreeSet<String>);

/// Between reading entry and value the secret may be deleted and made again, or the version crowded out.
const TURNS: usize = 3;

impl Service {
    /// The value of a version. Never refused by a lock.
    ///
    /// # Errors
    /// No such secret, version or stage, a secret in its recovery window, or a key that cannot be used.
    pub async fn get_secret_value(
        &self,
        caller: &Caller,
        name: &SecretName,
        which: &WhichVersion,
    ) -> Result<SecretValue, KmsError> {
        let mut last = KmsError::ResourceNotFound;
        for _ in 0..TURNS {
            let secret = self.live_secret(caller, name).await?;
            let version = self.pick(&secret, which).await?;
            match self.open_version(&secret, &version).await {
                Ok(value) => {
                    return Ok(SecretValue { secret: secret.into_value(), version: version.into_value(), value });
                }
                Err(error @ KmsError::Unavailable(_)) => {
                    let now = self.catalogue.secret_version(&secret.incarnation, &version.id).await?;
                    if now.is_some_and(|now| now.material == version.material) {
                        return Err(error);
                    }
                    last = error;
                }
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// A secret without its value.
    ///
    /// # Errors
    /// No such secret.
    pub async fn describe_secret(&self, caller: &Caller, name: &SecretName) -> Result<SecretRecord, KmsError> {
        Ok(self.secret_of(caller, name).await?.into_value())
    }

    /// One page of the caller's secrets, in the order of creation, and how many match in all. `skip` and `take` count
    /// matching secrets.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_secrets(
        &self,
        caller: &Caller,
        filters: &[SecretFilter],
        skip: usize,
        take: usize,
    ) -> Result<(Vec<SecretRecord>, usize), KmsError> {
        let scope = caller.scope();
        if !filters.is_empty() {
            let all = self.catalogue.secrets(&scope).await?;
            let matching: Vec<SecretRecord> =
                all.into_iter().map(Stored::into_value).filter(|secret| matches_all(secret, filters)).collect();
            let total = matching.len();
            return Ok((matching.into_iter().skip(skip).take(take).collect(), total));
        }
        let rows = self.catalogue.list(&scope, ResourceKind::Secret).await?;
        let mut page = Vec::new();
        for row in rows.iter().skip(skip).take(take) {
            if let Ok(name) = row.name.parse() {
                page.extend(self.catalogue.secret(&scope, &name).await?.map(Stored::into_value));
            }
        }
        Ok((page, rows.len()))
    }

    async fn pick(&self, secret: &SecretRecord, which: &WhichVersion) -> Result<Stored<SecretVersionRecord>, KmsError> {
        let managed = secret.secret_type != SecretType::Generic;
        if let Some(id) = &which.id
            && !managed
        {
            let id = id.parse().map_err(|_| KmsError::ResourceNotFound)?;
            let found = self.catalogue.secret_version(&secret.incarnation, &id).await?;
            let staged = |version: &Stored<SecretVersionRecord>| {
                which.stage.as_ref().is_none_or(|stage| version.stages.contains(stage))
            };
            return found.filter(staged).ok_or(KmsError::ResourceNotFound);
        }
        let stage = which.stage.as_deref().unwrap_or(CURRENT);
        if managed && ![CURRENT, PREVIOUS].contains(&stage) {
            let reason = "a managed secret has the stages ACSCurrent and ACSPrevious".to_owned();
            return Err(KmsError::InvalidParameterBecause { name: "VersionStage", reason });
        }
        let versions = self.catalogue.secret_versions(&secret.incarnation).await?;
        versions.into_iter().find(|version| version.stages.contains(stage)).ok_or(KmsError::ResourceNotFound)
    }
}

fn matches_all(secret: &SecretRecord, filters: &[SecretFilter]) -> bool {
    filters.iter().all(|(key, values)| values.iter().any(|value| matches_one(secret, *key, value)))
}

fn matches_one(secret: &SecretRecord, key: SecretFilterKey, value: &str) -> bool {
    match key {
        SecretFilterKey::SecretName => secret.name.as_str().starts_with(value),
        SecretFilterKey::Description => secret.description.starts_with(value),
        SecretFilterKey::TagKey => secret.tags.contains_key(value),
        SecretFilterKey::TagValue => secret.tags.values().any(|tag| tag == value),
        SecretFilterKey::Instance => secret.keystore.instance().is_some_and(|id| id.as_str() == value),
        SecretFilterKey::SecretType => secret.secret_type.as_str() == value,
        SecretFilterKey::Creator => secret.account.as_str() == value,
    }
}
