//! Operations on keys as a whole.

use std::time::Duration;

use serde_json::{Value, json};

use super::{metadata, naming, rows};
use crate::api::{ApiError, Caller, Parameters};
use crate::kms::{KeyFilter, KeyFilters, NewKey, Service, key_arn};
use crate::model::{KeyOrigin, KeySpec, KeyUsage, ProtectionLevel};

rows! {
    "CreateKey" => create_key,
    "DescribeKey" => describe_key,
    "ListKeys" => list_keys,
    "EnableKey" => enable_key,
    "DisableKey" => disable_key,
    "UpdateKeyDescription" => update_key_description,
    "SetDeletionProtection" => set_deletion_protection,
    "ScheduleKeyDeletion" => schedule_key_deletion,
    "CancelKeyDeletion" => cancel_key_deletion,
    "UpdateRotationPolicy" => update_rotation_policy,
}

/// Characters of a description.
const MAX_DESCRIPTION: usize = 8192;
const USAGES: [KeyUsage; 3] = [KeyUsage::EncryptDecrypt, KeyUsage::SignVerify, KeyUsage::GenerateVerifyMac];
const DAY: Duration = Duration::from_secs(86_400);

pub(super) async fn create_key(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    // Hardware instances keep keys inside; the other mechanism (rotating keys in an encrypted database) is not offered.
    if !matches!(p.optional("KeyStorageMechanism"), None | Some("HsmInternal")) {
        return Err(ApiError::invalid_parameter("KeyStorageMechanism").with_remedy("Allowed is HsmInternal."));
    }
    let new = NewKey {
        spec: p.parsed("KeySpec")?.unwrap_or(KeySpec::Aes256),
        usage: one_of(p, "KeyUsage", &USAGES, |usage| usage.as_str())?,
        origin: one_of(p, "Origin", &[KeyOrigin::Kms, KeyOrigin::External], |origin| origin.as_str())?
            .unwrap_or(KeyOrigin::Kms),
        protection: one_of(p, "ProtectionLevel", &[ProtectionLevel::Software, ProtectionLevel::Hsm], |l| l.as_str())?,
        description: description(p, "Description")?.unwrap_or_default(),
        instance: match p.optional("DKMSInstanceId") {
            Some(text) => Some(text.parse().map_err(|_| ApiError::instance_not_found())?),
            None => None,
        },
        tags: p.tags("Tags")?.unwrap_or_default(),
        rotation: rotation(p, p.boolean("EnableAutomaticRotation")?.unwrap_or(false), 365)?,
        policy: p.optional("Policy").map(str::to_owned),
    };
    let view = service.create_key(caller, new).await?;
    Ok(json!({"KeyMetadata": metadata::key_metadata(&view, false)}))
}

pub(super) async fn describe_key(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let view = service.describe_key(caller, &naming::key(caller, p)?).await?;
    Ok(json!({"KeyMetadata": metadata::key_metadata(&view, true)}))
}

pub(super) async fn list_keys(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let paging = p.paging(10, 1..=100)?;
    let names: Vec<&'static str> = KeyFilter::ALL.iter().map(|(name, _)| *name).collect();
    let given = p.filters(&names)?;
    let filters: KeyFilters = given
        .into_iter()
        .filter_map(|(name, values)| {
            KeyFilter::ALL.iter().find(|(known, _)| *known == name).map(|(_, filter)| (*filter, values))
        })
        .collect();
    let (page, total) = paging.cut(service.list_keys(caller, &filters).await?);
    let keys: Vec<Value> =
        page.iter().map(|id| json!({"KeyId": id, "KeyArn": key_arn(&caller.region, &caller.account, id)})).collect();
    Ok(json!({
        "Keys": {"Key": keys}, "PageNumber": paging.number, "PageSize": paging.size, "TotalCount": total,
    }))
}

pub(super) async fn enable_key(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    service.enable_key(caller, &naming::key_id(caller, p)?).await?;
    Ok(json!({}))
}

pub(super) async fn disable_key(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    service.disable_key(caller, &naming::key_id(caller, p)?).await?;
    Ok(json!({}))
}

