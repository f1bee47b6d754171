//! Secrets of every type, with their versions.

use std::collections::BTreeMap;

use serde_json::Value;

use super::client::{CallError, Client, list_at, text_at};
use super::keys::random_base64;

/// A secret as it was before the migration.
#[derive(Debug, Clone)]
pub(super) struct Secret {
    /// Its name.
    pub(super) name: String,
    /// `DescribeSecret`.
    pub(super) before: Value,
    /// What can be read, by version or stage.
    pub(super) values: BTreeMap<String, Reading>,
}

/// What `GetSecretValue` answers: the value, and its stages in order.
pub(super) type Reading = (String, Vec<String>);

/// Makes secrets of each type, and plain ones up to `total`; some under `key`, the others under the system's.
pub(super) async fn fill(client: &Client, key: &str, total: usize) -> Result<Vec<Secret>, CallError> {
    let mut names = Vec::new();
    let under = [("EncryptionKeyId", key)];
    names.push(create(client, "orders/database", "Generic", &random_base64(40), &under).await?);
    for version in ["v2", "v3"] {
        let value = random_base64(40);
        let parameters = [("SecretName", "orders/database"), ("VersionId", version), ("SecretData", value.as_str())];
        client.call("PutSecretValue", &parameters).await?;
    }
    let binary = [("SecretDataType", "binary")];
    names.push(create(client, "orders/seal", "Generic", &random_base64(1024), &binary).await?);

    let rds = r#"{"Accounts":[{"AccountName":"app","AccountPassword":"Db-password-1"}]}"#;
    let config = r#"{"SecretSubType":"SingleUser","DBInstanceId":"rm-demo"}"#;
    let rotating = [("ExtendedConfig", config), ("EnableAutomaticRotation", "true"), ("RotationInterval", "168h")];
    names.push(create(client, "demo-rds", "Rds", rds, &rotating).await?);
    let ram = r#"{"AccessKeys":[{"AccessKeyId":"LTAIdemo","AccessKeySecret":"demo"}]}"#;
    let config = [("ExtendedConfig", r#"{"SecretSubType":"RamUserAccessKey","UserName":"demo"}"#)];
    names.push(create(client, "$Auto", "RAMCredentials", ram, &config).await?);
    let ecs = r#"{"UserName":"root","Password":"Ecs-password-1"}"#;
    let config = [("ExtendedConfig", r#"{"SecretSubType":"Password","RegionId":"cn-hangzhou","InstanceId":"i-demo"}"#)];
    names.push(create(client, "acs/ecs/demo", "ECS", ecs, &config).await?);

    while names.len() < total {
        let name = format!("service/{:04}", names.len());
        names.push(create(client, &name, "Generic", &random_base64(64), &[]).await?);
    }
    let mut secrets = Vec::new();
    for name in names {
        let before = client.call("DescribeSecret", &[("SecretName", &name), ("FetchTags", "true")]).await?;
        let values = read(client, &name, &text_at(&before, &["SecretType"])).await?;
        secrets.push(Secret { name, before, values });
    }
    Ok(secrets)
}

/// Every version of a secret that can be read.
pub(super) async fn read(client: &Client, name: &str, kind: &str) -> Result<BTreeMap<String, Reading>, CallError> {
    let mut found = BTreeMap::new();
    let parameters = [("SecretName", name), ("IncludeDeprecated", "true"), ("PageSize", "100")];
    let versions = client.call("ListSecretVersionIds", &parameters).await?;
    for version in list_at(&versions, &["VersionIds", "VersionId"]) {
        let id = text_at(&version, &["VersionId"]);
        // Managed types are read by stage only (API page GetSecretValue).
        let by = if kind == "Generic" {
            [("SecretName", name), ("VersionId", id.as_str())]
        } else {
            [("SecretName", name), ("VersionStage", "ACSCurrent")]
        };
        let answer = client.call("GetSecretValue", &by).await?;
        let stages = list_at(&answer, &["VersionStages", "VersionStage"]);
        let mut stages: Vec<String> = stages.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        stages.sort();
        found.insert(id, (text_at(&answer, &["SecretData"]), stages));
    }
    Ok(found)
}

async fn create(
    client: &Client,
    name: &str,
    kind: &str,
    data: &str,
    more: &[(&str, &str)],
) -> Result<String, CallError> {
    let first = [("SecretName", name), ("SecretType", kind), ("VersionId", "v1"), ("SecretData", data)];
    let answer = client.call("CreateSecret", &[&first, more].concat()).await?;
    Ok(text_at(&answer, &["SecretName"]))
}
