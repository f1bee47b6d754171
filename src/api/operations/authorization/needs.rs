//! Which rights an operation needs, on what: one row each (vendor's page "authorization information").

/// A right that an operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    /// The operation whose right it is; `None`: the operation's own.
    pub(super) right: Option<&'static str>,
    /// On what.
    pub(super) on: On,
    /// Only when the request has this parameter.
    pub(super) only_with: Option<&'static str>,
}

/// What a right is needed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    /// A kind of resource: `key`, `alias`, `secret`, `keystore`, or `*` for the service.
    Kind(&'static str),
    /// The key that the first of these parameters that is there names. Where that is an alias, the operation gets the ID it
    /// stood for when the rights were looked at: it may be moved to another key meanwhile.
    Key(&'static [&'static str]),
    /// The same, for operations that take no alias for a key, and for what an alias itself names.
    KeyId(&'static [&'static str]),
    /// The key that a ciphertext blob names.
    Blob,
    /// The key that ReEncrypt opens with: SourceKeyId, else the one that the blob names.
    Source,
    /// The alias in `AliasName`.
    Alias,
    /// The secret in `SecretName`.
    Secret,
    /// The customer master key of that secret's values, if it has one.
    KeyOfSecret,
    /// The instance in `KmsInstanceId`.
    Instance,
    /// What the older tag operations name: KeyId or SecretName.
    Tagged,
    /// What the newer tag operations name: ResourceId.N; without any, the kind in ResourceType.
    Listed,
    /// A key that is yet to be made.
    NewKey,
    /// A secret that is yet to be made.
    NewSecret,
}

/// An operation and what it needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) operation: &'static str,
    pub(super) needs: &'static [Need],
}

pub(super) fn of(operation: &str) -> Option<&'static [Need]> {
    ROWS.iter().find(|row| row.operation == operation).map(|row| row.needs)
}

const KEY_ID: &[&str] = &["KeyId"];

const fn own(on: On) -> Need {
    Need { right: None, on, only_with: None }
}

const fn also(right: &'static str, on: On) -> Need {
    Need { right: Some(right), on, only_with: None }
}

const fn with(parameter: &'static str, right: &'static str, on: On) -> Need {
    Need { right: Some(right), on, only_with: Some(parameter) }
}

const ON_KEY: &[Need] = &[own(On::Key(KEY_ID))];
const ON_KEY_ID: &[Need] = &[own(On::KeyId(KEY_ID))];
const ON_SECRET: &[Need] = &[own(On::Secret)];
const ON_SERVICE: &[Need] = &[own(On::Kind("*"))];

const fn row(operation: &'static str, needs: &'static [Need]) -> Row {
    Row { operation, needs }
}

/// Every operation that is offered. Each secret of BatchGetSecretValue is asked about by itself, as for GetSecretValue.
pub(super) const ROWS: &[Row] = &[
    row(
        "CreateKey",
        &[own(On::Kind("key")), with("Policy", "SetKeyPolicy", On::NewKey), with("Tags", "TagResource", On::NewKey)],
    ),
    row("DescribeKey", ON_KEY),
    row("ListKeys", &[own(On::Kind("key"))]),
    row("UpdateKeyDescription", ON_KEY_ID),
    row("EnableKey", ON_KEY_ID),
    row("DisableKey", ON_KEY_ID),
    row("ScheduleKeyDeletion", ON_KEY_ID),
    row("CancelKeyDeletion", ON_KEY_ID),
    row("SetDeletionProtection", &[own(On::KeyId(&["KeyId", "ProtectedResourceArn"]))]),
    row("GetParametersForImport", ON_KEY_ID),
    row("ImportKeyMaterial", ON_KEY_ID),
    row("DeleteKeyMaterial", ON_KEY_ID),
    row("CreateKeyVersion", ON_KEY),
    row("DescribeKeyVersion", ON_KEY),
    row("ListKeyVersions", ON_KEY),
    row("UpdateRotationPolicy", ON_KEY_ID),
    row("CreateAlias", &[own(On::Alias), own(On::KeyId(KEY_ID))]),
    row("UpdateAlias", &[own(On::Alias), own(On::KeyId(KEY_ID)), own(On::KeyId(&["AliasName"]))]),
    row("DeleteAlias", &[own(On::Alias), own(On::KeyId(&["AliasName"]))]),
    row("ListAliases", &[own(On::Kind("alias"))]),
    row("ListAliasesByKeyId", ON_KEY_ID),
    row("TagResource", &[own(On::Tagged)]),
    row("UntagResource", &[own(On::Tagged)]),
    row("ListResourceTags", ON_KEY_ID),
    row("TagResources", &[own(On::Listed)]),
    row("UntagResources", &[own(On::Listed)]),
    row("ListTagResources", &[own(On::Listed)]),
    row("Encrypt", ON_KEY),
    row("Decrypt", &[own(On::Blob)]),
    row("GenerateDataKey", ON_KEY),
    row("GenerateDataKeyWithoutPlaintext", ON_KEY),
    row("ReEncrypt", &[own(On::Source), own(On::Key(&["DestinationKeyId"]))]),
    row("ExportDataKey", &[own(On::Blob)]),
    row("GenerateAndExportDataKey", ON_KEY),
    row("AsymmetricEncrypt", ON_KEY),
    row("AsymmetricDecrypt", ON_KEY),
    row("AsymmetricSign", ON_KEY),
    row("AsymmetricVerify", ON_KEY),
    row("GetPublicKey", ON_KEY),
    row("GenerateMac", ON_KEY),
    row("VerifyMac", ON_KEY),
    row(
        "CreateSecret",
        &[
            own(On::Kind("secret")),
            with("EncryptionKeyId", "GenerateDataKey", On::Key(&["EncryptionKeyId"])),
            with("Policy", "SetSecretPolicy", On::NewSecret),
            with("Tags", "TagResource", On::NewSecret),
        ],
    ),
    row("DescribeSecret", ON_SECRET),
    row("ListSecrets", &[own(On::Kind("secret"))]),
    row("UpdateSecret", ON_SECRET),
    row("DeleteSecret", ON_SECRET),
    row("RestoreSecret", ON_SECRET),
    row("GetSecretValue", &[own(On::Secret), also("Decrypt", On::KeyOfSecret)]),
    row("BatchGetSecretValue", &[]),
    row("PutSecretValue", &[own(On::Secret), also("GenerateDataKey", On::KeyOfSecret)]),
    row("ListSecretVersionIds", ON_SECRET),
    row("UpdateSecretVersionStage", ON_SECRET),
    row("RotateSecret", ON_SECRET),
    row("UpdateSecretRotationPolicy", ON_SECRET),
    row("GetRandomPassword", ON_SERVICE),
    row("SetKeyPolicy", ON_KEY_ID),
    row("GetKeyPolicy", ON_KEY_ID),
    row("SetSecretPolicy", ON_SECRET),
    row("GetSecretPolicy", ON_SECRET),
    row("ConnectKmsInstance", &[own(On::Instance)]),
    row("ListKmsInstances", &[own(On::Kind("keystore"))]),
    row("GetKmsInstance", &[own(On::Instance)]),
    row("GetKmsInstanceQuotaInfos", &[own(On::Instance)]),
    row("GetDefaultKmsInstance", &[own(On::Kind("keystore"))]),
    // "The DescribeRegions operation does not require access control."
    row("DescribeRegions", &[]),
    row("DescribeAccountKmsStatus", ON_SERVICE),
    row("OpenKmsService", ON_SERVICE),
];
