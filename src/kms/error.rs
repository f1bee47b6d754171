//! What the service answers instead of a result. The API gives each its code and status.

use thiserror::Error;

use crate::catalogue::{CatalogueError, Refusal};
use crate::keystore::KeystoreError;
use crate::model::{InstanceState, SecretVersionId};
use crate::store::StoreError;

/// A refusal or failure of an operation. External texts name the remedy; internal detail stays in [`KmsError::Internal`].
#[derive(Debug, Error)]
pub enum KmsError {
    /// No such key (or a foreign one).
    #[error("The specified Key is not found.")]
    KeyNotFound,
    /// No such version.
    #[error("The specified Key version is not found.")]
    KeyVersionNotFound,
    /// No such alias.
    #[error("The specified Alias is not found.")]
    AliasNotFound,
    /// No such secret, or secret version.
    #[error("The resource is not found.")]
    ResourceNotFound,
    /// No such instance, or not usable by this account.
    #[error("The specified DKMS Instance is not found.")]
    InstanceNotFound,
    /// The instance is not in a state for that.
    #[error("The state of the specified DKMS Instance is invalid: {0}.")]
    InstanceState(InstanceState),
    /// The alias is taken.
    #[error("AliasName Already Exists.")]
    AliasExists,
    /// The secret or version exists.
    #[error("The resource already exists.")]
    ResourceExists,
    /// The secret's name waits in its recovery window.
    #[error("The secret is planned to be deleted.")]
    InDeleteWindow,
    /// RestoreSecret on a secret that is not pending deletion.
    #[error("The secret is not planned to be deleted.")]
    ResourceInUse,
    /// The key's state does not allow it: carries `Disabled`, `PendingDeletion` or `PendingImport`.
    #[error("The request was rejected because the key state is {0}.")]
    KeyState(&'static str),
    /// A state change that the state does not allow.
    #[error("Keystate modified failed.")]
    StateModifiedFailed,
    /// The operation takes a key ID, not an alias.
    #[error("Alias is not valid for this api.")]
    UnsupportedAlias,
    /// The protection level is not offered here.
    #[error("This protection level is not valid for this region")]
    UnsupportedProtectionLevel,
    /// Not for this origin.
    #[error("This key origin is not valid for this api.")]
    UnsupportedOrigin,
    /// Not for this kind of key, secret or usage.
    #[error("This action is not supported: {0}")]
    UnsupportedOperation(String),
    /// A parameter is not valid.
    #[error("The specified parameter \"{0}\" is not valid.")]
    InvalidParameter(&'static str),
    /// A parameter is not valid, with the reason.
    #[error("The specified parameter \"{name}\" is not valid: {reason}")]
    InvalidParameterBecause {
        /// The parameter.
        name: &'static str,
        /// Why.
        reason: String,
    },
    /// A parameter is missing.
    #[error("The parameter \"{0}\" is needed but not provided.")]
    MissingParameter(&'static str),
    /// A quota or limit.
    #[error("The request was rejected because user create resource limit was exceeded. {0}")]
    LimitExceeded(String),
    /// Deletion protection is on.
    #[error("Deletion protection is on; switch it off with SetDeletionProtection first.")]
    DeletionProtected,
    /// Imported material is not what it should be.
    #[error("The specified key material is invalid.")]
    InvalidKeyMaterial,
    /// The import token is not valid for this key.
    #[error("The specified import token is invalid.")]
    InvalidImportToken,
    /// The import token has expired.
    #[error("The specified import token has expired.")]
    ExpiredImportToken,
    /// A rotation to another version has begun and not ended.
    #[error("A rotation of the secret to version {0} has not ended yet.")]
    RotationUnderWay(SecretVersionId),
    /// The rotator did not rotate the secret (yet); why, without a value.
    #[error("The rotator did not rotate the secret: {0}")]
    RotatorFailed(String),
    /// The nonce was used.
    #[error("Specified signature nonce was used already.")]
    NonceUsed,
    /// The scope is locked by a migration.
    #[error(
        "Management operations in this account and region are blocked while migration {} runs (since {}). Reading and cryptographic operations go on; retry after it has ended.",
        .0.job, .0.since
    )]
    Migrating(Refusal),
    /// Worth retrying.
    #[error("Service Unavailable Temporary.")]
    Unavailable(String),
    /// A fault of ours; the text is for the log.
    #[error("Internal Failure.")]
    Internal(String),
}

impl From<CatalogueError> for KmsError {
    fn from(error: CatalogueError) -> Self {
        match error {
            CatalogueError::Refused(refusal) => Self::Migrating(refusal),
            CatalogueError::Store(error) => error.into(),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<StoreError> for KmsError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Busy { .. } => Self::Unavailable(error.to_string()),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<KeystoreError> for KmsError {
    fn from(error: KeystoreError) -> Self {
        match error {
            KeystoreError::Unsuitable(why) => Self::UnsupportedOperation(why.to_owned()),
            KeystoreError::Unavailable { .. } | KeystoreError::Unfit { .. } | KeystoreError::Moved(_) => {
                Self::Unavailable(error.to_string())
            }
            KeystoreError::Full { .. } => Self::LimitExceeded(format!("{error}.")),
            other => Self::Internal(other.to_string()),
        }
    }
}
