//! The policies that resources of an instance have: exactly one each (API pages SetKeyPolicy and SetSecretPolicy).
//!
//! Here a policy is a document that is checked and kept; what it means is the room `access`'s to say.

use serde_json::json;

use super::key_changes::{refuse_pending_deletion, refuse_service_key};
use super::{Caller, KmsError, Service};
use crate::access::Policy;
use crate::catalogue::{Change, KeyOrAlias};
use crate::model::{AccountId, KeyId, ResourceKind, SecretName};

/// The policy a resource has when nobody set another: the owner's account may do everything.
#[must_use]
pub fn default_policy(kind: ResourceKind, account: &AccountId) -> String {
    json!({
        "Version": "1",
        "Statement": [{
            "Sid": format!("kms default {kind} policy"),
            "Effect": "Allow",
            "Principal": {"RAM": [format!("acs:ram::{account}:*")]},
            "Action": ["kms:*"],
            "Resource": ["*"],
        }],
    })
    .to_string()
}

/// Refuses what is not a policy of a resource.
///
/// # Errors
/// `InvalidParameterBecause`, with the place of the fault.
pub fn check_policy(text: &str) -> Result<(), KmsError> {
    match Policy::resource(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(KmsError::InvalidParameterBecause { name: "Policy", reason: error.to_string() }),
    }
}

impl Service {
    /// SetKeyPolicy: replaces the policy of a key of an instance.
    ///
    /// # Errors
    /// `UnsupportedOperation` for a key of the shared KMS, `KeyState` while the key waits for its deletion, a document that
    /// is no policy.
    pub async fn set_key_policy(&self, caller: &Caller, id: &KeyId, policy: &str) -> Result<(), KmsError> {
        let name = &KeyOrAlias::Id(id.clone());
        self.manage(caller, |guarded| async move {
            let mut key = self.find(guarded.scope(), name).await?;
            refuse_service_key(&key)?;
            refuse_shared(key.policy.as_ref())?;
            refuse_pending_deletion(&key)?;
            check_policy(policy)?;
            key.policy = Some(policy.to_owned());
            let mut change = Change::guarded(&guarded);
            change.relabel_key(&key)?;
            Ok((change, ()))
        })
        .await
    }

    /// GetKeyPolicy.
    ///
    /// # Errors
    /// `UnsupportedOperation` for a key of the shared KMS.
    pub async fn key_policy(&self, caller: &Caller, id: &KeyId) -> Result<String, KmsError> {
        let key = self.find(&caller.scope(), &KeyOrAlias::Id(id.clone())).await?;
        refuse_shared(key.policy.as_ref()).cloned()
    }

    /// SetSecretPolicy: replaces the policy of a secret of an instance.
    ///
    /// # Errors
    /// As [`Service::set_key_policy`].
    pub async fn set_secret_policy(&self, caller: &Caller, name: &SecretName, policy: &str) -> Result<(), KmsError> {
        self.manage(caller, |guarded| async move {
            let mut secret = self.live_secret(caller, name).await?;
            refuse_shared(secret.policy.as_ref())?;
            check_policy(policy)?;
            secret.policy = Some(policy.to_owned());
            let mut change = Change::guarded(&guarded);
            change.relabel_secret(&secret)?;
            Ok((change, ()))
        })
        .await
    }

    /// GetSecretPolicy.
    ///
    /// # Errors
    /// As [`Service::key_policy`].
    pub async fn secret_policy(&self, caller: &Caller, name: &SecretName) -> Result<String, KmsError> {
        refuse_shared(self.secret_of(caller, name).await?.policy.as_ref()).cloned()
    }
}

/// A resource has a policy exactly while an instance holds it.
fn refuse_shared(policy: Option<&String>) -> Result<&String, KmsError> {
    policy
        .ok_or_else(|| KmsError::UnsupportedOperation("Only keys and secrets of an instance have a policy.".to_owned()))
}
