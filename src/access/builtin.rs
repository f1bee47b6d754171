//! The policies that are there without being written, under the names of the vendor's system policies.

/// Name and document of each.
pub const ALL: &[(&str, &str)] = &[
    ("AliyunKMSFullAccess", r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}"#),
    (
        // Describes and lists; neither values nor cryptography. Not `kms:Get*`, which would read secrets.
        "AliyunKMSReadOnlyAccess",
        r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["kms:Describe*","kms:List*","kms:GetKeyPolicy",
            "kms:GetSecretPolicy","kms:GetPublicKey","kms:GetKmsInstance*","kms:GetDefaultKmsInstance"],"Resource":"*"}]}"#,
    ),
    (
        "AliyunKMSCryptoUserAccess",
        r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["kms:Encrypt","kms:Decrypt","kms:ReEncrypt",
            "kms:GenerateDataKey","kms:GenerateDataKeyWithoutPlaintext","kms:ExportDataKey","kms:GenerateAndExportDataKey",
            "kms:AsymmetricEncrypt","kms:AsymmetricDecrypt","kms:AsymmetricSign","kms:AsymmetricVerify",
            "kms:GenerateMac","kms:VerifyMac","kms:GetPublicKey","kms:DescribeKey","kms:DescribeKeyVersion",
            "kms:ListKeyVersions"],"Resource":"*"}]}"#,
    ),
];
