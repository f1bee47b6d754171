//! Instances, keys and secrets.

use serde::{Deserialize, Serialize};

use super::LockShape;

/// Request of `instance share` and `instance unshare`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareRequest {
    /// The account.
    pub account: String,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceShape {
    /// ID.
    pub id: String,
    /// Region.
    pub region: String,
    /// Owner.
    pub owner: String,
    /// `software` or `hardware`.
    pub kind: String,
    /// `Uninitialized`, `Connecting`, `Connected`, `Disconnected` or `Error`.
    #[serde(default)]
    pub status: String,
    /// Keys it may hold.
    pub key_quota: u64,
    /// Keys it holds, and those that running jobs have reserved.
    pub keys_used: u64,
    /// Secrets it may hold.
    pub secret_quota: u64,
    /// Secrets it holds, and those that running jobs have reserved.
    pub secrets_used: u64,
    /// End of the contract.
    pub expires: Option<String>,
    /// Somebody renews it.
    pub auto_renew: bool,
    /// Accounts that may use it beside its owner.
    pub shared_with: Vec<String>,
    /// Those of them that `instance share` added.
    pub shared_by_cli: Vec<String>,
    /// Those of them that the resource directories do not let use it now, with the reason.
    #[serde(default)]
    pub shares_at_rest: Vec<RestingShareShape>,
    /// What each account holds there, by account: counts alone.
    #[serde(default)]
    pub accounts: Vec<TenantShape>,
    /// The job that holds it.
    pub lock: Option<LockShape>,
}

/// A share that counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestingShareShape {
    /// The account.
    pub account: String,
    /// The reason: `NotInDirectory`, `OtherDirectory`, `OtherEntity` or `EntityNotVerified`.
    pub code: String,
    /// The reason in words.
    pub message: String,
}

/// What an account holds in an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantShape {
    /// The account.
    pub account: String,
    /// Its keys there.
    pub keys: u64,
    /// Its secrets there.
    pub secrets: u64,
    /// Keys that its running job has reserved.
    pub keys_reserved: u64,
    /// Secrets that its running job has reserved.
    pub secrets_reserved: u64,
}

/// `instance list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstancesShape {
    /// By ID.
    pub instances: Vec<InstanceShape>,
}

/// A key, as one confirms a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyShape {
    /// ID.
    pub id: String,
    /// Account.
    pub account: String,
    /// Region.
    pub region: String,
    /// The instance, or `null` in the shared KMS.
    pub instance: Option<String>,
    /// Aliases.
    pub alias: Vec<String>,
    /// Spec.
    pub spec: String,
    /// Usage.
    pub usage: String,
    /// State.
    pub state: String,
    /// The cloud product, for a service key.
    pub service: Option<String>,
    /// What its owner wrote about it; `null` from an older daemon.
    #[serde(default)]
    pub description: Option<String>,
}

/// A secret, as one confirms a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretShape {
    /// Name.
    pub name: String,
    /// Account.
    pub account: String,
    /// Region.
    pub region: String,
    /// The instance, or `null` in the shared KMS.
    pub instance: Option<String>,
    /// Type.
    #[serde(rename = "type")]
    pub secret_type: String,
    /// How many versions it has.
    pub versions: u32,
}

/// `resources`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceListShape {
    /// Keys, by account and region, in the order of creation.
    pub keys: Vec<KeyShape>,
    /// Secrets, likewise.
    pub secrets: Vec<SecretShape>,
}
