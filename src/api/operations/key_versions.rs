//! Operations on key versions.

use serde_json::{Value, json};

use super::{naming, rows};
use crate::api::{ApiError, Caller, Parameters};
use crate::kms::Service;
use crate::model::{KeyVersionRecord, format_utc};

rows! {
    "CreateKeyVersion" => create_key_version,
    "DescribeKeyVersion" => describe_key_version,
    "ListKeyVersions" => list_key_versions,
}

pub(super) async fn create_key_version(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let version = service.create_key_version(caller, &naming::key(caller, p)?).await?;
    Ok(json!({"KeyVersion": version_json(&version)}))
}

pub(super) async fn describe_key_version(
    service: &Service,
    caller: &Caller,
    p: &Parameters,
) -> Result<Value, ApiError> {
    let name = naming::key(caller, p)?;
    let (_, version) = service.describe_key_version(caller, &name, p.required("KeyVersionId")?).await?;
    Ok(json!({"KeyVersion": version_json(&version)}))
}

pub(super) async fn list_key_versions(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let paging = p.paging(10, 0..=101)?;
    let (_, versions) = service.list_key_versions(caller, &naming::key(caller, p)?).await?;
    let (page, total) = paging.cut(versions);
    let page: Vec<Value> = page.iter().map(version_json).collect();
    Ok(json!({
        "KeyVersions": {"KeyVersion": page}, "PageNumber": paging.number, "PageSize": paging.size, "TotalCount": total,
    }))
}

fn version_json(version: &KeyVersionRecord) -> Value {
    json!({
        "KeyId": version.key, "KeyVersionId": version.id, "CreationDate": format_utc(version.created_at),
    })
}
