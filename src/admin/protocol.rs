//! Paths, requests and response shapes. Times are RFC 3339, absent values `null`; fields are only ever added.

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

/// Request of `plan` and `migrate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrateRequest {
    /// Region.
    pub region: String,
    /// Accounts, in the order in which they run.
    pub accounts: Vec<String>,
    /// Target.
    pub instance: String,
    /// What to move.
    pub resources: ResourcesShape,
    /// Stop and roll back after the proofs.
    #[serde(default)]
    pub rehearse: bool,
    /// Wait behind another job instead of being refused.
    #[serde(default)]
    pub queue: bool,
}

/// `plan` for one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanShape {
    /// Region.
    pub region: String,
    /// Account.
    pub account: String,
    /// Target.
    pub instance: String,
    /// Keys that would move, in order.
    pub keys: Vec<String>,
    /// Secrets that would move after them, in order.
    pub secrets: Vec<String>,
    /// What refuses the run.
    pub problems: Vec<ProblemShape>,
    /// What full migration would leave where it is.
    pub left_behind: Vec<LeftShape>,
    /// What is worth knowing but refuses nothing.
    pub warnings: Vec<ProblemShape>,
    /// True when `problems` would refuse the run.
    pub refused: bool,
    /// By the speed of the newest completed job; `null` when there is none.
    pub estimated_seconds: Option<u64>,
}

/// `plan` for several accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlansShape {
    /// One plan an account, in the order of the request.
    pub plans: Vec<PlanShape>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobShape {
    /// ID.
    pub id: String,
    /// The first job's ID, when several accounts run one after the other.
    pub group: Option<String>,
    /// State, such as `copying`.
    pub state: String,
    /// The Task Status column.
    pub task_status: String,
    /// `scheduled` or `manual`.
    pub method: String,
    /// Stops and rolls back after the proofs.
    pub rehearsal: bool,
    /// The schedule that started it.
    pub schedule: Option<String>,
    /// Region.
    pub region: String,
    /// Account.
    pub account: String,
    /// Target.
    pub instance: String,
    /// The due instant.
    pub scheduled_for: String,
    /// When it left the queue.
    pub started_at: Option<String>,
    /// When it ended.
    pub finished_at: Option<String>,
    /// Keys in the plan.
    pub keys_total: u64,
    /// Keys for which the present phase is done.
    pub keys_done: u64,
    /// Secrets in the plan.
    pub secrets_total: u64,
    /// Secrets for which the present phase is done.
    pub secrets_done: u64,
    /// When management operations were blocked.
    pub locked_at: Option<String>,
    /// When they were open again.
    pub unlocked_at: Option<String>,
    /// End of the window.
    #[serde(default)]
    pub window_end: Option<String>,
    /// Why it did not complete.
    pub failure: Option<Advice>,
    /// What stays where it is.
    pub left_behind: Vec<LeftShape>,
    /// Such as `TerraformUnchecked`.
    #[serde(default)]
    pub warnings: Vec<ProblemShape>,
}

/// `job list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobsShape {
    /// Oldest first.
    pub jobs: Vec<JobShape>,
}

/// `migrate`: `group` is `null` for a single account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupShape {
    /// The first job's ID, for several accounts.
    pub group: Option<String>,
    /// The jobs, in the order in which they run.
    pub jobs: Vec<JobShape>,
}

/// `job report`: the job and every resource of its plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportShape {
    /// The job.
    #[serde(flatten)]
    pub job: JobShape,
    /// Keys of the plan, in order.
    pub keys: Vec<String>,
    /// Secrets of the plan, in order.
    pub secrets: Vec<String>,
    /// Digest over the plan, hexadecimal SHA-256.
    pub plan_digest: Option<String>,
    /// The target's digest over every staged record, hexadecimal.
    pub manifest: Option<String>,
}

/// A schedule's entry, with the keys of the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryShape {
    /// Unique name.
    pub name: String,
    /// Region.
    pub region: String,
    /// Accounts, in the order in which they run.
    pub accounts: Vec<String>,
    /// Target.
    pub instance: String,
    /// An absolute instant, or `null` for cron.
    #[serde(default)]
    pub at: Option<String>,
    /// A five-field pattern, or `null` for an instant.
    #[serde(default)]
    pub cron: Option<String>,
    /// The IANA zone of the pattern.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// What to move.
    pub resources: ResourcesShape,
    /// Such as `2h`, the default.
    #[serde(default)]
    pub window: Option<String>,
    /// `run` (default) or `skip`.
    #[serde(default)]
    pub if_missed: Option<String>,
    /// Such as `0s`, the default.
    #[serde(default)]
    pub soak: Option<String>,
    /// Stop and roll back after the proofs.
    #[serde(default)]
    pub rehearse: bool,
    /// The Migration Instructions were read.
    #[serde(default)]
    pub acknowledge: bool,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleShape {
    /// The entry's keys.
    #[serde(flatten)]
    pub entry: EntryShape,
    /// `config` or `cli`.
    pub source: String,
    /// `active`, `paused`, `canceled` or `done`.
    pub state: String,
    /// When it will run next.
    pub next_run: Option<String>,
    /// The newest job it started.
    pub last_job: Option<String>,
}

/// `schedule list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulesShape {
    /// By name.
    pub schedules: Vec<ScheduleShape>,
}

/// A run to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunShape {
    /// In the schedule's time zone (the daemon's, for an absolute instant).
    pub local: String,
    /// In UTC.
    pub utc: String,
}

/// `schedule next`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsShape {
    /// Soonest first.
    pub runs: Vec<RunShape>,
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
    /// The job that holds it.
    pub lock: Option<LockShape>,
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
