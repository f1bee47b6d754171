//! The report of a job: evidence of what it moved and how that was proved. Names, instants and outcomes only; never
//! material, values, or digests of either.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Failure, JobId, JobState, LeftBehind, Method, ResourceId, Scope};

/// The report of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Schema of this document.
    pub schema: u32,
    /// The job.
    pub job: JobId,
    /// The first job's ID, when several accounts ran one after the other.
    pub group: Option<JobId>,
    /// How it stands, or ended.
    pub state: JobState,
    /// Scheduled or manual.
    pub method: Method,
    /// The schedule that started it.
    pub schedule: Option<String>,
    /// Only rehearsed.
    pub rehearsal: bool,
    /// Who asked for it, in words.
    pub asked_by: Option<String>,
    /// When it was asked for.
    pub asked_at: Option<Timestamp>,
    /// What it locked.
    pub scope: Scope,
    /// From where: the shared keystore.
    pub from: String,
    /// To where: the instance.
    pub to: String,
    /// The due instant.
    pub scheduled_for: Timestamp,
    /// When it left the queue.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// From when management operations were blocked.
    pub locked_at: Option<Timestamp>,
    /// Until when.
    pub unlocked_at: Option<Timestamp>,
    /// For how long, in milliseconds.
    pub blocked_millis: Option<u64>,
    /// Why it did not complete.
    pub failure: Option<Failure>,
    /// Every resource of the plan, in the order of copying.
    pub resources: Vec<ReportResource>,
    /// What stayed where it was, and why.
    pub left_behind: Vec<LeftBehind>,
    /// What rotated when the scope was locked, and how it rotates now.
    pub rotation: Vec<ReportRotation>,
    /// Its steps, oldest first.
    pub steps: Vec<ReportStep>,
    /// SHA-256 over the plan (names and places), hexadecimal.
    pub plan_digest: Option<String>,
    /// The target's digest over its sealed staged records, hexadecimal.
    pub manifest: Option<String>,
    /// What is to be known of the copies besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Report {
    /// The schema that this release writes.
    pub const SCHEMA: u32 = 1;
}

/// A resource of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportResource {
    /// Which.
    #[serde(flatten)]
    pub resource: ResourceId,
    /// Its spec, for a key.
    pub spec: Option<String>,
    /// True when it is served by the instance since.
    pub moved: bool,
    /// How each of its versions was proved, in words.
    pub proof: String,
    /// Its versions.
    pub versions: Vec<ReportVersion>,
}

/// A version of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportVersion {
    /// The version's ID.
    pub id: String,
    /// When all copies of the job were proved equal; `None`: they were not.
    pub copy_proved_at: Option<Timestamp>,
    /// When all were proved once more, served through the catalogue, before the source copies were destroyed.
    pub served_proved_at: Option<Timestamp>,
}

/// A resource that rotated when the scope was locked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRotation {
    /// Which.
    #[serde(flatten)]
    pub resource: ResourceId,
    /// As it was.
    pub before: RotationFacts,
    /// As it is; `None`: the resource is gone since.
    pub after: Option<RotationFacts>,
    /// A mark of a running job still holds it back.
    pub held: bool,
}

/// How something rotates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationFacts {
    /// Switched on.
    pub enabled: bool,
    /// The period.
    pub interval_seconds: Option<u64>,
    /// When the next one falls due.
    pub next: Option<Timestamp>,
}

/// A step of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportStep {
    /// When.
    pub at: Timestamp,
    /// From where.
    pub from: JobState,
    /// To where.
    pub to: JobState,
}
