//! Operations on aliases.

use serde_json::{Value, json};

use super::{naming, rows};
use crate::api::{ApiError, Caller, Paging, Parameters};
use crate::catalogue::KeyOrAlias;
use crate::kms::{Service, alias_arn};
use crate::model::KeyId;

rows! {
    "CreateAlias" => create_alias,
    "UpdateAlias" => update_alias,
    "DeleteAlias" => delete_alias,
    "ListAliases" => list_aliases,
    "ListAliasesByKeyId" => list_aliases_by_key_id,
}

pub(super) async fn create_alias(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let id = naming::key_id(caller, p)?;
    service.create_alias(caller, p.required("AliasName")?, &id).await?;
    Ok(json!({}))
}

pub(super) async fn update_alias(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let id = naming::key_id(caller, p)?;
    service.update_alias(caller, p.required("AliasName")?, &id).await?;
    Ok(json!({}))
}

pub(super) async fn delete_alias(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    service.delete_alias(caller, p.required("AliasName")?).await?;
    Ok(json!({}))
}

pub(super) async fn list_aliases(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let paging = p.paging(10, 0..=100)?;
    Ok(page_of(caller, paging, service.list_aliases(caller).await?))
}

pub(super) async fn list_aliases_by_key_id(
    service: &Service,
    caller: &Caller,
    p: &Parameters,
) -> Result<Value, ApiError> {
    let paging = p.paging(10, 0..=101)?;
    let name = KeyOrAlias::Id(naming::key_id(caller, p)?);
    Ok(page_of(caller, paging, service.list_aliases_of(caller, &name).await?))
}

fn page_of(caller: &Caller, paging: Paging, aliases: Vec<(String, KeyId)>) -> Value {
    let (page, total) = paging.cut(aliases);
    let page: Vec<Value> = page
        .iter()
        .map(|(alias, key)| {
            json!({
                "AliasName": alias, "KeyId": key, "AliasArn": alias_arn(&caller.region, &caller.account, alias),
            })
        })
        .collect();
    json!({"Aliases": {"Alias": page}, "PageNumber": paging.number, "PageSize": paging.size, "TotalCount": total})
}
