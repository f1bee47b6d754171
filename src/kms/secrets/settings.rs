//! UpdateSecret, UpdateSecretRotationPolicy and RotateSecret.

use serde_json::{Map, Value};

use super::create::RotationOrder;
use super::rotation::{Begun, Driven};
use super::shapes::with_custom_data;
use crate::catalogue::Change;
use crate::kms::{By, Caller, KmsError, Service};
use crate::model::{SecretName, SecretRecord, SecretType, SecretVersionId};

/// What UpdateSecret changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretChanges {
    /// The new description.
    pub description: Option<String>,
    /// The new custom data of the extended configuration; no effect on a Generic secret, which has none.
    pub custom_data: Option<Map<String, Value>>,
}

impl Service {
    /// Changes the description or custom data of a secret.
    ///
    /// # Errors
    /// A locked scope, no such secret, one in its recovery window, or custom data that does not fit.
    pub async fn update_secret(
        &self,
        caller: &Caller,
        name: &SecretName,
        changes: &SecretChanges,
    ) -> Result<(), KmsError> {
        self.manage(caller, |guarded| async move {
            let mut secret = self.live_secret(caller, name).await?;
            if let Some(description) = &changes.description {
                secret.description.clone_from(description);
            }
            if let Some(custom) = &changes.custom_data
                && secret.secret_type != SecretType::Generic
            {
                secret.extended_config = with_custom_data(&secret.extended_config, custom)?;
            }
            secret.updated_at = self.clock.now();
            let mut change = Change::guarded(&guarded);
            change.update_secret(&secret)?;
            Ok((change, ()))
        })
        .await
    }

    /// Changes the automatic rotation of a managed secret. Switching it on counts its first period from now.
    ///
    /// # Errors
    /// A locked scope, no such secret, a Generic one, one in its recovery window, or no interval.
    pub async fn update_secret_rotation(
        &self,
        caller: &Caller,
        name: &SecretName,
        order: RotationOrder,
    ) -> Result<(), KmsError> {
        self.manage(caller, |guarded| async move {
            let mut secret = self.live_secret(caller, name).await?;
            refuse_generic(&secret)?;
            let now = self.clock.now();
            if order.enabled {
                secret.rotation.interval = Some(order.interval.ok_or(KmsError::MissingParameter("RotationInterval"))?);
                if !secret.rotation.enabled {
                    secret.rotation.since = Some(now);
                }
            } else if order.interval.is_some() {
                secret.rotation.interval = order.interval;
            }
            secret.rotation.enabled = order.enabled;
            secret.updated_at = now;
            let mut change = Change::guarded(&guarded);
            change.update_secret(&secret)?;
            Ok((change, ()))
        })
        .await
    }

    /// RotateSecret: rotates a managed secret now, to a version of this ID; one that is there already is no error and no
    /// change, and one whose rotation has begun is gone on with. Answers when the new version is current.
    ///
    /// # Errors
    /// A locked scope, no such secret, a Generic one, one in its recovery window, one that nobody rotates, one with
    /// another rotation under way, or a rotator that fails: then the rotation goes on by itself.
    pub async fn rotate_secret(
        &self,
        caller: &Caller,
        name: &SecretName,
        version: &SecretVersionId,
    ) -> Result<SecretRecord, KmsError> {
        let scope = caller.scope();
        self.admit(&scope, caller.nonce.as_ref()).await?;
        let secret = self.live_secret(caller, name).await?;
        refuse_generic(&secret)?;
        let is_there = self.catalogue.secret_version(&secret.incarnation, version).await?.is_some();
        let under_way = self.rotation_of(&secret).await?.map(|record| record.version.clone());
        match under_way {
            Some(other) if other != *version && !is_there => return Err(KmsError::RotationUnderWay(other)),
            Some(same) if same == *version => self.claim(caller).await?,
            _ if is_there => {
                self.claim(caller).await?;
                return Ok(secret.into_value());
            }
            _ if self.rotators.of(&secret).is_none() => {
                let why = "no rotator is configured for the secret.".to_owned();
                return Err(KmsError::UnsupportedOperation(why));
            }
            _ => match self.begin_rotation(By::Caller(caller), &scope, name, version, None).await? {
                Begun::Before(other) if other != *version => return Err(KmsError::RotationUnderWay(other)),
                Begun::Before(_) | Begun::Yes | Begun::NotDue => {}
            },
        }
        match self.drive_rotation(&scope, name).await? {
            Driven::Rotated => {}
            Driven::Failed(why) => return Err(KmsError::RotatorFailed(why)),
            Driven::Waiting | Driven::Later => {
                return Err(KmsError::RotatorFailed("it cannot be tried now".to_owned()));
            }
            // Somebody else has just ended it: then the version is current.
            Driven::Nothing => {
                let made = self.catalogue.secret_version(&secret.incarnation, version).await?;
                if made.is_none_or(|made| made.stages.is_empty()) {
                    return Err(KmsError::ResourceNotFound);
                }
            }
        }
        self.describe_secret(caller, name).await
    }

    /// Claims the nonce of a request that changes nothing else.
    async fn claim(&self, caller: &Caller) -> Result<(), KmsError> {
        self.manage(caller, |guarded| async move { Ok((Change::guarded(&guarded), ())) }).await
    }
}

fn refuse_generic(secret: &SecretRecord) -> Result<(), KmsError> {
    if secret.secret_type == SecretType::Generic {
        return Err(KmsError::UnsupportedOperation("a Generic secret does not rotate by itself.".to_owned()));
    }
    Ok(())
}
