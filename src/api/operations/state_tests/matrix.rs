//! The matrix as data.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Enabled,
    Disabled,
    PendingDeletion,
    PendingImport,
}
use State::{Disabled, Enabled, PendingDeletion, PendingImport};

pub(super) const STATES: [State; 4] = [Enabled, Disabled, PendingDeletion, PendingImport];

/// What key an operation is tried on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// AES, generated; in PendingImport one that had material.
    Aes,
    /// AES, imported.
    External,
    /// EC_P256.
    Signing,
    /// RSA_2048 for encryption.
    Rsa,
    /// HMAC, in the instance.
    Mac,
    /// AES, in the instance.
    There,
}

pub(super) struct Row {
    pub(super) operation: &'static str,
    pub(super) parameters: &'static [(&'static str, &'static str)],
    pub(super) kind: Kind,
    /// In the order of [`STATES`].
    pub(super) outcomes: [&'static str; 4],
    /// The states afterwards, where they change.
    pub(super) then: [Option<State>; 4],
}

/// It works in every state.
const ALWAYS: [&str; 4] = ["", "", "", ""];
/// Cryptography.
const USABLE: [&str; 4] = ["", "Rejected.Disabled", "Rejected.PendingDeletion", "Rejected.PendingImport"];
/// Works unless the key waits for its deletion.
const ALIVE: [&str; 4] = ["", "", "Rejected.PendingDeletion", ""];
/// Enable and Disable.
const SWITCH: [&str; 4] = ["", "", "Rejected.StateModifiedFailed", "Rejected.StateModifiedFailed"];
const SAME: [Option<State>; 4] = [None; 4];
const POLICY: &str = "{\"Version\":\"1\",\"Statement\":[]}";
const KEY: (&str, &str) = ("KeyId", "{key}");
const VERSION: (&str, &str) = ("KeyVersionId", "{version}");
const WRAPPED: [(&str, &str); 3] =
    [("PublicKeyBlob", "{public}"), ("WrappingKeySpec", "RSA_2048"), ("WrappingAlgorithm", "RSAES_OAEP_SHA_256")];

const fn row(
    operation: &'static str,
    kind: Kind,
    parameters: &'static [(&'static str, &'static str)],
    outcomes: [&'static str; 4],
) -> Row {
    Row { operation, parameters, kind, outcomes, then: SAME }
}

pub(super) const MATRIX: &[Row] = &[
    // Cryptography.
    row("Encrypt", Kind::Aes, &[KEY, ("Plaintext", "aGk=")], USABLE),
    row("Decrypt", Kind::Aes, &[("CiphertextBlob", "{blob}")], USABLE),
    row("GenerateDataKey", Kind::Aes, &[KEY], USABLE),
    row("GenerateDataKeyWithoutPlaintext", Kind::Aes, &[KEY], USABLE),
    row("ReEncrypt", Kind::Aes, &[("CiphertextBlob", "{blob}"), ("DestinationKeyId", "{other}")], USABLE),
    row("ReEncrypt", Kind::Aes, &[("CiphertextBlob", "{other blob}"), ("DestinationKeyId", "{key}")], USABLE),
    row("ExportDataKey", Kind::Aes, &[("CiphertextBlob", "{blob}"), WRAPPED[0], WRAPPED[1], WRAPPED[2]], USABLE),
    row("GenerateAndExportDataKey", Kind::Aes, &[KEY, WRAPPED[0], WRAPPED[1], WRAPPED[2]], USABLE),
    row(
        "AsymmetricEncrypt",
        Kind::Rsa,
        &[KEY, VERSION, ("Algorithm", "RSAES_OAEP_SHA_256"), ("Plaintext", "aGk=")],
        USABLE,
    ),
    row(
        "AsymmetricDecrypt",
        Kind::Rsa,
        &[KEY, VERSION, ("Algorithm", "RSAES_OAEP_SHA_256"), ("CiphertextBlob", "{ciphertext}")],
        USABLE,
    ),
    row(
        "AsymmetricSign",
        Kind::Signing,
        &[KEY, VERSION, ("Algorithm", "ECDSA_SHA_256"), ("Digest", "{digest}")],
        USABLE,
    ),
    row(
        "AsymmetricVerify",
        Kind::Signing,
        &[KEY, VERSION, ("Algorithm", "ECDSA_SHA_256"), ("Digest", "{digest}"), ("Value", "{digest}")],
        USABLE,
    ),
    row("GetPublicKey", Kind::Signing, &[KEY, VERSION], USABLE),
    row("GenerateMac", Kind::Mac, &[KEY, ("Algorithm", "HMAC_SHA_256"), ("Message", "aGk=")], USABLE),
    row("VerifyMac", Kind::Mac, &[KEY, ("Algorithm", "HMAC_SHA_256"), ("Message", "aGk="), ("Mac", "aGk=")], USABLE),
    // Secrets under the key.
    row("GetSecretValue", Kind::Aes, &[("SecretName", "{secret}")], USABLE),
    row("BatchGetSecretValue", Kind::Aes, &[("SecretsList", "{batch}")], USABLE),
    row(
        "CreateSecret",
        Kind::Aes,
        &[("SecretName", "{new secret}"), ("SecretData", "v"), ("VersionId", "v1"), ("EncryptionKeyId", "{key}")],
        USABLE,
    ),
    row("PutSecretValue", Kind::Aes, &[("SecretName", "{secret}"), ("SecretData", "w"), ("VersionId", "v2")], USABLE),
    // What only looks.
    row("DescribeKey", Kind::Aes, &[KEY], ALWAYS),
    row("DescribeKeyVersion", Kind::Signing, &[KEY, VERSION], ALWAYS),
    row("ListKeyVersions", Kind::Aes, &[KEY], ALWAYS),
    row("ListAliasesByKeyId", Kind::Aes, &[KEY], ALWAYS),
    row("ListResourceTags", Kind::Aes, &[KEY], ALWAYS),
    row("GetKeyPolicy", Kind::There, &[KEY], ALWAYS),
    // States.
    Row { then: [Some(Enabled), Some(Enabled), None, None], ..row("EnableKey", Kind::Aes, &[KEY], SWITCH) },
    Row { then: [Some(Disabled), Some(Disabled), None, None], ..row("DisableKey", Kind::Aes, &[KEY], SWITCH) },
    Row {
        then: [Some(PendingDeletion), Some(PendingDeletion), None, Some(PendingDeletion)],
        ..row("ScheduleKeyDeletion", Kind::Aes, &[KEY, ("PendingWindowInDays", "7")], ALIVE)
    },
    Row {
        then: [None, None, Some(Enabled), None],
        ..row(
            "CancelKeyDeletion",
            Kind::Aes,
            &[KEY],
            ["Rejected.StateModifiedFailed", "Rejected.StateModifiedFailed", "", "Rejected.StateModifiedFailed"],
        )
    },
    // Material.
    row(
        "GetParametersForImport",
        Kind::External,
        &[KEY, ("WrappingKeySpec", "RSA_2048"), ("WrappingAlgorithm", "RSAES_OAEP_SHA_256")],
        ALWAYS,
    ),
    Row {
        then: [None, None, None, Some(Enabled)],
        ..row(
            "ImportKeyMaterial",
            Kind::External,
            &[KEY, ("ImportToken", "{token}"), ("EncryptedKeyMaterial", "{wrapped}"), ("KeyMaterialExpireUnix", "0")],
            ALIVE,
        )
    },
    Row {
        then: [Some(PendingImport), Some(PendingImport), None, None],
        ..row("DeleteKeyMaterial", Kind::External, &[KEY], ALWAYS)
    },
    // Versions and rotation.
    row("CreateKeyVersion", Kind::Signing, &[KEY], USABLE),
    row(
        "UpdateRotationPolicy",
        Kind::There,
        &[KEY, ("EnableAutomaticRotation", "true"), ("RotationInterval", "7d")],
        USABLE,
    ),
    // Names and notes.
    row("CreateAlias", Kind::Aes, &[KEY, ("AliasName", "{new alias}")], ["", "", "Rejected.StateModifiedFailed", ""]),
    row("UpdateAlias", Kind::Aes, &[KEY, ("AliasName", "{other alias}")], ALIVE),
    row("DeleteAlias", Kind::Aes, &[("AliasName", "{alias}")], ALWAYS),
    row("TagResource", Kind::Aes, &[KEY, ("Tags", "[{\"TagKey\":\"k\",\"TagValue\":\"v\"}]")], ALWAYS),
    row("UntagResource", Kind::Aes, &[KEY, ("TagKeys", "k")], ALWAYS),
    row(
        "TagResources",
        Kind::Aes,
        &[("RegionId", "cn-hangzhou"), ("ResourceType", "key"), ("ResourceId.1", "{key}"), ("Tag.1.Key", "k")],
        ALWAYS,
    ),
    row(
        "UntagResources",
        Kind::Aes,
        &[("RegionId", "cn-hangzhou"), ("ResourceType", "key"), ("ResourceId.1", "{key}"), ("All", "true")],
        ALWAYS,
    ),
    row(
        "ListTagResources",
        Kind::Aes,
        &[("RegionId", "cn-hangzhou"), ("ResourceType", "key"), ("ResourceId.1", "{key}")],
        ALWAYS,
    ),
    row("UpdateKeyDescription", Kind::Aes, &[KEY, ("Description", "d")], ALIVE),
    row("SetDeletionProtection", Kind::Aes, &[KEY, ("EnableDeletionProtection", "true")], ALIVE),
    row("SetKeyPolicy", Kind::There, &[KEY, ("Policy", POLICY)], ALIVE),
];

/// Operations in which no key has a part, or none whose state could matter.
pub(super) const WITHOUT_KEY: &[&str] = &[
    "ConnectKmsInstance",
    "CreateKey",
    "DeleteSecret",
    "DescribeAccountKmsStatus",
    "DescribeRegions",
    "DescribeSecret",
    "GetDefaultKmsInstance",
    "GetKmsInstance",
    "GetKmsInstanceQuotaInfos",
    "GetRandomPassword",
    "GetSecretPolicy",
    "ListAliases",
    "ListKeys",
    "ListKmsInstances",
    "ListSecretVersionIds",
    "ListSecrets",
    "OpenKmsService",
    "RestoreSecret",
    "RotateSecret",
    "SetSecretPolicy",
    "UpdateSecret",
    "UpdateSecretRotationPolicy",
    "UpdateSecretVersionStage",
];
