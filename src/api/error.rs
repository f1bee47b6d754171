//! Errors as the KMS OpenAPI words them (reference/kms-protocol.md §8, contract §3).

use std::time::Duration;

use serde_json::{Value, json};
use thiserror::Error;

use super::remedies;

/// An error answer. What callers see are `http`, `code`, `message` and `remedy`; `internal` is for the log alone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// HTTP status.
    pub http: u16,
    /// Code, such as `Forbidden.KeyNotFound`; SDKs branch on it.
    pub code: &'static str,
    /// Text for a person. Never contains a secret or a parameter's value.
    pub message: String,
    /// What to do about it, sent as `Recommend`.
    pub remedy: Option<Box<str>>,
    /// What happened inside; goes to the log only.
    pub internal: Option<String>,
    /// Sent as `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The migration because of which it is refused; goes to the log.
    pub job: Option<Box<str>>,
}

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident: $http:literal $code:literal $message:literal;)*) => {
        impl ApiError {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name() -> Self {
                    Self::new($http, $code, $message)
                }
            )*

            /// One error of each code.
            #[cfg(test)]
            pub(crate) fn known() -> Vec<Self> {
                vec![
                    $(Self::$name(),)*
                    Self::missing_parameter("X"),
                    Self::invalid_parameter("X"),
                    Self::migrating("job", Duration::from_secs(1)),
                    Self::internal(""),
                    Self::unavailable(""),
                    Self::limit_exceeded(""),
                ]
            }
        }
    };
}

impl ApiError {
    /// Any error; prefer a constructor with a name.
    #[must_use]
    pub fn new(http: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { http, code, message: message.into(), remedy: None, internal: None, retry_after: None, job: None }
    }

    /// With what the caller can do about it.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into().into_boxed_str());
        self
    }

    /// With what happened inside, for the log.
    #[must_use]
    pub fn with_internal(mut self, internal: impl ToString) -> Self {
        self.internal = Some(internal.to_string());
        self
    }

    /// With a `Retry-After`, in whole seconds, at least one.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// A required parameter is absent or empty.
    #[must_use]
    pub fn missing_parameter(name: &str) -> Self {
        Self::new(400, "MissingParameter", format!("The parameter \"{name}\" is needed but not provided."))
    }

    /// A parameter's value is not allowed. Say why with [`ApiError::with_remedy`].
    #[must_use]
    pub fn invalid_parameter(name: &str) -> Self {
        Self::new(400, "InvalidParameter", format!("The specified parameter \"{name}\" is not valid."))
    }

    /// A management operation in a locked scope. `retry_after`: an estimate of when the lock goes.
    #[must_use]
    pub fn migrating(job: &str, retry_after: Duration) -> Self {
        let error = Self::new(
            409,
            "Rejected.Migrating",
            format!(
                "The migration {job} is moving the keys and secrets of this account and region. Creating, changing and \
                 deleting them is refused until it ends; reading and cryptographic operations go on."
            ),
        );
        let error = Self { job: Some(job.into()), ..error };
        error.with_remedy("Repeat the request after the migration.").with_retry_after(retry_after)
    }

    /// Something failed inside; the caller learns no more than that.
    #[must_use]
    pub fn internal(detail: impl ToString) -> Self {
        Self::new(500, "InternalFailure", "Internal Failure.").with_internal(detail)
    }

    /// A store or keystore cannot be used at the moment.
    #[must_use]
    pub fn unavailable(detail: impl ToString) -> Self {
        Self::new(503, "ServiceUnavailableTemporary", "Service Unavailable Temporary.").with_internal(detail)
    }

    /// A quota of the account or the instance is used up. `what`: a sentence naming it.
    #[must_use]
    pub fn limit_exceeded(what: &str) -> Self {
        Self::new(
            400,
            "Rejected.LimitExceeded",
            "The request was rejected because user create resource limit was exceeded.",
        )
        .with_remedy(what)
    }

    /// The body, as JSON. `host` is the Host the request was sent to.
    #[must_use]
    pub fn body(&self, request_id: &str, host: &str) -> Value {
        json!({
            "HttpStatus": self.http,
            "Code": self.code,
            "Message": self.message,
            "RequestId": request_id,
            "HostId": host,
            "Recommend": self.remedy.as_deref().unwrap_or_else(|| remedies::of(self.code)),
        })
    }
}

