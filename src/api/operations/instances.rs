//! Operations that show instances. What they are is configured by the operator, not by requests.

use serde_json::{Map, Value, json};

use super::rows;
use crate::api::{ApiError, Caller, Parameters};
use crate::catalogue::Demand;
use crate::kms::{InstanceFacts, KmsError, Service};
use crate::model::{InstanceId, format_utc};

rows! {
    "ListKmsInstances" => list_kms_instances,
    "GetKmsInstance" => get_kms_instance,
    "GetKmsInstanceQuotaInfos" => get_kms_instance_quota_infos,
    "GetDefaultKmsInstance" => get_default_kms_instance,
    "ConnectKmsInstance" => connect_kms_instance,
}

pub(super) async fn list_kms_instances(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let paging = p.paging(20, 1..=100)?;
    let filters = p.filters(&["KmsInstanceId"])?;
    let wanted = |facts: &InstanceFacts| filters.values().all(|values| values.contains(facts.id.as_str()));
    let usable = service.usable_instances(caller).await?;
    let (page, total) = paging.cut(usable.into_iter().filter(wanted));
    let rows: Vec<Value> =
        page.iter().map(|facts| json!({"KmsInstanceId": facts.id, "KmsInstanceArn": arn(facts)})).collect();
    Ok(json!({
        "KmsInstances": {"KmsInstance": rows},
        "PageNumber": paging.number,
        "PageSize": paging.size,
        "TotalCount": total,
    }))
}

pub(super) async fn get_kms_instance(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let (facts, _) = service.instance_usage(caller, &instance(p.required("KmsInstanceId")?)?).await?;
    let mut shown = Map::new();
    shown.insert("InstanceId".to_owned(), facts.id.as_str().into());
    shown.insert("InstanceName".to_owned(), facts.id.as_str().into());
    shown.insert("Status".to_owned(), service.instance_state(&facts.id).await.map_err(KmsError::from)?.as_str().into());
    shown.insert("SaleStatus".to_owned(), "normal".into());
    // As the vendor numbers its products: 3 is software, 5 hardware.
    shown.insert("ProductVersion".to_owned(), if facts.hardware { "5" } else { "3" }.into());
    shown.insert("ProductType".to_owned(), "kms_ddi_public_cn".into());
    shown.insert("ChargeType".to_owned(), if facts.expires.is_some() { "PREPAY" } else { "POSTPAY" }.into());
    shown.insert("KeyNum".to_owned(), facts.key_quota.into());
    shown.insert("SecretNum".to_owned(), facts.secret_quota.to_string().into());
    shown.insert("DeletionProtection".to_owned(), true.into());
    shown.insert("Log".to_owned(), 0.into());
    shown.insert("LogStorage".to_owned(), 0.into());
    shown.insert("VpcNum".to_owned(), 0.into());
    shown.insert("BindVpcs".to_owned(), json!({"BindVpc": []}));
    shown.insert("VswitchIds".to_owned(), json!([]));
    shown.insert("ZoneIds".to_owned(), json!([]));
    if let Some(at) = facts.expires {
        shown.insert("EndDate".to_owned(), format_utc(at).into());
    }
    Ok(json!({"KmsInstance": shown}))
}

pub(super) async fn get_kms_instance_quota_infos(
    service: &Service,
    caller: &Caller,
    p: &Parameters,
) -> Result<Value, ApiError> {
    let id = match p.optional("KmsInstanceId") {
        Some(text) => instance(text)?,
        None => match service.default_instance(&caller.scope()).await? {
            Some(id) => id,
            None => instance(p.required("KmsInstanceId")?)?,
        },
    };
    let wanted = match p.optional("ResourceType") {
        Some(kind) if !["key", "secret", "qps", "vpc"].contains(&kind) => {
            return Err(
                ApiError::invalid_parameter("ResourceType").with_remedy("Allowed are key, secret, qps and vpc.")
            );
        }
        wanted => wanted,
    };
    let (facts, used) = service.instance_usage(caller, &id).await?;
    // Neither requests a second nor networks are limited by an instance.
    let count = |kind: &str, held: &Demand| if kind == "key" { held.keys } else { held.secrets };
    let kinds = [("key", facts.key_quota), ("secret", facts.secret_quota)].into_iter();
    let rows: Vec<Value> = kinds
        .filter(|(kind, _)| wanted.is_none_or(|wanted| wanted == *kind))
        .map(|(kind, quota)| {
            let mut row =
                json!({"ResourceType": kind, "ResourceQuota": quota, "UsedQuantity": count(kind, &used.taken)});
            let by_account: Vec<Value> = used
                .by_account
                .iter()
                .map(|(account, held)| json!({"AccountId": account, "UsedQuantity": count(kind, held)}))
                .collect();
            // Ours, for the owner.
            if let (Some(row), false) = (row.as_object_mut(), by_account.is_empty()) {
                row.insert("AccountUsages".to_owned(), by_account.into());
            }
            row
        })
        .collect();
    Ok(json!({"KmsInstanceId": id, "KmsInstanceQuotaInfos": rows}))
}

/// Enables an instance that the configuration does not (`enabled = false`). Networks and zones say nothing here.
pub(super) async fn connect_kms_instance(
    service: &Service,
    caller: &Caller,
    p: &Parameters,
) -> Result<Value, ApiError> {
    let id = instance(p.required("KmsInstanceId")?)?;
    if !matches!(p.optional("KMProvider"), None | Some("Aliyun")) {
        return Err(ApiError::invalid_parameter("KMProvider").with_remedy("Allowed is Aliyun."));
    }
    service.enable_instance(caller, &id).await?;
    Ok(json!({}))
}

/// Where resources go that name no instance: the target of the account's newest completed migration.
pub(super) async fn get_default_kms_instance(
    service: &Service,
    caller: &Caller,
    _p: &Parameters,
) -> Result<Value, ApiError> {
    let default = service.default_instance(&caller.scope()).await?;
    Ok(json!({"DefaultKmsInstanceId": default.as_ref().map_or("", InstanceId::as_str)}))
}

fn instance(text: &str) -> Result<InstanceId, ApiError> {
    text.parse().map_err(|_| ApiError::instance_not_found())
}

fn arn(facts: &InstanceFacts) -> String {
    format!("acs:kms:{}:{}:keystore/{}", facts.region, facts.owner, facts.id)
}
