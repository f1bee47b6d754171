//! What each type of secret takes at its creation, and the value that is read back (API page CreateSecret).

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use zeroize::{Zeroize, Zeroizing};

use super::MAX_VALUE;
use crate::kms::KmsError;
use crate::model::{SecretName, SecretType, format_utc};

/// Characters an extended configuration may have.
const MAX_CONFIG: usize = 1024;
/// Pairs of custom data.
const MAX_CUSTOM: usize = 10;

/// What a new secret starts with.
pub(super) struct Shape {
    /// Its name; `$Auto` resolved.
    pub(super) name: SecretName,
    /// Its values: the current one, and for a second account of a managed secret the previous one.
    pub(super) values: Vec<Zeroizing<Vec<u8>>>,
    /// Extended configuration as it is kept: JSON text, empty for Generic.
    pub(super) extended_config: String,
}

/// Checks name, value and extended configuration of a new secret against its type.
pub(super) fn shape(
    kind: SecretType,
    name: &str,
    binary: bool,
    value: &Zeroizing<Vec<u8>>,
    config: Option<&str>,
    now: Timestamp,
) -> Result<Shape, KmsError> {
    if value.is_empty() || value.len() > MAX_VALUE {
        return Err(invalid("SecretData", "1 to 30,720 bytes are allowed"));
    }
    if kind == SecretType::Generic {
        let name = named(name, |name| !name.starts_with("acs/"), "names that begin with acs/ are reserved")?;
        return Ok(Shape { name, values: vec![value.clone()], extended_config: String::new() });
    }
    if binary {
        return Err(invalid("SecretDataType", "a managed secret is text"));
    }
    let config = extended(config)?;
    let (name, values) = match kind {
        SecretType::Rds => {
            let double = one_of(&config, "SecretSubType", &["SingleUser", "DoubleUsers"])? == "DoubleUsers";
            text(&config, "DBInstanceId")?;
            let name = named(name, |name| !name.starts_with("acs/"), "names that begin with acs/ are reserved")?;
            (name, accounts(value, double)?)
        }
        SecretType::RAMCredentials => {
            one_of(&config, "SecretSubType", &["RamUserAccessKey"])?;
            let expected = format!("acs/ram/user/{}", text(&config, "UserName")?);
            let chosen = if name == "$Auto" { expected.as_str() } else { name };
            let name = named(chosen, |name| name == expected, "use $Auto, or acs/ram/user/ and the user's name")?;
            (name, access_keys(value, now)?)
        }
        SecretType::ECS => {
            let by_key = one_of(&config, "SecretSubType", &["Password", "SSHKey"])? == "SSHKey";
            text(&config, "RegionId")?;
            text(&config, "InstanceId")?;
            let name = named(name, |name| name.starts_with("acs/ecs/"), "names of ECS secrets begin with acs/ecs/")?;
            (name, vec![login(value, by_key)?])
        }
        SecretType::Generic => {
            return Err(KmsError::Internal("a generic secret has no shape".to_owned()));
        }
    };
    Ok(Shape { name, values, extended_config: Value::Object(config).to_string() })
}

/// An extended configuration with other custom data; the rest cannot be changed (API page UpdateSecret).
pub(super) fn with_custom_data(config: &str, custom: &Map<String, Value>) -> Result<String, KmsError> {
    let mut config: Map<String, Value> = serde_json::from_str(config).unwrap_or_default();
    config.insert("CustomData".to_owned(), Value::Object(custom.clone()));
    let text = Value::Object(config).to_string();
    extended(Some(&text))?;
    Ok(text)
}

fn extended(config: Option<&str>) -> Result<Map<String, Value>, KmsError> {
    let text = config.ok_or(KmsError::MissingParameter("ExtendedConfig"))?;
    if text.chars().count() > MAX_CONFIG {
        return Err(invalid("ExtendedConfig", "at most 1,024 characters are allowed"));
    }
    let config: Map<String, Value> =
        serde_json::from_str(text).map_err(|_| invalid("ExtendedConfig", "send a JSON object"))?;
    match config.get("CustomData") {
        None => Ok(config),
        Some(Value::Object(custom)) if custom.len() <= MAX_CUSTOM => Ok(config),
        Some(_) => Err(invalid("ExtendedConfig", "CustomData is an object of at most 10 pairs")),
    }
}

