//! Operations on secrets (vendor's reference: Secrets).

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::rows;
use crate::api::{ApiError, Caller, Parameters};
use crate::kms::secrets::{Deletion, NewSecret, RotationOrder, SecretChanges, SecretFilter, SecretFilterKey};
use crate::kms::{self, Service};
use crate::model::{Rotation, SecretName, SecretRecord, SecretType, SecretVersionId, TagMap, format_utc};

rows! {
    "CreateSecret" => create_secret,
    "DescribeSecret" => describe_secret,
    "ListSecrets" => list_secrets,
    "UpdateSecret" => update_secret,
    "DeleteSecret" => delete_secret,
    "RestoreSecret" => restore_secret,
    "UpdateSecretRotationPolicy" => update_secret_rotation_policy,
    "RotateSecret" => rotate_secret,
}

/// Characters a description may have.
const MAX_DESCRIPTION: usize = 8192;
/// Rotation intervals of secrets.
const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(6 * 3600)..=Duration::from_secs(8760 * 3600);

const FILTERS: &[(&str, SecretFilterKey)] = &[
    ("SecretName", SecretFilterKey::SecretName),
    ("Description", SecretFilterKey::Description),
    ("TagKey", SecretFilterKey::TagKey),
    ("TagValue", SecretFilterKey::TagValue),
    ("DKMSInstanceId", SecretFilterKey::Instance),
    ("SecretType", SecretFilterKey::SecretType),
    ("Creator", SecretFilterKey::Creator),
];

pub(super) async fn create_secret(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let encryption_key = match p.optional("EncryptionKeyId") {
        Some(text) => Some(kms::key_name(caller, text)?),
        None => None,
    };
    let order = NewSecret {
        name: p.required("SecretName")?.to_owned(),
        secret_type: secret_type(p)?,
        value: secret_data(p)?,
        binary: is_binary(p)?,
        version: p.required_parsed::<SecretVersionId>("VersionId")?,
        description: description(p)?.unwrap_or_default(),
        encryption_key,
        instance: match p.optional("DKMSInstanceId") {
            Some(id) => Some(id.parse().map_err(|_| ApiError::instance_not_found())?),
            None => None,
        },
        extended_config: p.object("ExtendedConfig")?,
        rotation: RotationOrder {
            enabled: p.boolean("EnableAutomaticRotation")?.unwrap_or(false),
            interval: p.interval("RotationInterval", INTERVALS)?,
        },
        tags: p.tags("Tags")?.unwrap_or_default(),
        policy: p.optional("Policy").map(str::to_owned),
    };
    let made = service.create_secret(caller, &order).await?;
    let mut answer = Map::new();
    answer.insert("Arn".to_owned(), arn(&made.secret));
    answer.insert("SecretName".to_owned(), made.secret.name.as_str().into());
    answer.insert("SecretType".to_owned(), made.secret.secret_type.as_str().into());
    answer.insert("VersionId".to_owned(), made.version.as_str().into());
    insert_instance(&mut answer, &made.secret);
    insert_config(&mut answer, &made.secret);
    insert_rotation(&mut answer, &made.secret.rotation, made.secret.secret_type, false);
    Ok(Value::Object(answer))
}

pub(super) async fn describe_secret(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let fetch_tags = p.boolean("FetchTags")?.unwrap_or(false);
    let secret = service.describe_secret(caller, &name(caller, p)?).await?;
    let mut answer = Map::new();
    answer.insert("Arn".to_owned(), arn(&secret));
    insert_listed(&mut answer, &secret);
    answer.insert("Description".to_owned(), secret.description.as_str().into());
    if let Some(key) = &secret.encryption_key {
        answer.insert("EncryptionKeyId".to_owned(), key.as_str().into());
    }
    insert_instance(&mut answer, &secret);
    insert_config(&mut answer, &secret);
    insert_rotation(&mut answer, &secret.rotation, secret.secret_type, true);
    if fetch_tags {
        answer.insert("Tags".to_owned(), tags(&secret.tags));
    }
    Ok(Value::Object(answer))
}

