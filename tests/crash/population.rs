//! A small region with one resource of each kind that a migration treats differently, what was made with it before, and
//! what must hold of it afterwards, asked through the API.

use std::collections::BTreeMap;

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::clear::MARKER;
use crate::client::Client;
use crate::daemon::INSTANCE;

const CONTEXT: &str = r#"{"made":"before"}"#;
/// Fields of a description that a migration may change; of them the instance is checked by itself.
const MAY_DIFFER: [&str; 3] = ["RequestId", "DKMSInstanceId", "ProtectionLevel"];

/// Parameters of a call.
type Parameters = Vec<(&'static str, String)>;

/// What is known of the region from before the migration.
pub struct Known {
    /// Calls with the answers they gave.
    answers: Vec<(&'static str, Parameters, Value)>,
    keys: Vec<String>,
    secrets: Vec<String>,
}

impl Known {
    /// Fills a region and remembers it.
    pub async fn fill(client: &Client) -> Result<Self, String> {
        let mut calls: Vec<(&'static str, Parameters)> = Vec::new();
        let rotating = create(client, &[("EnableAutomaticRotation", "true"), ("RotationInterval", "30d")]).await?;
        for text in ["first", "second"] {
            let plaintext = BASE64.encode(secret(text));
            let parameters = [("KeyId", rotating.as_str()), ("Plaintext", &plaintext), ("EncryptionContext", CONTEXT)];
            let blob = client.text("Encrypt", &parameters, "/CiphertextBlob").await?;
            calls.push(("Decrypt", vec![("CiphertextBlob", blob), ("EncryptionContext", CONTEXT.to_owned())]));
            client.call("CreateKeyVersion", &[("KeyId", &rotating)]).await?;
        }
        let tags = r#"[{"TagKey":"team","TagValue":"payments"}]"#;
        client.call("TagResource", &[("KeyId", &rotating), ("Tags", tags)]).await?;
        client.call("CreateAlias", &[("KeyId", &rotating), ("AliasName", "alias/rotating")]).await?;
        let signing = create(client, &[("KeySpec", "EC_P256"), ("KeyUsage", "SIGN/VERIFY")]).await?;
        let version = first_version(client, &signing).await?;
        let signature = |value: Option<String>| {
            let mut parameters = vec![
                ("KeyId", signing.clone()),
                ("KeyVersionId", version.clone()),
                ("Algorithm", "ECDSA_SHA_256".to_owned()),
                ("Digest", BASE64.encode(Sha256::digest(b"before"))),
            ];
            parameters.extend(value.map(|value| ("Value", value)));
            parameters
        };
        let made = client.text("AsymmetricSign", &borrowed(&signature(None)), "/Value").await?;
        calls.push(("AsymmetricVerify", signature(Some(made))));
        let opening = create(client, &[("KeySpec", "RSA_2048"), ("KeyUsage", "ENCRYPT/DECRYPT")]).await?;
        let mut oaep = vec![
            ("KeyId", opening.clone()),
            ("KeyVersionId", first_version(client, &opening).await?),
            ("Algorithm", "RSAES_OAEP_SHA_256".to_owned()),
            ("Plaintext", BASE64.encode(secret("sealed before"))),
        ];
        let blob = client.text("AsymmetricEncrypt", &borrowed(&oaep), "/CiphertextBlob").await?;
        oaep[3] = ("CiphertextBlob", blob);
        calls.push(("AsymmetricDecrypt", oaep));
        let disabled = create(client, &[]).await?;
        client.call("DisableKey", &[("KeyId", &disabled)]).await?;
        let own = import(client).await?;
        let plaintext = BASE64.encode(secret("under material of its own"));
        let blob = client.text("Encrypt", &[("KeyId", &own), ("Plaintext", &plaintext)], "/CiphertextBlob").await?;
        calls.push(("Decrypt", vec![("CiphertextBlob", blob)]));

        let (one, two, three) = (secret("one"), secret("two"), secret("three"));
        let under = [("SecretName", "db/password"), ("SecretData", one.as_str()), ("VersionId", "v1")];
        client.call("CreateSecret", &[&under[..], &[("EncryptionKeyId", &rotating)]].concat()).await?;
        let second = [("SecretName", "db/password"), ("SecretData", two.as_str()), ("VersionId", "v2")];
        client.call("PutSecretValue", &second).await?;
        let plain = [("SecretName", "plain"), ("SecretData", three.as_str()), ("VersionId", "v1")];
        client.call("CreateSecret", &plain).await?;

        let mut keys = vec![rotating, signing, opening, disabled, own];
        let secrets = vec!["db/password".to_owned(), "plain".to_owned()];
        for key in &keys {
            for action in ["DescribeKey", "ListKeyVersions", "ListAliasesByKeyId", "ListResourceTags"] {
                calls.push((action, vec![("KeyId", key.clone())]));
            }
        }
        for name in &secrets {
            let mut described = vec![("SecretName", name.clone()), ("FetchTags", "true".to_owned())];
            calls.push(("DescribeSecret", described.clone()));
            described[1] = ("IncludeDeprecated", "true".to_owned());
            calls.push(("ListSecretVersionIds", described));
        }
        for (name, version) in [("db/password", "v1"), ("db/password", "v2"), ("plain", "v1")] {
            calls.push(("GetSecretValue", vec![("SecretName", name.to_owned()), ("VersionId", version.to_owned())]));
        }
        let mut answers = Vec::new();
        for (action, parameters) in calls {
            let answer = bare(client.call(action, &borrowed(&parameters)).await?);
            answers.push((action, parameters, answer));
        }
        // Its description is not among the answers: whoever may change it does.
        keys.push(create(client, &[]).await?);
        Ok(Self { answers, keys, secrets })
    }

    /// The key that is changed as often as the daemon allows.
    pub fn managed(&self) -> &str {
        self.keys.last().unwrap()
    }

    /// The key that rotates.
    pub fn rotating(&self) -> &str {
        &self.keys[0]
    }

    /// What does not hold, through the API; `moved` tells where everything has to be.
    pub async fn broken(&self, client: &Client, moved: bool) -> Vec<String> {
        let mut broken = Vec::new();
        for (action, parameters, before) in &self.answers {
            match client.call(action, &borrowed(parameters)).await {
                Ok(after) if bare(after.clone()) != *before => {
                    broken.push(format!("{action} {parameters:?}: {before} became {after}"));
                }
                Ok(_) => {}
                Err(error) => broken.push(error),
            }
        }
        let expected = if moved { INSTANCE } else { "" };
        let keys = self.keys.iter().map(|key| ("DescribeKey", "KeyId", key, "/KeyMetadata/DKMSInstanceId"));
        let secrets = self.secrets.iter().map(|name| ("DescribeSecret", "SecretName", name, "/DKMSInstanceId"));
        for (action, name, value, at) in keys.chain(secrets) {
            match client.call(action, &[(name, value)]).await {
                Ok(answer) if answer.pointer(at).and_then(Value::as_str).unwrap_or_default() != expected => {
                    broken.push(format!("{value} is not where it has to be: {answer}"));
                }
                Ok(_) => {}
                Err(error) => broken.push(error),
            }
        }
        // Management goes on, and new ciphertexts open.
        let description = [("KeyId", self.keys[0].as_str()), ("Description", "after")];
        if let Err(error) = client.call("UpdateKeyDescription", &description).await {
            broken.push(error);
        }
        let fresh = [("KeyId", self.keys[0].as_str()), ("Plaintext", "bmV3")];
        match client.text("Encrypt", &fresh, "/CiphertextBlob").await {
            Ok(blob) => match client.text("Decrypt", &[("CiphertextBlob", &blob)], "/Plaintext").await {
                Ok(plaintext) if plaintext == "bmV3" => {}
                Ok(other) => broken.push(format!("a new ciphertext opens to {other}")),
                Err(error) => broken.push(error),
            },
            Err(error) => broken.push(error),
        }
        broken
    }
}

/// A value or plaintext that may be found nowhere.
fn secret(text: &str) -> String {
    format!("{MARKER}{text}")
}

/// 32 bytes that begin with [`MARKER`].
const MATERIAL: &[u8; 32] = b"k7Vq2-crash-material-of-its-own!";

/// A key with material of its own.
async fn import(client: &Client) -> Result<String, String> {
    let key = create(client, &[("Origin", "EXTERNAL")]).await?;
    let wrapping = [("WrappingAlgorithm", "RSAES_OAEP_SHA_256"), ("WrappingKeySpec", "RSA_2048")];
    let offer = client.call("GetParametersForImport", &[&wrapping[..], &[("KeyId", key.as_str())]].concat()).await?;
    let public = PublicEncryptingKey::from_der(&BASE64.decode(offer["PublicKey"].as_str().unwrap()).unwrap()).unwrap();
    let public = OaepPublicEncryptingKey::new(public).unwrap();
    let mut room = vec![0; public.ciphertext_size()];
    let wrapped = public.encrypt(&OAEP_SHA256_MGF1SHA256, MATERIAL, &mut room, None).unwrap();
    let wrapped = BASE64.encode(wrapped);
    let parameters = [
        ("KeyId", key.as_str()),
        ("EncryptedKeyMaterial", wrapped.as_str()),
        ("ImportToken", offer["ImportToken"].as_str().unwrap()),
        ("KeyMaterialExpireUnix", "0"),
    ];
    client.call("ImportKeyMaterial", &parameters).await?;
    Ok(key)
}

async fn create(client: &Client, parameters: &[(&str, &str)]) -> Result<String, String> {
    client.text("CreateKey", parameters, "/KeyMetadata/KeyId").await
}

async fn first_version(client: &Client, key: &str) -> Result<String, String> {
    client.text("ListKeyVersions", &[("KeyId", key)], "/KeyVersions/KeyVersion/0/KeyVersionId").await
}

fn borrowed<'a>(parameters: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    parameters.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// An answer without what may differ, wherever it stands.
fn bare(mut answer: Value) -> Value {
    match &mut answer {
        Value::Object(fields) => {
            MAY_DIFFER.iter().for_each(|field| drop(fields.remove(*field)));
            let fields: BTreeMap<String, Value> =
                std::mem::take(fields).into_iter().map(|(name, value)| (name, bare(value))).collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(list) => Value::Array(std::mem::take(list).into_iter().map(bare).collect()),
        _ => answer,
    }
}
