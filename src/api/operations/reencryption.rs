//! Operations that turn one ciphertext into another without showing what is in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::cryptography::{MAX_CIPHERTEXT, data_key_length, sealed_json};
use super::{naming, rows};
use crate::api::{ApiError, Caller, Parameters};
use crate::kms::{Origin, Recipient, Service};

rows! {
    "ReEncrypt" => re_encrypt,
    "ExportDataKey" => export_data_key,
    "GenerateAndExportDataKey" => generate_and_export_data_key,
}

pub(super) async fn re_encrypt(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let blob = p.required_base64("CiphertextBlob", MAX_CIPHERTEXT)?;
    let destination = naming::key_in(caller, p, "DestinationKeyId")?;
    let asymmetric = ["SourceKeyId", "SourceKeyVersionId", "SourceEncryptionAlgorithm"];
    let origin = if asymmetric.iter().any(|name| p.optional(name).is_some()) {
        Origin::Asymmetric {
            key: naming::key_in(&caller.at_source(), p, "SourceKeyId")?,
            version: p.required("SourceKeyVersionId")?.to_owned(),
            algorithm: p.required_parsed("SourceEncryptionAlgorithm")?,
        }
    } else {
        Origin::Symmetric { context: p.context("SourceEncryptionContext")? }
    };
    let context = p.context("DestinationEncryptionContext")?;
    let sealed = service.re_encrypt(caller, &blob, &origin, &destination, &context).await;
    Ok(sealed.map(|sealed| sealed_json(&sealed))?)
}

pub(super) async fn export_data_key(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let blob = p.required_base64("CiphertextBlob", MAX_CIPHERTEXT)?;
    let exported = service.export_data_key(caller, &blob, &p.context("EncryptionContext")?, &recipient(p)?).await;
    let exported = exported.map(
        |made| json!({"KeyId": made.key, "KeyVersionId": made.version, "ExportedDataKey": STANDARD.encode(&made.blob)}),
    );
    Ok(exported?)
}

pub(super) async fn generate_and_export_data_key(
    service: &Service,
    caller: &Caller,
    p: &Parameters,
) -> Result<Value, ApiError> {
    let (name, length, to) = (naming::key(caller, p)?, data_key_length(p)?, recipient(p)?);
    let context = p.context("EncryptionContext")?;
    let made = service.generate_and_export_data_key(caller, &name, length, &context, &to).await;
    let made = made.map(|(exported, sealed)| {
        let mut value = sealed_json(&sealed);
        if let Some(members) = value.as_object_mut() {
            members.insert("ExportedDataKey".to_owned(), Value::String(STANDARD.encode(exported)));
        }
        value
    });
    Ok(made?)
}

/// The public key that a data key is to be wrapped for.
fn recipient(p: &Parameters) -> Result<Recipient, ApiError> {
    if p.required("WrappingKeySpec")? != "RSA_2048" {
        return Err(ApiError::invalid_parameter("WrappingKeySpec").with_remedy("Allowed is RSA_2048."));
    }
    Ok(Recipient {
        public_key: p.required_base64("PublicKeyBlob", MAX_CIPHERTEXT)?.to_vec(),
        algorithm: p.required_parsed("WrappingAlgorithm")?,
    })
}
