//! `--endpoint`: a KMS is asked what it holds of a configuration. Only Describe and List operations are sent.

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use zeroize::Zeroizing;

use super::arguments::SourceArguments;
use crate::api::client::{Client, ClientError};
use crate::api::signature::signing::Credentials;
use crate::cli::outcome::{Exit, Failure};
use crate::terraform::{Moved, MovedKey, MovedSecret, Names, ProtectionLevel};

/// Questions that are asked at the same time.
const PARALLEL: usize = 8;
/// The largest page that ListKeys gives.
const PAGE: &str = "100";
/// How long to wait when asked too often; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(8);

/// What the KMS says is in an instance.
pub(super) async fn moved(address: &str, options: &SourceArguments, names: &Names) -> Result<Moved, Failure> {
    let authority = options.ca.as_deref().map(|path| read(path, "the certificates")).transpose()?;
    let credentials = credentials(options.access_key_secret_file.as_deref())?;
    let client = Client::new(address, options.region.clone(), authority.as_deref().map(|pem| &**pem), credentials);
    let client = client.map_err(|error| failed(&error))?;
    let mut keys: Vec<String> = names.key_ids.iter().chain(&names.aliases).cloned().collect();
    if names.unnamed_keys {
        keys.extend(all_keys(&client).await?);
    }
    keys.sort();
    keys.dedup();
    let mut moved = Moved::default();
    let found = futures::stream::iter(&keys).map(|key| describe_key(&client, key)).buffered(PARALLEL);
    let found: Vec<Result<Option<MovedKey>, ClientError>> = found.collect().await;
    let mut listed = Moved::default();
    for key in found {
        listed.keys.extend(key.map_err(|error| failed(&error))?);
    }
    let found = futures::stream::iter(&names.secrets).map(|name| describe_secret(&client, name)).buffered(PARALLEL);
    let found: Vec<Result<Option<MovedSecret>, ClientError>> = found.collect().await;
    for secret in found {
        listed.secrets.extend(secret.map_err(|error| failed(&error))?);
    }
    moved.merge(listed);
    Ok(moved)
}

async fn all_keys(client: &Client) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::new();
    for page in 1_u32.. {
        let number = page.to_string();
        let answer = ask(client, "ListKeys", &[("PageNumber", &number), ("PageSize", PAGE)]).await;
        let answer = answer.map_err(|error| failed(&error))?;
        let keys = answer.pointer("/Keys/Key").and_then(Value::as_array).cloned().unwrap_or_default();
        if keys.is_empty() {
            break;
        }
        ids.extend(keys.iter().filter_map(|key| text(key, "KeyId")));
        let total = answer.get("TotalCount").and_then(Value::as_u64).unwrap_or_default();
        if u64::try_from(ids.len()).unwrap_or(u64::MAX) >= total {
            break;
        }
    }
    Ok(ids)
}

async fn describe_key(client: &Client, key: &str) -> Result<Option<MovedKey>, ClientError> {
    let Some(answer) = found(ask(client, "DescribeKey", &[("KeyId", key)]).await)? else {
        return Ok(None);
    };
    let Some(about) = answer.get("KeyMetadata") else { return Ok(None) };
    let aliases = key.starts_with("alias/").then(|| key.to_owned()).into_iter().collect();
    let instance = text(about, "DKMSInstanceId").filter(|instance| !instance.is_empty());
    Ok(instance.map(|instance| MovedKey {
        id: text(about, "KeyId").unwrap_or_default(),
        aliases,
        description: Some(text(about, "Description").unwrap_or_default()),
        instance: Some(instance),
        protection: text(about, "ProtectionLevel").and_then(|level| ProtectionLevel::read(&level)),
        rotates: rotates(about),
    }))
}

async fn describe_secret(client: &Client, name: &str) -> Result<Option<MovedSecret>, ClientError> {
    let Some(answer) = found(ask(client, "DescribeSecret", &[("SecretName", name)]).await)? else {
        return Ok(None);
    };
    let instance = text(&answer, "DKMSInstanceId").filter(|instance| !instance.is_empty());
    Ok(instance.map(|instance| MovedSecret {
        name: name.to_owned(),
        instance: Some(instance),
        rotates: rotates(&answer),
    }))
}

/// `Suspended` and `Invalid` are neither on nor off.
fn rotates(about: &Value) -> Option<bool> {
    match text(about, "AutomaticRotation")?.as_str() {
        "Enabled" => Some(true),
        "Disabled" => Some(false),
        _ => None,
    }
}

/// Asks, and asks again a little later where the KMS says that it was asked too often.
async fn ask(client: &Client, action: &'static str, parameters: &[(&str, &str)]) -> Result<Value, ClientError> {
    let mut pause = FIRST_PAUSE;
    loop {
        match client.call(action, parameters).await {
            Err(error) if error.is_throttled() && pause <= LAST_PAUSE => {
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2);
            }
            answer => return answer,
        }
    }
}

fn found(answer: Result<Value, ClientError>) -> Result<Option<Value>, ClientError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// The vendor's variables, else those of the Terraform provider.
fn credentials(file: Option<&Path>) -> Result<Credentials, Failure> {
    let variable = |names: [&str; 2]| {
        names.into_iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    };
    let missing =
        |what: &str, remedy: &str| Failure::new(Exit::Usage, "NoAccessKey", format!("there is no {what}"), remedy);
    let id = variable(["ALIBABA_CLOUD_ACCESS_KEY_ID", "ALICLOUD_ACCESS_KEY"])
        .ok_or_else(|| missing("AccessKeyId to ask the endpoint with", "set ALIBABA_CLOUD_ACCESS_KEY_ID"))?;
    let secret = match file {
        Some(path) => {
            let bytes = read(path, "the AccessKeySecret")?;
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| missing("AccessKeySecret in the file", "it holds the secret as text and nothing else"))?;
            Zeroizing::new(text.trim().to_owned())
        }
        None => {
            let secret = variable(["ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALICLOUD_SECRET_KEY"]).map(Zeroizing::new);
            let remedy = "set ALIBABA_CLOUD_ACCESS_KEY_SECRET, or name a file with --access-key-secret-file";
            secret.ok_or_else(|| missing("AccessKeySecret to ask the endpoint with", remedy))?
        }
    };
    let session = variable(["ALIBABA_CLOUD_SECURITY_TOKEN", "ALICLOUD_SECURITY_TOKEN"]).map(Zeroizing::new);
    Ok(Credentials { id, secret, session })
}

fn read(path: &Path, what: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    std::fs::read(path).map(Zeroizing::new).map_err(|error| {
        let message = format!("{what} cannot be read from {} ({error})", path.display());
        Failure::new(Exit::Usage, "FileUnreadable", message, "name a readable file")
    })
}

fn failed(error: &ClientError) -> Failure {
    let (exit, code, remedy) = match error {
        ClientError::Address(_) => (Exit::Usage, "InvalidValue", "write it as https://HOST or https://HOST:PORT"),
        ClientError::Authority => (Exit::Usage, "InvalidValue", "name a file with -----BEGIN CERTIFICATE-----"),
        ClientError::Unreachable { .. } => {
            (Exit::Unreachable, "Unreachable", "check the address, the network and, for a private authority, --ca")
        }
        ClientError::Answered { .. } => (
            Exit::Usage,
            "EndpointRefused",
            "the access key needs kms:DescribeKey and kms:DescribeSecret, and kms:ListKeys where keys have no alias; \
             --region may be missing",
        ),
    };
    Failure::new(exit, code, error.to_string(), remedy)
}