pub(super) async fn list_secrets(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let fetch_tags = p.boolean("FetchTags")?.unwrap_or(false);
    let paging = p.paging(10, 1..=100)?;
    let names: Vec<&'static str> = FILTERS.iter().map(|(name, _)| *name).collect();
    let filters: Vec<SecretFilter> = p
        .filters(&names)?
        .into_iter()
        .filter_map(|(name, values)| FILTERS.iter().find(|(known, _)| *known == name).map(|(_, key)| (*key, values)))
        .collect();
    let size = usize::try_from(paging.size).unwrap_or(usize::MAX);
    let before = usize::try_from(paging.number.saturating_sub(1)).unwrap_or(usize::MAX).saturating_mul(size);
    let (page, total) = service.list_secrets(caller, &filters, before, size).await?;
    let rows: Vec<Value> = page
        .iter()
        .map(|secret| {
            let mut row = Map::new();
            insert_listed(&mut row, secret);
            if fetch_tags {
                row.insert("Tags".to_owned(), tags(&secret.tags));
            }
            Value::Object(row)
        })
        .collect();
    Ok(json!({
        "SecretList": {"Secret": rows},
        "PageNumber": paging.number,
        "PageSize": paging.size,
        "TotalCount": total,
    }))
}

pub(super) async fn update_secret(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let name = name(caller, p)?;
    let changes = SecretChanges { description: description(p)?, custom_data: custom_data(p)? };
    service.update_secret(caller, &name, &changes).await?;
    Ok(json!({"SecretName": name.as_str()}))
}

pub(super) async fn delete_secret(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let name = name(caller, p)?;
    let window = p.integer("RecoveryWindowInDays", 7..=30)?.unwrap_or(30);
    let deletion = match p.boolean("ForceDeleteWithoutRecovery")? {
        Some(true) => Deletion::Forced,
        _ => Deletion::Window(window),
    };
    let at = service.delete_secret(caller, &name, deletion).await?;
    Ok(json!({"SecretName": name.as_str(), "PlannedDeleteTime": format_utc(at)}))
}

pub(super) async fn restore_secret(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let name = name(caller, p)?;
    service.restore_secret(caller, &name).await?;
    Ok(json!({"SecretName": name.as_str()}))
}

pub(super) async fn update_secret_rotation_policy(
    service: &Service,
    caller: &Caller,
    p: &Parameters,
) -> Result<Value, ApiError> {
    let name = name(caller, p)?;
    let enabled = p.boolean("EnableAutomaticRotation")?;
    let order = RotationOrder {
        enabled: enabled.ok_or_else(|| ApiError::missing_parameter("EnableAutomaticRotation"))?,
        interval: p.interval("RotationInterval", INTERVALS)?,
    };
    service.update_secret_rotation(caller, &name, order).await?;
    Ok(json!({"SecretName": name.as_str()}))
}

pub(super) async fn rotate_secret(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let (name, version) = (name(caller, p)?, p.required_parsed::<SecretVersionId>("VersionId")?);
    let secret = service.rotate_secret(caller, &name, &version).await?;
    Ok(json!({"Arn": arn(&secret), "SecretName": name.as_str(), "VersionId": version.as_str()}))
}

/// The secret that `SecretName` names, by name or ARN.
pub(super) fn name(caller: &Caller, p: &Parameters) -> Result<SecretName, ApiError> {
    Ok(kms::secret_name(caller, p.required("SecretName")?)?)
}

/// The value as sent: also for `binary` it is kept as the text that came.
pub(super) fn secret_data(p: &Parameters) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    Ok(Zeroizing::new(p.required("SecretData")?.as_bytes().to_vec()))
}

pub(super) fn is_binary(p: &Parameters) -> Result<bool, ApiError> {
    match p.optional("SecretDataType") {
        None | Some("text") => Ok(false),
        Some("binary") => Ok(true),
        Some(_) => Err(ApiError::invalid_parameter("SecretDataType").with_remedy("Allowed are text and binary.")),
    }
}

