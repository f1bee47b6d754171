//! Scopes, holds and the state of the whole.

use serde::{Deserialize, Serialize};

use super::{Advice, JobShape, LeftShape, LockShape};

/// One row of the Migration Information table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeShape {
    /// Region.
    pub region: String,
    /// Account.
    pub account: String,
    /// Customer master keys still shared and migratable to at least one kind of instance.
    pub keys_not_migrated: u64,
    /// Customer master keys in an instance.
    pub keys_migrated: u64,
    /// Secrets still shared that can migrate.
    pub secrets_not_migrated: u64,
    /// Secrets in an instance.
    pub secrets_migrated: u64,
    /// The Task Status column.
    pub task_status: String,
    /// The lock, if one stands.
    pub lock: Option<LockShape>,
    /// What cannot migrate, with reasons; left out by `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_migratable: Option<Vec<LeftShape>>,
}

/// `check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckShape {
    /// One row a region and account.
    pub regions: Vec<ScopeShape>,
}

/// Request of `hold`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRequest {
    /// Every region when `null`.
    pub region: Option<String>,
    /// Every account when `null`.
    pub account: Option<String>,
    /// Why.
    pub reason: String,
    /// Also roll back a running job before its first purge.
    #[serde(default)]
    pub now: bool,
}

/// Request of `release`: without region and account, every hold is lifted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRequest {
    /// Only the hold of this region.
    pub region: Option<String>,
    /// Only the hold of this account.
    pub account: Option<String>,
}

/// A hold that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldShape {
    /// Every region when `null`.
    pub region: Option<String>,
    /// Every account when `null`.
    pub account: Option<String>,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: String,
}

/// `hold`, `release`: the holds that stand afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldsShape {
    /// The holds.
    pub holds: Vec<HoldShape>,
}

/// The next scheduled run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextShape {
    /// The schedule.
    pub schedule: String,
    /// When.
    pub at: String,
}

/// `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusShape {
    /// The daemon's version.
    pub version: String,
    /// Since its start.
    pub uptime_seconds: u64,
    /// Rows of the Migration Information table.
    pub scopes: Vec<ScopeShape>,
    /// The job that runs (or, if none does, the first that waits).
    pub job: Option<JobShape>,
    /// The next scheduled run.
    pub next: Option<NextShape>,
    /// Resources whose rotation a running job holds back.
    pub rotation_held: u64,
    /// Holds that stand.
    pub holds: Vec<HoldShape>,
    /// What somebody should look at.
    pub warnings: Vec<Advice>,
}
