//! Operations of BYOK.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{naming, rows};
use crate::api::{ApiError, Caller, Parameters};
use crate::kms::Service;
use crate::model::format_utc;

rows! {
    "GetParametersForImport" => get_parameters_for_import,
    "ImportKeyMaterial" => import_key_material,
    "DeleteKeyMaterial" => delete_key_material,
}

/// Bytes of a token or a wrapped key; both are far smaller.
const MAX_BYTES: usize = 16 * 1024;

pub(super) async fn get_parameters_for_import(
    service: &Service,
    caller: &Caller,
    p: &Parameters,
) -> Result<Value, ApiError> {
    let id = naming::key_id(caller, p)?;
    if p.required("WrappingKeySpec")? != "RSA_2048" {
        return Err(ApiError::invalid_parameter("WrappingKeySpec").with_remedy("Allowed is RSA_2048."));
    }
    let algorithm = p.required_parsed("WrappingAlgorithm")?;
    let answer = service.get_parameters_for_import(caller, &id, algorithm).await?;
    Ok(json!({
        "KeyId": answer.key,
        "ImportToken": STANDARD.encode(&answer.token),
        "PublicKey": STANDARD.encode(&answer.public_key),
        "TokenExpireTime": format_utc(answer.expires_at),
    }))
}

pub(super) async fn import_key_material(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    let id = naming::key_id(caller, p)?;
    let wrapped = p.required_base64("EncryptedKeyMaterial", MAX_BYTES)?;
    let token = STANDARD.decode(p.required("ImportToken")?).map_err(|_| ApiError::invalid_import_token())?;
    let seconds: i64 = p
        .integer("KeyMaterialExpireUnix", 0..=Timestamp::MAX.as_second())?
        .ok_or_else(|| ApiError::missing_parameter("KeyMaterialExpireUnix"))?;
    let expires_at = match seconds {
        0 => None,
        _ => Some(Timestamp::from_second(seconds).map_err(|_| ApiError::invalid_parameter("KeyMaterialExpireUnix"))?),
    };
    service.import_key_material(caller, &id, &token, &wrapped, expires_at).await?;
    Ok(json!({}))
}

pub(super) async fn delete_key_material(service: &Service, caller: &Caller, p: &Parameters) -> Result<Value, ApiError> {
    service.delete_key_material(caller, &naming::key_id(caller, p)?).await?;
    Ok(json!({}))
}