/// What a secret's rotation looks like; without `last`, `LastRotationDate` is left out.
pub(super) fn insert_rotation(answer: &mut Map<String, Value>, rotation: &Rotation, kind: SecretType, last: bool) {
    let state = match (rotation.enabled, rotation.invalid) {
        (false, _) => "Disabled",
        (true, false) => "Enabled",
        (true, true) => "Invalid",
    };
    answer.insert("AutomaticRotation".to_owned(), state.into());
    if kind == SecretType::Generic {
        return;
    }
    if last && let Some(at) = rotation.last {
        answer.insert("LastRotationDate".to_owned(), format_utc(at).into());
    }
    if rotation.enabled {
        if let Some(interval) = rotation.interval {
            answer.insert("RotationInterval".to_owned(), format!("{}s", interval.as_secs()).into());
        }
        if let Some(at) = rotation.next() {
            answer.insert("NextRotationDate".to_owned(), format_utc(at).into());
        }
    }
}

pub(super) fn insert_config(answer: &mut Map<String, Value>, secret: &SecretRecord) {
    if !secret.extended_config.is_empty() {
        answer.insert("ExtendedConfig".to_owned(), secret.extended_config.as_str().into());
    }
}

fn insert_listed(row: &mut Map<String, Value>, secret: &SecretRecord) {
    row.insert("SecretName".to_owned(), secret.name.as_str().into());
    row.insert("SecretType".to_owned(), secret.secret_type.as_str().into());
    row.insert("CreateTime".to_owned(), format_utc(secret.created_at).into());
    row.insert("UpdateTime".to_owned(), format_utc(secret.updated_at).into());
    if let Some(at) = secret.planned_delete_at {
        row.insert("PlannedDeleteTime".to_owned(), format_utc(at).into());
    }
}

fn insert_instance(answer: &mut Map<String, Value>, secret: &SecretRecord) {
    if let Some(instance) = secret.keystore.instance() {
        answer.insert("DKMSInstanceId".to_owned(), instance.as_str().into());
    }
}

fn arn(secret: &SecretRecord) -> Value {
    kms::secret_arn(&secret.region, &secret.account, &secret.name).into()
}

fn tags(tags: &TagMap) -> Value {
    let rows: Vec<Value> = tags.iter().map(|(key, value)| json!({"TagKey": key, "TagValue": value})).collect();
    json!({"Tag": rows})
}

fn secret_type(p: &Parameters) -> Result<SecretType, ApiError> {
    match p.optional("SecretType") {
        None => Ok(SecretType::Generic),
        Some("Redis" | "PolarDB") => {
            Err(ApiError::unsupported_operation().with_remedy("Secrets of this type are not offered."))
        }
        Some(text) => text.parse().map_err(|()| {
            let allowed: Vec<&str> = SecretType::ALL.iter().map(|kind| kind.as_str()).collect();
            ApiError::invalid_parameter("SecretType").with_remedy(format!("Allowed are {}.", allowed.join(", ")))
        }),
    }
}

fn description(p: &Parameters) -> Result<Option<String>, ApiError> {
    match p.text("Description") {
        Some(text) if text.chars().count() > MAX_DESCRIPTION => Err(ApiError::invalid_parameter("Description")
            .with_remedy(format!("At most {MAX_DESCRIPTION} characters are allowed."))),
        other => Ok(other.map(str::to_owned)),
    }
}

/// Custom data as the SDKs send it: `ExtendedConfig.CustomData={…}`, flattened once more, or inside `ExtendedConfig={…}`.
fn custom_data(p: &Parameters) -> Result<Option<Map<String, Value>>, ApiError> {
    let invalid = || ApiError::invalid_parameter("ExtendedConfig.CustomData").with_remedy("Send a JSON object.");
    if let Some(text) = p.optional("ExtendedConfig.CustomData") {
        return serde_json::from_str(text).map(Some).map_err(|_| invalid());
    }
    if let Some(text) = p.optional("ExtendedConfig") {
        let config: Map<String, Value> = serde_json::from_str(text).map_err(|_| invalid())?;
        return match config.get("CustomData") {
            None => Ok(None),
            Some(Value::Object(custom)) => Ok(Some(custom.clone())),
            // The 3.x SDK may shrink the inner object to a text.
            Some(Value::String(text)) => serde_json::from_str(text).map(Some).map_err(|_| invalid()),
            Some(_) => Err(invalid()),
        };
    }
    let flat = p.context("ExtendedConfig.CustomData")?;
    if flat.is_empty() {
        return Ok(None);
    }
    Ok(Some(flat.into_iter().map(|(name, value)| (name, Value::String(value))).collect()))
}
