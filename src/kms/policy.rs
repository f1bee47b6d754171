//! The policies that resources of an instance have: exactly one each (API pages SetKeyPolicy and SetSecretPolicy).

use serde_json::{Value, json};

use super::KmsError;
use crate::model::{AccountId, ResourceKind};

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

/// Refuses what is not a policy document of version 1.
///
/// # Errors
/// `InvalidParameterBecause`.
pub fn check_policy(text: &str) -> Result<(), KmsError> {
    let invalid = |reason: &str| KmsError::InvalidParameterBecause { name: "Policy", reason: reason.to_owned() };
    if text.len() > MAX_POLICY {
        return Err(invalid("at most 32,768 bytes are allowed"));
    }
    let document: Value = serde_json::from_str(text).map_err(|_| invalid("it is not JSON"))?;
    if document.get("Version").and_then(Value::as_str) != Some("1")
        || !document.get("Statement").is_some_and(Value::is_array)
    {
        return Err(invalid("it needs Version \"1\" and a list Statement"));
    }
    Ok(())
}