fn text<'a>(config: &'a Map<String, Value>, member: &str) -> Result<&'a str, KmsError> {
    config
        .get(member)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| invalid("ExtendedConfig", &format!("{member} is needed")))
}

fn one_of<'a>(config: &'a Map<String, Value>, member: &str, allowed: &[&str]) -> Result<&'a str, KmsError> {
    let found = text(config, member)?;
    if allowed.contains(&found) {
        Ok(found)
    } else {
        Err(invalid("ExtendedConfig", &format!("{member} is one of {}", allowed.join(", "))))
    }
}

fn named(name: &str, allowed: impl Fn(&str) -> bool, rule: &str) -> Result<SecretName, KmsError> {
    let parsed: SecretName = name.parse().map_err(|_| KmsError::InvalidParameter("SecretName"))?;
    if allowed(name) { Ok(parsed) } else { Err(invalid("SecretName", rule)) }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Accounts {
    accounts: Vec<Account>,
}

#[derive(Deserialize, Zeroize)]
#[zeroize(drop)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Account {
    account_name: String,
    account_password: String,
}

fn accounts(value: &[u8], double: bool) -> Result<Vec<Zeroizing<Vec<u8>>>, KmsError> {
    let wrong = || invalid("SecretData", "send {\"Accounts\":[{\"AccountName\":\"…\",\"AccountPassword\":\"…\"}]}");
    let parsed: Accounts = serde_json::from_slice(value).map_err(|_| wrong())?;
    let most = if double { 2 } else { 1 };
    if parsed.accounts.is_empty() || parsed.accounts.len() > most {
        return Err(wrong());
    }
    parsed
        .accounts
        .iter()
        .map(|account| {
            written(&json!({"AccountName": account.account_name, "AccountPassword": account.account_password}))
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AccessKeys {
    access_keys: Vec<AccessKey>,
}

#[derive(Deserialize, Zeroize)]
#[zeroize(drop)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AccessKey {
    access_key_id: String,
    access_key_secret: String,
}

fn access_keys(value: &[u8], now: Timestamp) -> Result<Vec<Zeroizing<Vec<u8>>>, KmsError> {
    let wrong = || invalid("SecretData", "send {\"AccessKeys\":[{\"AccessKeyId\":\"…\",\"AccessKeySecret\":\"…\"}]}");
    let parsed: AccessKeys = serde_json::from_slice(value).map_err(|_| wrong())?;
    // A RAM user has at most two access keys.
    if parsed.access_keys.is_empty() || parsed.access_keys.len() > 2 {
        return Err(wrong());
    }
    parsed
        .access_keys
        .iter()
        .map(|pair| {
            written(&json!({
                "AccessKeyId": pair.access_key_id,
                "AccessKeySecret": pair.access_key_secret,
                "GenerateTimestamp": format_utc(now),
            }))
        })
        .collect()
}

fn login(value: &Zeroizing<Vec<u8>>, by_key: bool) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    let members: &[&str] = if by_key { &["UserName", "PublicKey", "PrivateKey"] } else { &["UserName", "Password"] };
    let parsed: Map<String, Value> = serde_json::from_slice(value).unwrap_or_default();
    let fits = parsed.len() == members.len()
        && members
            .iter()
            .all(|member| parsed.get(*member).and_then(Value::as_str).is_some_and(|text| !text.is_empty()));
    if fits {
        Ok(value.clone())
    } else {
        Err(invalid("SecretData", &format!("send a JSON object with {}", members.join(", "))))
    }
}

fn written(value: &Value) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    serde_json::to_vec(value).map(Zeroizing::new).map_err(|_| KmsError::InvalidParameter("SecretData"))
}

fn invalid(name: &'static str, reason: &str) -> KmsError {
    KmsError::InvalidParameterBecause { name, reason: reason.to_owned() }
}
