//! Operations of message authentication codes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::cryptography::MAX_PLAINTEXT;
use super::{naming, rows};
use crate::api::{ApiError, Caller, Parameters};
use crate::crypto::mac::MacAlgorithm;
use crate::kms::Service;

rows! {
    "GenerateMac" => generate_mac,
    "VerifyMac" => verify_mac,
}

/// Bytes of a code; the longest has 64.
const MAX_MAC: usize = 128;

pub(super) async fn generate_mac(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let (name, algorithm) = (naming::key(caller, p)?, p.required_parsed::<MacAlgorithm>("Algorithm")?);
    let message = p.required_base64("Message", MAX_PLAINTEXT)?;
    let made = service.generate_mac(caller, &name, algorithm, &message).await;
    let made =
        made.map(|(key, code)| json!({"KeyId": key, "Algorithm": algorithm.as_str(), "Mac": STANDARD.encode(code)}));
    Ok(made?)
}

pub(super) async fn verify_mac(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let (name, algorithm) = (naming::key(caller, p)?, p.required_parsed::<MacAlgorithm>("Algorithm")?);
    let message = p.required_base64("Message", MAX_PLAINTEXT)?;
    let code = p.required_base64("Mac", MAX_MAC)?;
    let verdict = service.verify_mac(caller, &name, algorithm, &message, &code).await;
    let verdict = verdict.map(|(key, holds)| json!({"KeyId": key, "Algorithm": algorithm.as_str(), "Value": holds}));
    Ok(verdict?)
}
