//! The policies that resources of an instance have: exactly one each (API pages SetKeyPolicy and SetSecretPolicy).
//!
//! Here a policy is a document that is checked for its shape and kept.

use serde_json::{Value, json};

use super::key_changes::{refuse_pending_deletion, refuse_service_key};
use super::{Caller, KmsError, Service};
use crate::catalogue::{Change, KeyOrAlias};
use crate::model::{AccountId, KeyId, ResourceKind, SecretName};

/// Bytes a policy may have.
const MAX_POLICY: usize = 32_768;

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

/// Refuses what is not a policy document of version 1: a JSON object with a list of statements, each of which allows or
/// denies actions.
///
/// # Errors
/// `InvalidParameterBecause`.
pub fn check_policy(text: &str) -> Result<(), KmsError> {
    let invalid = |reason: &str| KmsError::InvalidParameterBecause { name: "Policy", reason: reason.to_owned() };
    if text.len() > MAX_POLICY {
        return Err(invalid("at most 32,768 bytes are allowed"));
    }
    let document: Value = serde_json::from_str(text).map_err(|_| invalid("it is not JSON"))?;
    let statements = document.get("Statement").and_then(Value::as_array);
    let (Some("1"), Some(statements)) = (document.get("Version").and_then(Value::as_str), statements) else {
        return Err(invalid("it needs Version \"1\" and a list Statement"));
    };
    for statement in statements {
        if !matches!(statement.get("Effect").and_then(Value::as_str), Some("Allow" | "Deny")) {
            return Err(invalid("each statement needs an Effect, Allow or Deny"));
        }
        if !statement.get("Action").is_some_and(is_texts) || !statement.get("Resource").is_none_or(is_texts) {
            return Err(invalid("each statement needs an Action: a text or a list of texts, as is its Resource"));
        }
        if !statement.get("Principal").is_none_or(Value::is_object) {
            return Err(invalid("the Principal of a statement is an object, such as {\"RAM\": [...]}"));
        }
    }
    Ok(())
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

fn is_texts(value: &Value) -> bool {
    value.is_string() || value.as_array().is_some_and(|list| list.iter().all(Value::is_string))
}
