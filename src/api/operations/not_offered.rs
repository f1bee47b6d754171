//! The operations that are known and not offered, and why. They answer `UnsupportedOperation` with the reason;
//! docs/api-coverage.md lists them.

/// Name and reason, in the order of the vendor's documents.
pub(super) const NOT_OFFERED: &[(&str, &str)] = &[
    ("GetManagedDataKey", DATA_KEYS),
    ("ListManagedDataKeyVersions", DATA_KEYS),
    ("GetChallenge", "answers to attested recipients (confidential computing) are not offered."),
    ("UpdateKmsInstanceBindVpc", NETWORKS),
    ("ReleaseKmsInstance", "it ends a purchase; here the operator removes an instance from the configuration."),
    ("CreateApplicationAccessPoint", GATEWAY),
    ("DescribeApplicationAccessPoint", GATEWAY),
    ("ListApplicationAccessPoints", GATEWAY),
    ("UpdateApplicationAccessPoint", GATEWAY),
    ("DeleteApplicationAccessPoint", GATEWAY),
    ("CreateClientKey", GATEWAY),
    ("GetClientKey", GATEWAY),
    ("ListClientKeys", GATEWAY),
    ("DeleteClientKey", GATEWAY),
    ("CreatePolicy", ACCESS_POINTS),
    ("DescribePolicy", ACCESS_POINTS),
    ("ListPolicies", ACCESS_POINTS),
    ("UpdatePolicy", ACCESS_POINTS),
    ("DeletePolicy", ACCESS_POINTS),
    ("CreateNetworkRule", NETWORK_RULES),
    ("DescribeNetworkRule", NETWORK_RULES),
    ("ListNetworkRules", NETWORK_RULES),
    ("UpdateNetworkRule", NETWORK_RULES),
    ("DeleteNetworkRule", NETWORK_RULES),
];

const DATA_KEYS: &str = "managed data keys have no public documentation, and nothing here makes any.";
const NETWORKS: &str = "it binds an instance to the vendor's networks; here the operator configures instances.";
const GATEWAY: &str =
    "it belongs to the vendor's instance gateway (protobuf), which is not offered; access keys sign every request.";
const ACCESS_POINTS: &str = "it grants rights to application access points, which are not offered.";
const NETWORK_RULES: &str =
    "it limits application access points, which are not offered, by addresses of the vendor's networks.";

/// Why an operation is not offered.
pub(super) fn reason(name: &str) -> Option<&'static str> {
    NOT_OFFERED.iter().find(|(known, _)| *known == name).map(|(_, reason)| *reason)
}
