//! Paths, requests and response shapes. Times are RFC 3339, absent values `null`; fields are only ever added.

mod access;
mod audit;
mod backup;
mod clock;
mod inventory;
mod jobs;
mod schedules;
mod scopes;
mod seal;

pub use access::{
    CredentialsRequest, CredentialsShape, DecisionShape, ExplainRequest, ExplanationShape, FurtherShape,
    IdentitiesShape,
};
pub use audit::{AuditKeyShape, AuditShape, FindingShape, SignedHeadShape};
pub use backup::{BackupRequest, KeyText};
pub use clock::{ClockShape, StepShape};
pub use inventory::{
    InstanceShape, InstancesShape, KeyShape, ResourceListShape, RestingShareShape, SecretShape, ShareRequest,
    TenantShape,
};
pub use jobs::{
    ApprovalShape, GroupReportShape, GroupShape, JobShape, JobsShape, MigrateRequest, PlanShape, PlansShape,
    ReportShape, SignatureShape,
};
pub use schedules::{EntryShape, RunShape, RunsShape, ScheduleShape, SchedulesShape};
pub use scopes::{CheckShape, HoldRequest, HoldShape, HoldsShape, NextShape, ReleaseRequest, ScopeShape, StatusShape};

pub use seal::{RetiredShape, RootKeyShape, RotateRequest, SealShape};

use serde::{Deserialize, Serialize};

/// Prefix of every path.
pub const ROOT: &str = "/v1";

/// A lock, or the gate that comes before it: management operations are refused while it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockShape {
    /// The job that holds it.
    pub job: String,
    /// Since when.
    pub since: String,
    /// The end of the job's window: before the first purge it is rolled back then.
    pub until: String,
}

/// A resource that stays where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftShape {
    /// `key` or `secret`.
    pub kind: String,
    /// Key ID or secret name.
    pub id: String,
    /// A problem code.
    pub code: String,
    /// Why.
    pub message: String,
}

/// A problem; `kind` and `id` are `null` when it concerns the whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemShape {
    /// `key`, `secret` or `null`.
    pub kind: Option<String>,
    /// Key ID, secret name or `null`.
    pub id: Option<String>,
    /// A problem code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// Code, text and remedy: a failure, an error or a warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// Code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// Body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorShape {
    /// The error.
    pub error: Advice,
    /// Every problem, where preflight refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ProblemShape>,
}

/// What to move: `"all"`, or keys and secrets by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ResourcesShape {
    /// Full migration.
    Word(AllWord),
    /// Hand-picked.
    Picked {
        /// Key IDs.
        #[serde(default)]
        keys: Vec<String>,
        /// Secret names.
        #[serde(default)]
        secrets: Vec<String>,
    },
}

/// The one word that [`ResourcesShape`] knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllWord {
    /// Everything that can migrate.
    All,
}
