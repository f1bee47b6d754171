//! Operations on tags: the older form for one resource, and the newer for many.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{naming, rows};
use crate::api::{ApiError, Caller, MAX_TAG_CHARACTERS, Parameters};
use crate::catalogue::KeyOrAlias;
use crate::kms::{Service, TagRow, Tagged, Untag, secret_name};
use crate::model::ResourceKind;

rows! {
    "TagResource" => tag_resource,
    "UntagResource" => untag_resource,
    "ListResourceTags" => list_resource_tags,
    "TagResources" => tag_resources,
    "UntagResources" => untag_resources,
    "ListTagResources" => list_tag_resources,
}

/// Resources that one request may name.
const MAX_RESOURCES: usize = 50;
/// Tag keys that one request may name.
const MAX_TAG_KEYS: usize = 20;
/// Rows of a page of ListTagResources.
const PAGE: usize = 200;

pub(super) async fn tag_resource(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let resource = resource(caller, p)?;
    let tags = p.tags("Tags")?.filter(|tags| !tags.is_empty());
    let tags = tags.ok_or_else(|| ApiError::missing_parameter("Tags"))?;
    service.tag_resources(caller, &[resource], &tags).await?;
    Ok(json!({}))
}

pub(super) async fn untag_resource(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let resource = resource(caller, p)?;
    let keys = p.json_or_comma_list("TagKeys")?.filter(|keys| !keys.is_empty());
    let keys = keys.ok_or_else(|| ApiError::missing_parameter("TagKeys"))?;
    check_keys("TagKeys", &keys)?;
    service.untag_resources(caller, &[resource], &Untag::Keys(keys)).await?;
    Ok(json!({}))
}

pub(super) async fn list_resource_tags(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let name = KeyOrAlias::Id(naming::key_id(caller, p)?);
    let (id, tags) = service.key_tags(caller, &name).await?;
    let tags: Vec<Value> =
        tags.iter().map(|(key, value)| json!({"KeyId": id, "TagKey": key, "TagValue": value})).collect();
    Ok(json!({"Tags": {"Tag": tags}}))
}

pub(super) async fn tag_resources(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let resources = resources(caller, p)?;
    let tags = p.flattened_tags("Tag")?;
    if tags.is_empty() {
        return Err(ApiError::missing_parameter("Tag"));
    }
    service.tag_resources(caller, &resources, &tags).await?;
    Ok(json!({}))
}

pub(super) async fn untag_resources(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let resources = resources(caller, p)?;
    let keys = p.list("TagKey", MAX_TAG_KEYS)?;
    check_keys("TagKey", &keys)?;
    let which = match (keys.is_empty(), p.boolean("All")?) {
        (false, _) => Untag::Keys(keys),
        (true, Some(true)) => Untag::All,
        (true, _) => return Err(ApiError::missing_parameter("TagKey").with_remedy("Name tag keys, or send All=true.")),
    };
    service.untag_resources(caller, &resources, &which).await?;
    Ok(json!({}))
}

/// A page goes on behind the last row of the page before, whatever has changed meanwhile.
pub(super) async fn list_tag_resources(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let kind = resource_kind(p)?;
    let only: Vec<String> = named(caller, p)?
        .iter()
        .filter_map(|text| match kind {
            ResourceKind::Key => naming::key_id_in(caller, text).ok().map(|id| id.to_string()),
            ResourceKind::Secret => secret_name(caller, text).ok().map(|name| name.to_string()),
        })
        .collect();
    let asked = !p.list("ResourceId", MAX_RESOURCES)?.is_empty();
    let with = p.flattened_tags("Tag")?;
    let after: Option<(String, String)> =
        match p.optional("NextToken") {
            None => None,
            Some(token) => {
                Some(STANDARD.decode(token).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(
                    || ApiError::invalid_parameter("NextToken").with_remedy("Send it as it was answered."),
                )?)
            }
        };
    let rows = if asked && only.is_empty() { Vec::new() } else { service.tag_rows(caller, kind, &only, &with).await? };
    let behind = |row: &TagRow| after.as_ref().is_none_or(|(id, key)| (&row.resource, &row.key) > (id, key));
    let mut page: Vec<TagRow> = rows.into_iter().filter(behind).take(PAGE.saturating_add(1)).collect();
    let more = page.len() > PAGE;
    page.truncate(PAGE);
    let token = match page.last() {
        Some(last) if more => STANDARD.encode(json!([last.resource, last.key]).to_string()),
        _ => String::new(),
    };
    let rows: Vec<Value> = page
        .into_iter()
        .map(|row| {
            json!({
                "ResourceId": row.resource, "ResourceType": kind.as_str(), "TagKey": row.key, "TagValue": row.value,
            })
        })
        .collect();
    Ok(json!({"NextToken": token, "TagResources": {"TagResource": rows}}))
}

/// The resources of a request for many, each once.
fn resources(caller: &Caller, p: &Parameters) -> Result<Vec<Tagged>, ApiError> {
    let kind = resource_kind(p)?;
    let mut resources = Vec::new();
    for text in named(caller, p)? {
        let resource = match kind {
            ResourceKind::Key => Tagged::Key(naming::key_id_in(caller, &text)?),
            ResourceKind::Secret => Tagged::Secret(secret_name(caller, &text)?),
        };
        if !resources.contains(&resource) {
            resources.push(resource);
        }
    }
    if resources.is_empty() { Err(ApiError::missing_parameter("ResourceId")) } else { Ok(resources) }
}

/// What the request names, in the region that it names: elsewhere `RegionId` only routes, here it is a parameter of its own.
fn named(caller: &Caller, p: &Parameters) -> Result<Vec<String>, ApiError> {
    if p.required("RegionId")? != caller.region.as_str() {
        return Err(ApiError::invalid_parameter("RegionId").with_remedy("This endpoint serves another region."));
    }
    let named = p.list("ResourceId", MAX_RESOURCES)?;
    if named.iter().any(String::is_empty) { Err(ApiError::invalid_parameter("ResourceId")) } else { Ok(named) }
}

fn resource_kind(p: &Parameters) -> Result<ResourceKind, ApiError> {
    match p.required("ResourceType")? {
        "key" => Ok(ResourceKind::Key),
        "secret" => Ok(ResourceKind::Secret),
        _ => Err(ApiError::invalid_parameter("ResourceType").with_remedy("Allowed are key and secret.")),
    }
}

fn check_keys(name: &str, keys: &[String]) -> Result<(), ApiError> {
    if keys.iter().any(|key| key.is_empty() || key.chars().count() > MAX_TAG_CHARACTERS) {
        return Err(ApiError::invalid_parameter(name).with_remedy("Tag keys have 1 to 128 characters."));
    }
    Ok(())
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
