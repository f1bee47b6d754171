//! The 91 operations of the KMS OpenAPI 2016-01-20 (vendor's Python SDK 3.3.1) and their planes.

/// What a migration's lock means for an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plane {
    /// Creates, modifies or deletes; refused while its scope is locked.
    Management,
    /// Describes or lists metadata; never refused by a lock.
    Read,
    /// Uses keys and secrets; never refused by a lock.
    Data,
}

/// An operation of the API, implemented here or not.
#[derive(Debug, PartialEq, Eq)]
pub struct Action {
    /// Its name, as clients send it.
    pub name: &'static str,
    /// Its plane.
    pub plane: Plane,
}

impl Action {
    /// Its place among [`ALL`].
    #[must_use]
    pub fn place(&'static self) -> usize {
        ALL.iter().position(|action| std::ptr::eq(action, self)).unwrap_or(ALL.len())
    }
}

/// The operation with this name; names are case-sensitive.
#[must_use]
pub fn find(name: &str) -> Option<&'static Action> {
    ALL.iter().find(|action| action.name == name)
}

/// Every operation, in the order of the vendor's documents.
pub static ALL: &[Action] = &[
    management("CreateKey"),
    read("DescribeKey"),
    read("ListKeys"),
    management("UpdateKeyDescription"),
    management("EnableKey"),
    management("DisableKey"),
    management("ScheduleKeyDeletion"),
    management("CancelKeyDeletion"),
    management("SetDeletionProtection"),
    management("GetParametersForImport"),
    management("ImportKeyMaterial"),
    management("DeleteKeyMaterial"),
    management("CreateKeyVersion"),
    read("DescribeKeyVersion"),
    read("ListKeyVersions"),
    management("UpdateRotationPolicy"),
    management("CreateAlias"),
    management("UpdateAlias"),
    management("DeleteAlias"),
    read("ListAliases"),
    read("ListAliasesByKeyId"),
    management("TagResource"),
    management("UntagResource"),
    read("ListResourceTags"),
    management("TagResources"),
    management("UntagResources"),
    read("ListTagResources"),
    data("Encrypt"),
    data("Decrypt"),
    data("GenerateDataKey"),
    data("GenerateDataKeyWithoutPlaintext"),
    data("ReEncrypt"),
    data("ExportDataKey"),
    data("GenerateAndExportDataKey"),
    data("AsymmetricEncrypt"),
    data("AsymmetricDecrypt"),
    data("AsymmetricSign"),
    data("AsymmetricVerify"),
    data("GetPublicKey"),
    data("GenerateMac"),
    data("VerifyMac"),
    data("GetManagedDataKey"),
    read("ListManagedDataKeyVersions"),
    data("GetChallenge"),
    management("CreateSecret"),
    read("DescribeSecret"),
    read("ListSecrets"),
    management("UpdateSecret"),
    management("DeleteSecret"),
    management("RestoreSecret"),
    data("GetSecretValue"),
    data("BatchGetSecretValue"),
    management("PutSecretValue"),
    read("ListSecretVersionIds"),
    management("UpdateSecretVersionStage"),
    management("RotateSecret"),
    management("UpdateSecretRotationPolicy"),
    data("GetRandomPassword"),
    management("SetKeyPolicy"),
    read("GetKeyPolicy"),
    management("SetSecretPolicy"),
    read("GetSecretPolicy"),
    management("ConnectKmsInstance"),
    management("UpdateKmsInstanceBindVpc"),
    read("ListKmsInstances"),
    read("GetKmsInstance"),
    read("GetKmsInstanceQuotaInfos"),
    read("GetDefaultKmsInstance"),
    management("ReleaseKmsInstance"),
    management("CreateApplicationAccessPoint"),
    read("DescribeApplicationAccessPoint"),
    read("ListApplicationAccessPoints"),
    management("UpdateApplicationAccessPoint"),
    management("DeleteApplicationAccessPoint"),
    management("CreateClientKey"),
    read("GetClientKey"),
    read("ListClientKeys"),
    management("DeleteClientKey"),
    management("CreatePolicy"),
    read("DescribePolicy"),
    read("ListPolicies"),
    management("UpdatePolicy"),
    management("DeletePolicy"),
    management("CreateNetworkRule"),
    read("DescribeNetworkRule"),
    read("ListNetworkRules"),
    management("UpdateNetworkRule"),
    management("DeleteNetworkRule"),
    read("DescribeRegions"),
    read("DescribeAccountKmsStatus"),
    management("OpenKmsService"),
];

const fn management(name: &'static str) -> Action {
    Action { name, plane: Plane::Management }
}

const fn read(name: &'static str) -> Action {
    Action { name, plane: Plane::Read }
}

const fn data(name: &'static str) -> Action {
    Action { name, plane: Plane::Data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_the_sdk_has() {
        let count = |plane| ALL.iter().filter(|action| action.plane == plane).count();
        assert_eq!((count(Plane::Management), count(Plane::Read), count(Plane::Data)), (44, 28, 19));
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|action| action.name).collect();
        assert_eq!(names.len(), 91);
    }

    #[test]
    fn names_are_case_sensitive() {
        assert_eq!(find("Encrypt").map(|action| action.plane), Some(Plane::Data));
        assert_eq!(find("encrypt"), None);
    }
}
