//! Cryptographic operations.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{naming, rows};
use crate::api::{ApiError, Caller, Parameters};
use crate::kms::{Sealed, Service};

rows! {
    "Encrypt" => encrypt,
    "Decrypt" => decrypt,
    "GenerateDataKey" => generate_data_key,
    "GenerateDataKeyWithoutPlaintext" => generate_data_key_without_plaintext,
    "AsymmetricEncrypt" => asymmetric_encrypt,
    "AsymmetricDecrypt" => asymmetric_decrypt,
    "AsymmetricSign" => asymmetric_sign,
    "AsymmetricVerify" => asymmetric_verify,
    "GetPublicKey" => get_public_key,
}

/// Bytes of a plaintext.
pub(super) const MAX_PLAINTEXT: usize = 6144;
/// Bytes of a ciphertext or signature, with room for every header.
pub(super) const MAX_CIPHERTEXT: usize = 8192;

pub(super) async fn encrypt(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let name = naming::key(caller, p)?;
    let plaintext = p.required_base64("Plaintext", MAX_PLAINTEXT)?;
    let context = p.context("EncryptionContext")?;
    let sealed = service.encrypt(caller, &name, &plaintext, &context).await;
    Ok(sealed.map(|sealed| sealed_json(&sealed))?)
}

pub(super) async fn decrypt(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    no_recipient(p)?;
    let blob = p.required_base64("CiphertextBlob", MAX_CIPHERTEXT)?;
    let opened = service.decrypt(caller, &blob, &p.context("EncryptionContext")?).await;
    let opened = opened.map(|opened| {
        json!({
            "KeyId": opened.key, "KeyVersionId": opened.version, "Plaintext": STANDARD.encode(opened.plaintext.as_slice()),
        })
    });
    Ok(opened?)
}

pub(super) async fn generate_data_key(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    no_recipient(p)?;
    data_key(service, caller, p, true).await
}

pub(super) async fn generate_data_key_without_plaintext(
    service: &Service,
    caller: &Caller,
    p: &Parameters,
) -> Result<Value, ApiError> {
    data_key(service, caller, p, false).await
}

pub(super) async fn asymmetric_encrypt(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let name = naming::key(caller, p)?;
    let (version, algorithm) = (p.required("KeyVersionId")?, p.required_parsed("Algorithm")?);
    let plaintext = p.required_base64("Plaintext", MAX_PLAINTEXT)?;
    let made = service.asymmetric_encrypt(caller, &name, version, algorithm, &plaintext).await;
    let made = made.map(
        |made| json!({"KeyId": made.key, "KeyVersionId": made.version, "CiphertextBlob": STANDARD.encode(&made.value)}),
    );
    Ok(made?)
}

pub(super) async fn asymmetric_decrypt(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    no_recipient(p)?;
    let name = naming::key(caller, p)?;
    let (version, algorithm) = (p.required("KeyVersionId")?, p.required_parsed("Algorithm")?);
    let ciphertext = p.required_base64("CiphertextBlob", MAX_CIPHERTEXT)?;
    let opened = service.asymmetric_decrypt(caller, &name, version, algorithm, &ciphertext).await;
    let opened = opened.map(|opened| {
        json!({"KeyId": opened.key, "KeyVersionId": opened.version, "Plaintext": STANDARD.encode(opened.value.as_slice())})
    });
    Ok(opened?)
}

pub(super) async fn asymmetric_sign(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let name = naming::key(caller, p)?;
    let (version, algorithm) = (p.required("KeyVersionId")?, p.required_parsed("Algorithm")?);
    let digest = p.required_base64("Digest", MAX_PLAINTEXT)?;
    let signed = service.asymmetric_sign(caller, &name, version, algorithm, &digest).await;
    let signed = signed.map(
        |signed| json!({"KeyId": signed.key, "KeyVersionId": signed.version, "Value": STANDARD.encode(&signed.value)}),
    );
    Ok(signed?)
}

pub(super) async fn asymmetric_verify(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let name = naming::key(caller, p)?;
    let (version, algorithm) = (p.required("KeyVersionId")?, p.required_parsed("Algorithm")?);
    let digest = p.required_base64("Digest", MAX_PLAINTEXT)?;
    let signature = p.required_base64("Value", MAX_CIPHERTEXT)?;
    let verdict = service.asymmetric_verify(caller, &name, version, algorithm, &digest, &signature).await;
    let verdict =
        verdict.map(|verdict| json!({"KeyId": verdict.key, "KeyVersionId": verdict.version, "Value": verdict.value}));
    Ok(verdict?)
}

pub(super) async fn get_public_key(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let name = naming::key(caller, p)?;
    let public = service.get_public_key(caller, &name, p.required("KeyVersionId")?).await;
    let public =
        public.map(|public| json!({"KeyId": public.key, "KeyVersionId": public.version, "PublicKey": public.value}));
    Ok(public?)
}

/// Bytes of the data key that is asked for.
pub(super) fn data_key_length(p: &Parameters) -> Result<usize, ApiError> {
    match (p.integer("NumberOfBytes", 1..=1024)?, p.optional("KeySpec")) {
        (Some(bytes), _) => Ok(bytes),
        (None, None | Some("AES_256")) => Ok(32),
        (None, Some("AES_128")) => Ok(16),
        (None, Some(_)) => Err(ApiError::invalid_parameter("KeySpec").with_remedy("Allowed are AES_256 and AES_128.")),
    }
}

async fn data_key(service: &Service, caller: &Caller, p: &Parameters, with_plaintext: bool) -> Result<Value, ApiError> {
    let name = naming::key(caller, p)?;
    let length = data_key_length(p)?;
    let made = service.generate_data_key(caller, &name, length, &p.context("EncryptionContext")?).await;
    let made = made.map(|(plaintext, sealed)| {
        let mut value = sealed_json(&sealed);
        if with_plaintext && let Some(members) = value.as_object_mut() {
            members.insert("Plaintext".to_owned(), Value::String(STANDARD.encode(plaintext.as_slice())));
        }
        value
    });
    Ok(made?)
}

pub(super) fn sealed_json(sealed: &Sealed) -> Value {
    json!({"KeyId": sealed.key, "KeyVersionId": sealed.version, "CiphertextBlob": STANDARD.encode(&sealed.blob)})
}

/// Answers to attested recipients (confidential computing) are not offered; ignoring the wish would send the plaintext in
/// the clear.
fn no_recipient(p: &Parameters) -> Result<(), ApiError> {
    match p.optional("Recipient") {
        Some(_) => Err(ApiError::unsupported_operation().with_remedy("Leave Recipient out.")),
        None => Ok(()),
    }
}
