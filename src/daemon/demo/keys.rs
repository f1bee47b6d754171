//! Keys of every kind, and what applications made with them before the migration.

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::client::{CallError, Client, list_at, text_at};
use crate::model::{Random, SystemRandom};

/// A key, and what was made with it.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// ID.
    pub(super) id: String,
    /// What it is for, in the words of the demo.
    pub(super) what: &'static str,
    /// Whether it is to move.
    pub(super) moves: bool,
    /// What was made with it.
    pub(super) made: Vec<Made>,
    /// `DescribeKey` before the migration.
    pub(super) before: Value,
}

/// Something that must still be good after the migration.
#[derive(Debug, Clone)]
pub(super) enum Made {
    /// A symmetric ciphertext.
    Sealed {
        /// The blob.
        blob: String,
        /// What is in it, Base64.
        plaintext: String,
    },
    /// An RSA ciphertext under a version.
    Wrapped {
        /// The version.
        version: String,
        /// The ciphertext.
        blob: String,
        /// What is in it, Base64.
        plaintext: String,
    },
    /// A signature of a version.
    Signature {
        /// The version.
        version: String,
        /// Its algorithm.
        algorithm: &'static str,
        /// The digest.
        digest: String,
        /// The signature.
        value: String,
    },
}

/// The encryption context of all ciphertexts here.
pub(super) const CONTEXT: &str = r#"{"demo":"keyferry"}"#;

/// Makes one key of each kind, and plain ones up to `total`.
pub(super) async fn fill(client: &Client, total: usize) -> Result<Vec<Key>, CallError> {
    let mut keys = Vec::new();
    let aes = &[("KeySpec", "Aliyun_AES_256")][..];
    let mut orders = create(client, "AES, one version, alias and tags", aes).await?;
    client.call("CreateAlias", &[("KeyId", &orders.id), ("AliasName", "alias/orders")]).await?;
    let tags = r#"[{"TagKey":"team","TagValue":"orders"},{"TagKey":"stage","TagValue":"demo"}]"#;
    client.call("TagResource", &[("KeyId", &orders.id), ("Tags", tags)]).await?;
    orders.seal(client, 4).await?;
    keys.push(orders);

    let mut rotating = create(client, "AES, three versions, rotating", aes).await?;
    for _ in 0..2 {
        rotating.seal(client, 2).await?;
        client.call("CreateKeyVersion", &[("KeyId", &rotating.id)]).await?;
    }
    rotating.seal(client, 2).await?;
    let policy = [("KeyId", rotating.id.as_str()), ("EnableAutomaticRotation", "true"), ("RotationInterval", "30d")];
    client.call("UpdateRotationPolicy", &policy).await?;
    keys.push(rotating);

    keys.push(imported(client).await?);
    for (what, spec, usage, algorithm) in [
        ("RSA 2048, signing", "RSA_2048", "SIGN/VERIFY", "RSA_PSS_SHA_256"),
        ("EC P-256, signing", "EC_P256", "SIGN/VERIFY", "ECDSA_SHA_256"),
        ("EC secp256k1, signing", "EC_P256K", "SIGN/VERIFY", "ECDSA_SHA_256"),
    ] {
        let mut key = create(client, what, &[("KeySpec", spec), ("KeyUsage", usage)]).await?;
        key.sign(client, algorithm).await?;
        keys.push(key);
    }
    let mut rsa =
        create(client, "RSA 2048, encrypting", &[("KeySpec", "RSA_2048"), ("KeyUsage", "ENCRYPT/DECRYPT")]).await?;
    rsa.wrap(client).await?;
    keys.push(rsa);

    let mut disabled = create(client, "AES, disabled", aes).await?;
    disabled.seal(client, 1).await?;
    client.call("DisableKey", &[("KeyId", &disabled.id)]).await?;
    keys.push(disabled);
    let mut going = create(client, "AES, pending deletion", aes).await?;
    going.seal(client, 1).await?;
    client.call("ScheduleKeyDeletion", &[("KeyId", &going.id), ("PendingWindowInDays", "7")]).await?;
    keys.push(going);

    let usage = [("KeySpec", "RSA_3072"), ("KeyUsage", "SIGN/VERIFY")];
    let mut stays = create(client, "RSA 3072, cannot migrate", &usage).await?;
    stays.moves = false;
    stays.sign(client, "RSA_PSS_SHA_256").await?;
    keys.push(stays);

    while keys.len() < total {
        let mut key = create(client, "AES", aes).await?;
        key.seal(client, 1).await?;
        keys.push(key);
    }
    for key in &mut keys {
        key.before = client.call("DescribeKey", &[("KeyId", &key.id)]).await?;
    }
    Ok(keys)
}

