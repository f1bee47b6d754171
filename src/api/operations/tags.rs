//! Operations on tags, in the form for one resource.

use serde_json::{Value, json};

use super::{naming, rows};
use crate::api::{ApiError, Caller, Parameters};
use crate::catalogue::KeyOrAlias;
use crate::kms::{Service, Tagged, secret_name};

rows! {
    "TagResource" => tag_resource,
    "UntagResource" => untag_resource,
    "ListResourceTags" => list_resource_tags,
}

pub(super) async fn tag_resource(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let resource = resource(caller, p)?;
    let tags = p.tags("Tags")?.ok_or_else(|| ApiError::missing_parameter("Tags"))?;
    service.tag_resource(caller, &resource, &tags).await?;
    Ok(json!({}))
}

pub(super) async fn untag_resource(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let resource = resource(caller, p)?;
    let keys = p.json_or_comma_list("TagKeys")?.ok_or_else(|| ApiError::missing_parameter("TagKeys"))?;
    if keys.iter().any(|key| key.is_empty() || key.len() > 128) {
        return Err(ApiError::invalid_parameter("TagKeys").with_remedy("Tag keys have 1 to 128 bytes."));
    }
    service.untag_resource(caller, &resource, &keys).await?;
    Ok(json!({}))
}

pub(super) async fn list_resource_tags(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let name = KeyOrAlias::Id(naming::key_id(caller, p)?);
    let (id, tags) = service.key_tags(caller, &name).await?;
    let tags: Vec<Value> =
        tags.iter().map(|(key, value)| json!({"KeyId": id, "TagKey": key, "TagValue": value})).collect();
    Ok(json!({"Tags": {"Tag": tags}}))
}

/// Exactly one of KeyId, SecretName and CertificateId; certificates do not exist here.
fn resource(caller: &Caller, p: &Parameters) -> Result<Tagged, ApiError> {
    match (p.optional("KeyId"), p.optional("SecretName"), p.optional("CertificateId")) {
        (Some(id), None, None) => Ok(Tagged::Key(naming::key_id_in(caller, id)?)),
        (None, Some(name), None) => Ok(Tagged::Secret(secret_name(caller, name)?)),
        (None, None, Some(_)) => Err(ApiError::certificate_not_found()),
        (None, None, None) => Err(ApiError::missing_parameter("KeyId")),
        _ => {
            Err(ApiError::invalid_parameter("KeyId")
                .with_remedy("Name one resource: KeyId, SecretName or CertificateId."))
        }
    }
}
