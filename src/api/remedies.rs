//! What to do about an error whose place of origin says nothing better. Sent as `Recommend`.

/// By code. For what is missing and what is somebody else's the text is the same.
pub(super) fn of(code: &str) -> &'static str {
    match code {
        "MissingParameter" => "Send the parameter that the message names.",
        "InvalidParameter" => {
            "Correct the parameter that the message names; its form is in the vendor's API reference."
        }
        "ParseRequestParameterException" => "Send parameters percent-encoded in UTF-8, in the query or in a form body.",
        "IncompleteSignature" => {
            "Sign the request with V1 (HMAC-SHA1) or V3 (ACS3-HMAC-SHA256), as the vendor's SDKs do."
        }
        "IllegalTimestamp" | "InvalidTimeStamp.Format" => "Send the time as yyyy-MM-ddTHH:mm:ssZ, in UTC.",
        "InvalidTimeStamp.Expired" => "Set the client's clock; 15 minutes of difference are allowed.",
        "SignatureNonceUsed" => "Sign the request anew with another nonce.",
        "SignatureDoesNotMatch" => {
            "Check the AccessKeySecret, and that nothing between client and server changes query, body or Host."
        }
        "InvalidAccessKeyId.NotFound" => "Check the AccessKeyId; the operator configures access keys.",
        "Forbidden.AccessKey" => "Use another access key, or ask the operator to enable this one.",
        "InvalidSecurityToken.Malformed" => "Send the token whole, with the access key that was issued with it.",
        "InvalidSecurityToken.Expired" => {
            "Ask the operator for new temporary credentials (`keyferry role credentials`)."
        }
        "Forbidden.NoPermission" => "Ask the owner of the resource or the operator for the permission.",
        "UnsupportedHTTPMethod" => "Use GET or POST.",
        "Forbidden.KeyNotFound" => "Check the key's ID, the region and the account; ListKeys shows the account's keys.",
        "Forbidden.KeyVersionNotFound" => "Check the version's ID; ListKeyVersions shows the key's versions.",
        "Forbidden.AliasNotFound" => {
            "Check the alias, the region and the account; ListAliases shows the account's aliases."
        }
        "Forbidden.ResourceNotFound" => {
            "Check name, version, stage, region and account; ListSecrets and ListSecretVersionIds show what there is."
        }
        "Certificate.NotFound" => "Certificates are not offered here.",
        "Forbidden.DKMSInstanceNotFound" => {
            "Check the instance's ID; ListKmsInstances shows those that the account may use."
        }
        "Forbidden.DKMSInstanceStateInvalid" => "Ask the operator about the instance, and repeat the request.",
        "Rejected.Uninitialized" => "Enable the instance with ConnectKmsInstance, then repeat the request.",
        "AliasAlreadyExists" => "Choose another alias, or move this one with UpdateAlias.",
        "Rejected.ResourceExist" => "Choose another name or version ID.",
        "Rejected.ResourceInDeleteWindow" => {
            "Bring it back with RestoreSecret, or delete it at once with ForceDeleteWithoutRecovery."
        }
        "Rejected.ResourceInUse" => "Nothing is to be done: the secret is in use.",
        "Rejected.Disabled" => "Enable the key with EnableKey.",
        "Rejected.Enabled" => "Disable the key with DisableKey.",
        "Rejected.PendingDeletion" => "Take the key back with CancelKeyDeletion, or use another.",
        "Rejected.PendingImport" => "Import its material with GetParametersForImport and ImportKeyMaterial.",
        "Rejected.StateModifiedFailed" => "DescribeKey shows the key's state, which does not allow this change.",
        "Rejected.Throttling" => "Send fewer requests a second; repeat this one after a pause.",
        "Rejected.LimitExceeded" => "Delete what is not needed, or ask the operator for a larger quota.",
        "Rejected.Migrating" => "Repeat the request after the migration.",
        "Unsupported.Origin" => "Use a key of the origin that the operation is for.",
        "Unsupported.Alias" => "Send the key's ID; DescribeKey of the alias shows it.",
        "Unsupported.ProtectionLevel" => "Leave ProtectionLevel out, or name an instance that has it.",
        "Forbidden.Opened" => "Nothing is to be done: the service is open.",
        "UnsupportedOperation" => "docs/api-coverage.md says what is offered, and for what.",
        "InvalidKeyMaterial" => {
            "Wrap material of the key's length with the public key and algorithm of GetParametersForImport; a key takes the \
             same material only, once it has had some."
        }
        "InvalidImportToken" | "ExpiredImportToken" => "Get a new token with GetParametersForImport of this key.",
        "DryRunOperationError" => "Send the request without DryRun to carry it out.",
        "ValidationError" => "Send the request without DryRun to see what is wrong.",
        "AccessDeniedError" => "Ask the owner of the resource or the operator for the permission.",
        "InvalidApi.NotFound" => "Check the action's name and the path, which is /.",
        "InvalidVersion" => "Use version 2016-01-20.",
        "Forbidden.DeletionProtected" => "Switch it off with SetDeletionProtection.",
        "RequestTimeout" => "Send the whole request within the time that is allowed.",
        "RequestTooLarge" => "Send at most 256 KiB.",
        "InternalFailure" => "Repeat the request; if it fails again, give the operator the RequestId.",
        "ServiceUnavailableTemporary" => "Repeat the request after a pause.",
        _ => "",
    }
}
