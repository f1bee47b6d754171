//! Operations on the policies of keys and secrets of an instance.

use serde_json::{Value, json};

use super::{naming, rows, secrets};
use crate::api::{ApiError, Caller, Parameters};
use crate::kms::Service;

rows! {
    "SetKeyPolicy" => set_key_policy,
    "GetKeyPolicy" => get_key_policy,
    "SetSecretPolicy" => set_secret_policy,
    "GetSecretPolicy" => get_secret_policy,
}

pub(super) async fn set_key_policy(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let id = naming::key_id(caller, p)?;
    default_name(p)?;
    service.set_key_policy(caller, &id, p.required("Policy")?).await?;
    Ok(json!({}))
}

pub(super) async fn get_key_policy(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let id = naming::key_id(caller, p)?;
    default_name(p)?;
    Ok(json!({"Policy": service.key_policy(caller, &id).await?}))
}

pub(super) async fn set_secret_policy(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let name = secrets::name(caller, p)?;
    default_name(p)?;
    service.set_secret_policy(caller, &name, p.required("Policy")?).await?;
    Ok(json!({}))
}

pub(super) async fn get_secret_policy(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let name = secrets::name(caller, p)?;
    default_name(p)?;
    Ok(json!({"Policy": service.secret_policy(caller, &name).await?}))
}

/// A resource has one policy, called `default`.
fn default_name(p: &Parameters) -> Result<(), ApiError> {
    match p.optional("PolicyName") {
        None | Some("default") => Ok(()),
        Some(_) => Err(ApiError::invalid_parameter("PolicyName").with_remedy("Allowed is default.")),
    }
}
