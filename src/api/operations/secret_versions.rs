//! Operations on the versions of secrets (vendor's reference: Secrets).

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::secrets::{insert_config, insert_rotation, is_binary, name, secret_data};
use super::{authorization, rows};
use crate::api::{ApiError, Caller, Parameters};
use crate::kms::secrets::{NewValue, SecretValue, StageMove, WhichVersion};
use crate::kms::{Service, secret_name};
use crate::model::{SecretType, SecretVersionId, format_utc};
use crate::observe::{Event, Fields, emit};

rows! {
    "GetSecretValue" => get_secret_value,
    "BatchGetSecretValue" => batch_get_secret_value,
    "PutSecretValue" => put_secret_value,
    "ListSecretVersionIds" => list_secret_version_ids,
    "UpdateSecretVersionStage" => update_secret_version_stage,
}

/// Secrets that one request may read.
const MAX_BATCH: usize = 20;

pub(super) async fn get_secret_value(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    if p.optional("Recipient").is_some() {
        return Err(ApiError::unsupported_operation().with_remedy("Values are not encrypted for a Recipient here."));
    }
    let fetch_config = p.boolean("FetchExtendedConfig")?.unwrap_or(false);
    let which = WhichVersion {
        id: p.optional("VersionId").map(str::to_owned),
        stage: p.optional("VersionStage").map(str::to_owned),
    };
    answer(&service.get_secret_value(caller, &name(caller, p)?, &which).await?, fetch_config)
}

/// Each secret is answered for by itself: as a value, or as an error beside the others.
pub(super) async fn batch_get_secret_value(
    service: &Service,
    caller: &Caller,
    p: &Parameters,
) -> Result<Value, ApiError> {
    let invalid = || {
        ApiError::invalid_parameter("SecretsList").with_remedy(
            "Send a JSON list of 1 to 20 different secrets, such as [{\"SecretName\":\"a\",\"VersionStage\":\"ACSCurrent\"}].",
        )
    };
    let text = p.required("SecretsList")?;
    let wishes: Vec<Wish> = serde_json::from_str(text).map_err(|_| invalid())?;
    // One secret by name and by ARN is one secret.
    let own = format!("acs:kms:{}:{}:secret/", caller.region, caller.account);
    let names: BTreeSet<&str> =
        wishes.iter().map(|wish| wish.secret_name.strip_prefix(&own).unwrap_or(&wish.secret_name)).collect();
    if wishes.is_empty() || wishes.len() > MAX_BATCH || names.len() < wishes.len() || names.contains("") {
        return Err(invalid());
    }
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for wish in &wishes {
        match wish.read(service, caller).await {
            Ok(Value::Object(mut value)) => {
                value.insert("RequestId".to_owned(), caller.request_id.as_str().into());
                values.push(Value::Object(value));
            }
            Ok(_) => return Err(ApiError::internal("a value is no object")),
            // What keeps one from being read keeps all of them: the caller is to come back.
            Err(error) if error.http >= 500 => return Err(error),
            Err(error) => {
                // The request itself succeeds: nobody else would tell of this one.
                if let Some(why) = error.internal.as_ref().filter(|_| error.code == "Forbidden.NoPermission") {
                    let text = format!("one secret of request {} was denied: {why}", caller.request_id);
                    emit(Event::RequestDenied, &Fields::new().scope(&caller.scope()).code(error.code), &text);
                }
                errors.push(json!({
                    "Code": error.code, "HttpStatus": error.http, "Message": error.message, "SecretName": wish.secret_name,
                }));
            }
        }
    }
    Ok(json!({"SecretValues": values, "Errors": errors}))
}

/// One secret of BatchGetSecretValue.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Wish {
    secret_name: String,
    version_id: Option<String>,
    version_stage: Option<String>,
    #[serde(default)]
    fetch_extended_config: Option<Value>,
}

