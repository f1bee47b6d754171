//! Plans and jobs.

use serde::{Deserialize, Serialize};

use super::{Advice, LeftShape, ProblemShape, ResourcesShape};
use crate::model::{ProblemCode, Report};

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
    /// Whose approval it needs or has; `null`: nobody's.
    #[serde(default)]
    pub approval: Option<ApprovalShape>,
}

/// The approval of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalShape {
    /// Who asked for it.
    pub asked_by: String,
    /// Who approved it; `null`: nobody yet.
    pub approved_by: Option<String>,
}

impl JobShape {
    /// It ended in its own preflight, before it locked or changed anything.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        let code = self.failure.as_ref().map(|failure| failure.code.as_str());
        self.state == "failed"
            && self.locked_at.is_none()
            && code.is_some_and(|code| {
                ProblemCode::ALL.iter().any(|known| *known != ProblemCode::WindowEnded && known.as_str() == code)
            })
    }

    /// It did what was asked: moved everything that can move, or proved it in a rehearsal.
    #[must_use]
    pub fn is_done(&self) -> bool {
        ["complete", "rehearsed"].contains(&self.state.as_str())
    }
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
    /// What moved and how it was proved; as filed where the job has ended.
    #[serde(default)]
    pub evidence: Option<Report>,
    /// The daemon's signature over the filed report; `null` while there is none.
    #[serde(default)]
    pub signature: Option<SignatureShape>,
}

/// `job report` of a group: several accounts that ran one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupReportShape {
    /// Its ID, that of its first job.
    pub group: String,
    /// When the first job left the queue.
    pub started_at: Option<String>,
    /// When the last one ended; `null` while one has not.
    pub finished_at: Option<String>,
    /// How many have done what was asked.
    pub jobs_done: u64,
    /// How many were refused by their preflight.
    pub jobs_refused: u64,
    /// How many failed, were canceled or rolled back otherwise.
    pub jobs_failed: u64,
    /// How many have not ended.
    pub jobs_left: u64,
    /// Keys moved.
    pub keys_moved: u64,
    /// Secrets moved.
    pub secrets_moved: u64,
    /// What stays where it is.
    pub left_behind: u64,
    /// Each account's report, in the order in which they ran.
    pub jobs: Vec<ReportShape>,
}

impl GroupReportShape {
    /// Adds reports up.
    #[must_use]
    pub fn of(group: String, jobs: Vec<ReportShape>) -> Self {
        let count = |holds: &dyn Fn(&JobShape) -> bool| {
            u64::try_from(jobs.iter().filter(|report| holds(&report.job)).count()).unwrap_or(u64::MAX)
        };
        let moved = |of: &dyn Fn(&JobShape) -> u64| {
            jobs.iter().filter(|report| report.job.state == "complete").map(|report| of(&report.job)).sum()
        };
        let ended = jobs.iter().all(|report| report.job.finished_at.is_some());
        let last = jobs.iter().filter_map(|report| report.job.finished_at.clone()).max();
        Self {
            group,
            started_at: jobs.iter().filter_map(|report| report.job.started_at.clone()).min(),
            finished_at: last.filter(|_| ended),
            jobs_done: count(&JobShape::is_done),
            jobs_refused: count(&JobShape::was_refused),
            jobs_failed: count(&|job| job.finished_at.is_some() && !job.is_done() && !job.was_refused()),
            jobs_left: count(&|job| job.finished_at.is_none()),
            keys_moved: moved(&|job| job.keys_done),
            secrets_moved: moved(&|job| job.secrets_done),
            left_behind: jobs.iter().map(|report| u64::try_from(report.job.left_behind.len()).unwrap_or(0)).sum(),
            jobs,
        }
    }
}

/// The signature over a filed report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureShape {
    /// When it was filed.
    pub at: String,
    /// SHA-256 over the report as filed, hexadecimal; the audit trail has the same.
    pub digest: String,
    /// The key it is signed with (Ed25519), Base64.
    pub signer: String,
    /// The signature over job, instant and digest, hexadecimal.
    pub signature: String,
    /// Text, digest and signature agree.
    pub intact: bool,
}
