//! The parameters that name a key.

use crate::api::{ApiError, Caller, Parameters};
use crate::catalogue::KeyOrAlias;
use crate::kms::{KmsError, key_name};
use crate::model::KeyId;

/// `KeyId` as ID, alias or ARN.
///
/// # Errors
/// `MissingParameter`, or a name that names nothing.
pub(super) fn key(caller: &Caller, p: &Parameters) -> Result<KeyOrAlias, ApiError> {
    key_in(caller, p, "KeyId")
}

/// As [`key`], of another parameter.
///
/// # Errors
/// As [`key`].
pub(super) fn key_in(caller: &Caller, p: &Parameters, parameter: &str) -> Result<KeyOrAlias, ApiError> {
    Ok(key_name(caller, p.required(parameter)?)?)
}

/// `KeyId` as ID or key ARN: operations that change a key take no alias.
///
/// # Errors
/// As [`key`], and `Unsupported.Alias`.
pub(super) fn key_id(caller: &Caller, p: &Parameters) -> Result<KeyId, ApiError> {
    key_id_in(caller, p.required("KeyId")?)
}

/// As [`key_id`], of a text.
///
/// # Errors
/// As [`key_id`].
pub(super) fn key_id_in(caller: &Caller, text: &str) -> Result<KeyId, ApiError> {
    match key_name(caller, text)? {
        KeyOrAlias::Id(id) => Ok(id),
        KeyOrAlias::Alias(_) => Err(KmsError::UnsupportedAlias.into()),
    }
}