pub(super) async fn update_key_description(
    service: &Service,
    caller: &Caller,
    p: &Parameters,
) -> Result<Value, ApiError> {
    let id = naming::key_id(caller, p)?;
    let text = description(p, "Description")?.ok_or_else(|| ApiError::missing_parameter("Description"))?;
    service.update_key_description(caller, &id, &text).await?;
    Ok(json!({}))
}

pub(super) async fn set_deletion_protection(
    service: &Service,
    caller: &Caller,
    p: &Parameters,
) -> Result<Value, ApiError> {
    if p.optional("KmsInstanceId").is_some() {
        return Err(ApiError::unsupported_operation().with_remedy("Only keys can be protected here."));
    }
    let id = match (p.optional("KeyId"), p.optional("ProtectedResourceArn")) {
        (Some(_), Some(_)) => {
            return Err(
                ApiError::invalid_parameter("KeyId").with_remedy("Send KeyId or ProtectedResourceArn, not both.")
            );
        }
        (Some(id), None) => naming::key_id_in(caller, id)?,
        (None, Some(arn)) if arn.starts_with("acs:kms:") => naming::key_id_in(caller, arn)?,
        (None, Some(_)) => return Err(ApiError::invalid_parameter("ProtectedResourceArn")),
        (None, None) => return Err(ApiError::missing_parameter("ProtectedResourceArn")),
    };
    let on = p
        .boolean("EnableDeletionProtection")?
        .ok_or_else(|| ApiError::missing_parameter("EnableDeletionProtection"))?;
    let text = description(p, "DeletionProtectionDescription")?.unwrap_or_default();
    service.set_deletion_protection(caller, &id, on, &text).await?;
    Ok(json!({}))
}

pub(super) async fn schedule_key_deletion(
    service: &Service,
    caller: &Caller,
    p: &Parameters,
) -> Result<Value, ApiError> {
    let id = naming::key_id(caller, p)?;
    let days =
        p.integer("PendingWindowInDays", 7..=366)?.ok_or_else(|| ApiError::missing_parameter("PendingWindowInDays"))?;
    service.schedule_key_deletion(caller, &id, days).await?;
    Ok(json!({}))
}

pub(super) async fn cancel_key_deletion(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    service.cancel_key_deletion(caller, &naming::key_id(caller, p)?).await?;
    Ok(json!({}))
}

pub(super) async fn update_rotation_policy(
    service: &Service,
    caller: &Caller,
    p: &Parameters,
) -> Result<Value, ApiError> {
    let id = naming::key_id(caller, p)?;
    let on =
        p.boolean("EnableAutomaticRotation")?.ok_or_else(|| ApiError::missing_parameter("EnableAutomaticRotation"))?;
    service.update_rotation_policy(caller, &id, on, rotation(p, on, 730)?).await?;
    Ok(json!({}))
}

/// The period of rotation, from 7 days to a bound that differs by operation; needed where rotation is switched on.
fn rotation(p: &Parameters, on: bool, most_days: u32) -> Result<Option<Duration>, ApiError> {
    let interval = p.interval("RotationInterval", DAY.saturating_mul(7)..=DAY.saturating_mul(most_days))?;
    match (on, interval) {
        (true, None) => Err(ApiError::missing_parameter("RotationInterval")),
        (true, some) => Ok(some),
        (false, _) => Ok(None),
    }
}

fn description(p: &Parameters, name: &str) -> Result<Option<String>, ApiError> {
    match p.text(name) {
        Some(text) if text.chars().count() > MAX_DESCRIPTION => {
            Err(ApiError::invalid_parameter(name).with_remedy("At most 8,192 characters are allowed."))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

fn one_of<T: Copy>(
    p: &Parameters,
    name: &str,
    allowed: &[T],
    text_of: impl Fn(T) -> &'static str,
) -> Result<Option<T>, ApiError> {
    let Some(text) = p.optional(name) else {
        return Ok(None);
    };
    allowed.iter().copied().find(|value| text_of(*value) == text).map(Some).ok_or_else(|| {
        let names: Vec<&str> = allowed.iter().map(|value| text_of(*value)).collect();
        ApiError::invalid_parameter(name).with_remedy(format!("Allowed: {}.", names.join(", ")))
    })
}
