//! Signature V1: HMAC-SHA1 over all parameters, of query and body alike.

use aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Proof;
use crate::api::request::{RawRequest, Request};
use crate::api::{ApiError, encoding};

/// Reads what a V1 request offers as proof.
pub(super) fn read(raw: &RawRequest, request: &Request) -> Result<Proof, ApiError> {
    let parameters = &request.parameters;
    for (name, expected) in [("SignatureMethod", "HMAC-SHA1"), ("SignatureVersion", "1.0")] {
        if parameters.required(name)? != expected {
            return Err(ApiError::invalid_parameter(name).with_remedy(format!("Allowed is {expected}.")));
        }
    }
    let access_key_id = parameters.required("AccessKeyId")?.to_owned();
    let nonce = parameters.required("SignatureNonce")?.to_owned();
    let timestamp = parameters.optional("Timestamp").ok_or_else(ApiError::timestamp_missing)?.to_owned();
    let signature = STANDARD.decode(parameters.required("Signature")?).map_err(|_| ApiError::signature_mismatch())?;
    Ok(Proof {
        access_key_id,
        nonce,
        timestamp,
        security_token: parameters.optional("SecurityToken").map(str::to_owned),
        algorithm: HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        key_suffix: "&",
        to_sign: to_sign(raw.method.as_str(), request),
        signature,
    })
}

/// `METHOD&%2F&` and the canonical parameters, encoded once more. Always from what was decoded, never from the wire:
/// clients differ in what they leave bare.
pub(super) fn to_sign(method: &str, request: &Request) -> Zeroizing<String> {
    let canonical = encoding::canonical(request.parameters.all().filter(|(name, _)| *name != "Signature"));
    let room = canonical.len().saturating_mul(3).saturating_add(16);
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.push_str(method);
    text.push_str("&%2F&");
    encoding::push_encoded(&mut text, &canonical);
    text
}