fixed! {
    /// Query or body cannot be read as parameters.
    unparsable: 400 "ParseRequestParameterException" "Server parse parameters exception. Please check your input params.";
    /// The signature is absent, incomplete or of an unknown form.
    incomplete_signature: 400 "IncompleteSignature" "The request signature does not conform to Alibaba Cloud standards.";
    /// No time stamp.
    timestamp_missing: 400 "IllegalTimestamp" "The input parameter \"Timestamp\" that is mandatory for processing this request is not supplied.";
    /// A time stamp that is not `yyyy-MM-ddTHH:mm:ssZ`.
    timestamp_malformed: 400 "InvalidTimeStamp.Format" "Specified time stamp or date value is not well formatted.";
    /// More than 15 minutes from this server's clock.
    timestamp_expired: 400 "InvalidTimeStamp.Expired" "Specified time stamp or date value is expired.";
    /// The nonce was used before.
    nonce_used: 400 "SignatureNonceUsed" "Specified signature nonce was used already.";
    /// The signature is not the one the secret makes. The vendor's gateway repeats the string to sign behind a colon, and
    /// aliyun-python-sdk fails where there is none; what was signed may hold secrets, so it is not repeated here.
    signature_mismatch: 400 "SignatureDoesNotMatch" "Specified signature is not matched with our calculation. server string to sign is:(not repeated)";
    /// No such access key.
    access_key_not_found: 404 "InvalidAccessKeyId.NotFound" "The AccessKey ID provided does not exist in our records.";
    /// The access key is switched off.
    access_key_disabled: 403 "Forbidden.AccessKey" "This AccessKey is not enabled.";
    /// A SecurityToken that was not issued here, or whose role is gone.
    security_token_malformed: 400 "InvalidSecurityToken.Malformed" "Specified SecurityToken is malformed.";
    /// A SecurityToken past its end.
    security_token_expired: 400 "InvalidSecurityToken.Expired" "Specified SecurityToken is expired.";
    /// Not allowed.
    no_permission: 403 "Forbidden.NoPermission" "This operation is forbidden by permission system.";
    /// Neither GET nor POST.
    unsupported_http_method: 403 "UnsupportedHTTPMethod" "This http method is not supported.";
    /// No such key in this account and region.
    key_not_found: 404 "Forbidden.KeyNotFound" "The specified Key is not found.";
    /// The key has no such version.
    key_version_not_found: 404 "Forbidden.KeyVersionNotFound" "The specified Key version is not found.";
    /// No such alias.
    alias_not_found: 404 "Forbidden.AliasNotFound" "The specified Alias is not found.";
    /// No such secret, secret version or stage.
    resource_not_found: 404 "Forbidden.ResourceNotFound" "Resource not found.";
    /// No such certificate.
    certificate_not_found: 404 "Certificate.NotFound" "The specified certificate is not found.";
    /// No such instance, or it is neither the account's own nor shared with it.
    instance_not_found: 403 "Forbidden.DKMSInstanceNotFound" "The specified DKMS Instance is not found.";
    /// The instance cannot be used as it is now.
    instance_state_invalid: 403 "Forbidden.DKMSInstanceStateInvalid" "The state of the specified DKMS Instance is invalid.";
    /// Nobody has enabled the instance yet.
    instance_uninitialized: 409 "Rejected.Uninitialized" "The specified DKMS Instance is not enabled.";
    /// The alias is taken.
    alias_exists: 400 "AliasAlreadyExists" "AliasName Already Exists.";
    /// The name is taken.
    resource_exists: 409 "Rejected.ResourceExist" "The resource already exists.";
    /// The secret waits for its deletion.
    resource_in_delete_window: 409 "Rejected.ResourceInDeleteWindow" "The secret is planned to be deleted.";
    /// RestoreSecret of a secret that is not planned to be deleted.
    resource_in_use: 409 "Rejected.ResourceInUse" "The secret is not planned to be deleted.";
    /// A rotation to another version has begun and not ended.
    rotation_under_way: 409 "Rejected.ResourceInUse" "Another rotation of the secret has not ended yet.";
    /// A rotator did not rotate a secret.
    rotator_failed: 503 "ServiceUnavailableTemporary" "The credential could not be changed where it lives yet.";
    /// The key is disabled.
    key_disabled: 409 "Rejected.Disabled" "The request was rejected because the key state is Disabled.";
    /// The key is enabled.
    key_enabled: 409 "Rejected.Enabled" "The request was rejected because the key state is Enabled.";
    /// The key waits for its deletion.
    key_pending_deletion: 409 "Rejected.PendingDeletion" "The request was rejected because the key state is PendingDeletion.";
    /// The key has no material.
    key_pending_import: 409 "Rejected.PendingImport" "The request was rejected because the key state is PendingImport.";
    /// The key's state does not allow the change.
    state_modified_failed: 409 "Rejected.StateModifiedFailed" "Keystate modified failed.";
    /// Too many requests.
    throttled: 429 "Rejected.Throttling" "QPS Limit Exceeded";
    /// The operation does not take keys of this origin.
    unsupported_origin: 400 "Unsupported.Origin" "This key origin is not valid for this api.";
    /// The operation takes a key ID, not an alias.
    unsupported_alias: 400 "Unsupported.Alias" "Alias is not valid for this api.";
    /// The protection level is not offered here.
    unsupported_protection_level: 400 "Unsupported.ProtectionLevel" "This protection level is not valid for this region";
    /// OpenKmsService of an account that has the service.
    service_opened: 400 "Forbidden.Opened" "The service has been opened already.";
    /// A known action that is not implemented, or not for this kind of resource.
    unsupported_operation: 400 "UnsupportedOperation" "This action is not supported.";
    /// Imported material that does not unwrap, has the wrong size, or is not the material imported before.
    invalid_key_material: 400 "InvalidKeyMaterial" "The key material is invalid.";
    /// An import token that this key and this request do not match.
    invalid_import_token: 400 "InvalidImportToken" "The import token is invalid.";
    /// An import token past its 24 hours.
    expired_import_token: 400 "ExpiredImportToken" "The import token is expired.";
    /// DryRun: the operation would have succeeded.
    dry_run_success: 400 "DryRunOperationError" "The request would have succeeded, but the DryRun parameter was set.";
    /// DryRun: the operation would have failed for its parameters or the key's state.
    dry_run_invalid: 400 "ValidationError" "The request would have failed validation; the DryRun parameter was set.";
    /// DryRun: the operation would have been forbidden.
    dry_run_denied: 400 "AccessDeniedError" "The request would have been denied; the DryRun parameter was set.";
    /// No such action, or another path than `/`.
    api_not_found: 404 "InvalidApi.NotFound" "Specified api is not found,please check your url and method.";
    /// Another version than 2016-01-20.
    invalid_version: 400 "InvalidVersion" "Specified parameter Version is not valid.";
    /// Deletion protection is on.
    deletion_protected: 409 "Forbidden.DeletionProtected" "Deletion protection is on for this key. Switch it off with SetDeletionProtection first.";
    /// The body did not arrive in time.
    request_timeout: 408 "RequestTimeout" "The request was not received in time.";
    /// The body or the request line is larger than any request needs.
    request_too_large: 413 "RequestTooLarge" "The request is too large.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_has_all_six_members_and_nothing_from_inside() {
        let error = ApiError::internal("disk /dev/x is full").with_remedy("Try again.");
        let body = error.body("id-1", "h:1");
        assert_eq!(
            body,
            json!({"HttpStatus": 500, "Code": "InternalFailure", "Message": "Internal Failure.",
            "RequestId": "id-1", "HostId": "h:1", "Recommend": "Try again."})
        );
        assert!(!body.to_string().contains("disk"));
    }

    #[test]
    fn every_error_says_what_to_do() {
        // Every code of this file, as it is written.
        let source = include_str!("error.rs").split("\n#[cfg(test)]\n").next().unwrap_or_default();
        let quoted = source.split('"').skip(1).step_by(2);
        let codes: Vec<&str> = quoted
            .filter(|text| text.starts_with(|c: char| c.is_ascii_uppercase()))
            .filter(|text| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.'))
            .filter(|text| !["HttpStatus", "Code", "Message", "RequestId", "HostId", "Recommend", "X"].contains(text))
            .collect();
        assert!(codes.len() > 45, "{codes:?}");
        for code in codes {
            assert!(!remedies::of(code).is_empty(), "{code}");
        }
    }

    #[test]
    fn a_refusal_during_a_migration_names_the_job_and_what_goes_on() {
        let error = ApiError::migrating("job-1", Duration::from_secs(5));
        assert_eq!(
            (error.http, error.code, error.retry_after),
            (409, "Rejected.Migrating", Some(Duration::from_secs(5)))
        );
        assert!(error.message.contains("job-1") && error.message.contains("cryptographic operations go on"));
    }
}