impl Key {
    /// A hardware instance takes AES keys of one version that do not rotate; what else is there stays.
    pub(super) fn stays_unless_hardware_takes_it(&mut self) {
        let field = |name| text_at(&self.before, &["KeyMetadata", name]);
        self.moves = self.moves && field("KeySpec") == "Aliyun_AES_256" && field("AutomaticRotation") != "Enabled";
    }

    /// Encrypts some things.
    async fn seal(&mut self, client: &Client, count: usize) -> Result<(), CallError> {
        for _ in 0..count {
            let plaintext = random_base64(48);
            let parameters = [("KeyId", self.id.as_str()), ("Plaintext", &plaintext), ("EncryptionContext", CONTEXT)];
            let answer = client.call("Encrypt", &parameters).await?;
            self.made
                .push(Made::Sealed { blob: text_at(&answer, &["CiphertextBlob"]), plaintext: plaintext.to_string() });
        }
        Ok(())
    }

    async fn sign(&mut self, client: &Client, algorithm: &'static str) -> Result<(), CallError> {
        let version = first_version(client, &self.id).await?;
        let digest = BASE64.encode(Sha256::digest(self.id.as_bytes()));
        let answer = client
            .call(
                "AsymmetricSign",
                &[("KeyId", &self.id), ("KeyVersionId", &version), ("Algorithm", algorithm), ("Digest", &digest)],
            )
            .await?;
        self.made.push(Made::Signature { version, algorithm, digest, value: text_at(&answer, &["Value"]) });
        Ok(())
    }

    async fn wrap(&mut self, client: &Client) -> Result<(), CallError> {
        let version = first_version(client, &self.id).await?;
        let plaintext = random_base64(32).to_string();
        let parameters = [
            ("KeyId", self.id.as_str()),
            ("KeyVersionId", &version),
            ("Algorithm", "RSAES_OAEP_SHA_256"),
            ("Plaintext", &plaintext),
        ];
        let blob = text_at(&client.call("AsymmetricEncrypt", &parameters).await?, &["CiphertextBlob"]);
        self.made.push(Made::Wrapped { version, blob, plaintext });
        Ok(())
    }
}

async fn create(client: &Client, what: &'static str, parameters: &[(&str, &str)]) -> Result<Key, CallError> {
    let parameters = [parameters, &[("Description", what)]].concat();
    let answer = client.call("CreateKey", &parameters).await?;
    let id = text_at(&answer, &["KeyMetadata", "KeyId"]);
    Ok(Key { id, what, moves: true, made: Vec::new(), before: Value::Null })
}

/// Bring your own key: material made here, wrapped for the KMS.
async fn imported(client: &Client) -> Result<Key, CallError> {
    let mut key = create(client, "AES, imported (BYOK)", &[("Origin", "EXTERNAL")]).await?;
    let parameters =
        [("KeyId", key.id.as_str()), ("WrappingAlgorithm", "RSAES_OAEP_SHA_256"), ("WrappingKeySpec", "RSA_2048")];
    let offer = client.call("GetParametersForImport", &parameters).await?;
    let mut material = Zeroizing::new([0_u8; 32]);
    SystemRandom.fill(material.as_mut_slice());
    let wrapped = wrap(&text_at(&offer, &["PublicKey"]), material.as_slice()).ok_or_else(|| CallError {
        action: "GetParametersForImport",
        code: "Unusable".to_owned(),
        message: "its public key does not wrap the material".to_owned(),
    })?;
    let parameters = [
        ("KeyId", key.id.as_str()),
        ("ImportToken", &text_at(&offer, &["ImportToken"])),
        ("EncryptedKeyMaterial", &wrapped),
        ("KeyMaterialExpireUnix", "0"),
    ];
    client.call("ImportKeyMaterial", &parameters).await?;
    key.seal(client, 2).await?;
    Ok(key)
}

fn wrap(public_key: &str, material: &[u8]) -> Option<String> {
    let public_key = PublicEncryptingKey::from_der(&BASE64.decode(public_key).ok()?).ok()?;
    let public_key = OaepPublicEncryptingKey::new(public_key).ok()?;
    let mut room = vec![0; public_key.ciphertext_size()];
    let wrapped = public_key.encrypt(&OAEP_SHA256_MGF1SHA256, material, &mut room, None).ok()?;
    Some(BASE64.encode(wrapped))
}

async fn first_version(client: &Client, id: &str) -> Result<String, CallError> {
    let answer = client.call("ListKeyVersions", &[("KeyId", id)]).await?;
    let versions = list_at(&answer, &["KeyVersions", "KeyVersion"]);
    Ok(versions.first().map(|version| text_at(version, &["KeyVersionId"])).unwrap_or_default())
}

/// Random bytes in Base64.
pub(super) fn random_base64(bytes: usize) -> Zeroizing<String> {
    let mut raw = Zeroizing::new(vec![0; bytes]);
    SystemRandom.fill(&mut raw);
    Zeroizing::new(BASE64.encode(raw.as_slice()))
}
