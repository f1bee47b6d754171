//! UpdateSecret, UpdateSecretRotationPolicy and RotateSecret.

use serde_json::{Map, Value};

use super::create::RotationOrder;
use super::shapes::with_custom_data;
use crate::catalogue::Change;
use crate::kms::{Caller, KmsError, Service};
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

    /// RotateSecret: makes a new version of a managed secret now; one that is there already is no error and no change.
    /// Who changes the credential where it lives is not configured here, so that nothing else succeeds.
    ///
    /// # Errors
    /// A locked scope, no such secret, a Generic one, one in its recovery window, or one that nobody rotates.
    pub async fn rotate_secret(
        &self,
        caller: &Caller,
        name: &SecretName,
        version: &SecretVersionId,
    ) -> Result<SecretRecord, KmsError> {
        self.manage(caller, |guarded| async move {
            let secret = self.live_secret(caller, name).await?;
            refuse_generic(&secret)?;
            if self.catalogue.secret_version(&secret.incarnation, version).await?.is_none() {
                let why = "no rotator is configured for the secret.".to_owned();
                return Err(KmsError::UnsupportedOperation(why));
            }
            Ok((Change::guarded(&guarded), secret.into_value()))
        })
        .await
    }
}

fn refuse_generic(secret: &SecretRecord) -> Result<(), KmsError> {
    if secret.secret_type == SecretType::Generic {
        return Err(KmsError::UnsupportedOperation("a Generic secret does not rotate by itself.".to_owned()));
    }
    Ok(())
}
