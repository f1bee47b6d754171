//! `DryRun`: the operation is carried out (it changes nothing) and always answers an error, which tells what the outcome
//! would have been.

use serde_json::Value;

use crate::api::{ApiError, Parameters};

/// The operations that have the parameter; others ignore it.
const OPERATIONS: &[&str] = &[
    "Encrypt",
    "Decrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncrypt",
    "ExportDataKey",
    "GenerateAndExportDataKey",
    "AsymmetricEncrypt",
    "AsymmetricDecrypt",
    "AsymmetricSign",
    "AsymmetricVerify",
    "GetPublicKey",
    "GenerateMac",
    "VerifyMac",
    "GetSecretValue",
];

/// What is answered instead of an outcome: the outcome itself unless the request is a dry run.
///
/// # Errors
/// Those of the outcome; always an error for a dry run. What fails inside stays what it is.
pub(super) fn outcome(operation: &str, p: &Parameters, outcome: Result<Value, ApiError>) -> Result<Value, ApiError> {
    if !OPERATIONS.contains(&operation) || p.boolean("DryRun")? != Some(true) {
        return outcome;
    }
    Err(match outcome {
        Ok(_) => ApiError::dry_run_success(),
        Err(ApiError { code: "Forbidden.NoPermission", internal, .. }) => {
            ApiError { internal, ..ApiError::dry_run_denied() }
        }
        Err(error) if error.http < 500 => ApiError::dry_run_invalid().with_remedy(error.message),
        Err(error) => error,
    })
}
