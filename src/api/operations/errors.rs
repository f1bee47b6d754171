//! What the service refuses, as the API words it (kms-protocol.md §8, contract §3).

use std::time::Duration;

use crate::api::ApiError;
use crate::kms::KmsError;
use crate::model::InstanceState;

/// A migration locks a scope for about a second; asking more often than this helps nobody.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl From<KmsError> for ApiError {
    fn from(error: KmsError) -> Self {
        match error {
            KmsError::KeyNotFound => Self::key_not_found(),
            KmsError::KeyVersionNotFound => Self::key_version_not_found(),
            KmsError::AliasNotFound => Self::alias_not_found(),
            KmsError::ResourceNotFound => Self::resource_not_found(),
            KmsError::InstanceNotFound => Self::instance_not_found(),
            KmsError::InstanceState(InstanceState::Uninitialized) => Self::instance_uninitialized(),
            KmsError::InstanceState(state) => Self::instance_state_invalid().with_remedy(format!(
                "The instance is {state}: the operator finds the reason in the log and in `keyferry status`."
            )),
            KmsError::AliasExists => Self::alias_exists(),
            KmsError::ResourceExists => Self::resource_exists(),
            KmsError::InDeleteWindow => Self::resource_in_delete_window(),
            KmsError::ResourceInUse => Self::resource_in_use(),
            KmsError::KeyState("Disabled") => Self::key_disabled(),
            KmsError::KeyState("PendingDeletion") => Self::key_pending_deletion(),
            KmsError::KeyState("PendingImport") => Self::key_pending_import(),
            KmsError::KeyState(other) => Self::internal(format!("a key was refused for being {other}")),
            KmsError::StateModifiedFailed => Self::state_modified_failed(),
            KmsError::UnsupportedAlias => Self::unsupported_alias(),
            KmsError::UnsupportedProtectionLevel => Self::unsupported_protection_level(),
            KmsError::UnsupportedOrigin => Self::unsupported_origin(),
            KmsError::UnsupportedOperation(why) => Self::unsupported_operation().with_remedy(why),
            KmsError::InvalidParameter("CiphertextBlob") => Self::invalid_parameter("CiphertextBlob").with_remedy(
                "The ciphertext is damaged, the encryption context is another one, or its key is not in this account and region.",
            ),
            KmsError::InvalidParameter(name) => Self::invalid_parameter(name),
            KmsError::InvalidParameterBecause { name, reason } => Self::invalid_parameter(name).with_remedy(reason),
            KmsError::MissingParameter(name) => Self::missing_parameter(name),
            KmsError::LimitExceeded(what) => Self::limit_exceeded(&what),
            KmsError::DeletionProtected => Self::deletion_protected(),
            KmsError::InvalidKeyMaterial => Self::invalid_key_material(),
            KmsError::InvalidImportToken => Self::invalid_import_token(),
            KmsError::ExpiredImportToken => Self::expired_import_token(),
            KmsError::RotationUnderWay(version) => {
                let remedy = format!("It goes on by itself. Call RotateSecret with VersionId {version} to go on with it now.");
                Self::rotation_under_way().with_remedy(remedy)
            }
            KmsError::RotatorFailed(why) => Self::rotator_failed()
                .with_internal(why)
                .with_remedy(
                    "The new value is kept and the rotation goes on by itself. Repeat the request with the same VersionId to \
                     try now; why it failed is in the daemon's log (rotation.failed).",
                )
                .with_retry_after(RETRY_AFTER),
            KmsError::NonceUsed => Self::nonce_used(),
            KmsError::Migrating(refusal) => Self::migrating(&refusal.job.to_string(), RETRY_AFTER),
            KmsError::Unavailable(detail) => Self::unavailable(detail),
            KmsError::Internal(detail) => Self::internal(detail),
        }
    }
}