impl Wish {
    async fn read(&self, service: &Service, caller: &Caller) -> Result<Value, ApiError> {
        let invalid = ApiError::invalid_parameter;
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let fetch_config = match &self.fetch_extended_config {
            None | Some(Value::Null) => false,
            Some(Value::Bool(fetch)) => *fetch,
            Some(Value::String(text)) if ["true", "True"].contains(&text.as_str()) => true,
            Some(Value::String(text)) if ["false", "False", ""].contains(&text.as_str()) => false,
            Some(_) => return Err(invalid("FetchExtendedConfig")),
        };
        let which = WhichVersion { id: filled(&self.version_id), stage: filled(&self.version_stage) };
        let caller = &authorization::authorize_value(service, caller, &self.secret_name).await?;
        let name = secret_name(caller, &self.secret_name)?;
        answer(&service.get_secret_value(caller, &name, &which).await?, fetch_config)
    }
}

pub(super) async fn put_secret_value(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let order = NewValue {
        name: name(caller, p)?,
        version: p.required_parsed("VersionId")?,
        value: secret_data(p)?,
        binary: is_binary(p)?,
        stages: p.json_list("VersionStages")?,
    };
    let stages = service.put_secret_value(caller, &order).await?;
    Ok(json!({
        "SecretName": order.name.as_str(),
        "VersionId": order.version.as_str(),
        "VersionStages": {"VersionStage": stages},
    }))
}

pub(super) async fn list_secret_version_ids(
    service: &Service,
    caller: &Caller,
    p: &Parameters,
) -> Result<Value, ApiError> {
    let name = name(caller, p)?;
    let paging = p.paging(20, 1..=100)?;
    let deprecated = p.boolean("IncludeDeprecated")?.unwrap_or(false);
    let versions = service.list_secret_versions(caller, &name, deprecated).await?;
    let (page, total) = paging.cut(versions);
    let rows: Vec<Value> = page
        .iter()
        .map(|version| {
            json!({
                "VersionId": version.id.as_str(),
                "CreateTime": format_utc(version.created_at),
                "VersionStages": {"VersionStage": version.stages},
            })
        })
        .collect();
    Ok(json!({
        "SecretName": name.as_str(),
        "VersionIds": {"VersionId": rows},
        "PageNumber": paging.number,
        "PageSize": paging.size,
        "TotalCount": total,
    }))
}

pub(super) async fn update_secret_version_stage(
    service: &Service,
    caller: &Caller,
    p: &Parameters,
) -> Result<Value, ApiError> {
    let name = name(caller, p)?;
    let order = StageMove {
        stage: p.required("VersionStage")?.to_owned(),
        to: p.parsed::<SecretVersionId>("MoveToVersion")?,
        from: p.parsed::<SecretVersionId>("RemoveFromVersion")?,
    };
    service.update_secret_version_stage(caller, &name, &order).await?;
    Ok(json!({"SecretName": name.as_str()}))
}

fn answer(found: &SecretValue, fetch_config: bool) -> Result<Value, ApiError> {
    let secret = &found.secret;
    let text = std::str::from_utf8(&found.value).map_err(|_| ApiError::internal("a stored value is not a text"))?;
    let mut answer = Map::new();
    answer.insert("SecretName".to_owned(), secret.name.as_str().into());
    answer.insert("SecretType".to_owned(), secret.secret_type.as_str().into());
    answer.insert("SecretData".to_owned(), text.into());
    answer.insert("SecretDataType".to_owned(), if found.version.binary { "binary" } else { "text" }.into());
    answer.insert("VersionId".to_owned(), found.version.id.as_str().into());
    answer.insert("VersionStages".to_owned(), json!({"VersionStage": found.version.stages}));
    answer.insert("CreateTime".to_owned(), format_utc(found.version.created_at).into());
    insert_rotation(&mut answer, &secret.rotation, secret.secret_type, true);
    if fetch_config && secret.secret_type != SecretType::Generic {
        insert_config(&mut answer, secret);
    }
    Ok(Value::Object(answer))
}
