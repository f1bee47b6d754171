//! Jobs: one run of a migration, and its state machine with one transition function.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{InstanceId, JobId, Problem, ResourceId, Scope, Selection};

/// The states of design §6, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waiting for its turn in its scope and instance.
    Queued,
    /// Looking for problems; holds no lock.
    Preflight,
    /// The gate is up: no new management operation, those in flight finish.
    Closing,
    /// The scope is locked.
    Locked,
    /// Rotation marks are set.
    RotationOff,
    /// Copies are being staged.
    Copying,
    /// Copies are being proved.
    Verifying,
    /// The target makes the staged copies usable.
    Activating,
    /// Catalogue entries flip.
    CuttingOver,
    /// Served by the target, source still whole: soak and second proof.
    Confirming,
    /// The point of no return: source copies are destroyed.
    Purging,
    /// Rotation marks go.
    RotationOn,
    /// The lock goes.
    Unlocking,
    /// The catalogue returns to what it was.
    RollingBack,
    /// Ended well.
    Complete,
    /// Ended: rolled back after a failure, or refused.
    Failed,
    /// Ended: rolled back or dropped at an operator's wish.
    Canceled,
    /// Ended: a rehearsal whose proofs all held.
    Rehearsed,
}

/// What moves a job from state to state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEvent {
    /// The present step is done.
    Done,
    /// A rehearsal has proved everything.
    RehearsalProved,
    /// The step failed for good, or the window ended.
    Fail,
    /// An operator canceled, or put a hold on the scope.
    Cancel,
    /// There is nothing to move.
    NothingToDo,
    /// The worker that staged is gone and staging was not closed: what it staged is discarded and staged again.
    Restage,
    /// The roll-back is done; carries how the job ends.
    RolledBack(Ending),
}

/// How a job ends that did not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Failed.
    Failed,
    /// Canceled.
    Canceled,
    /// Rehearsed.
    Rehearsed,
}

/// An event that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a job that is {state:?} cannot take {event:?}")]
pub struct TransitionError {
    /// Where the job was.
    pub state: JobState,
    /// What was to happen.
    pub event: JobEvent,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 18] = [
        Self::Queued,
        Self::Preflight,
        Self::Closing,
        Self::Locked,
        Self::RotationOff,
        Self::Copying,
        Self::Verifying,
        Self::Activating,
        Self::CuttingOver,
        Self::Confirming,
        Self::Purging,
        Self::RotationOn,
        Self::Unlocking,
        Self::RollingBack,
        Self::Complete,
        Self::Failed,
        Self::Canceled,
        Self::Rehearsed,
    ];

    /// The one transition function. From `Purging` on there is only forward.
    ///
    /// # Errors
    /// Where the state does not allow the event.
    pub const fn next(self, event: JobEvent) -> Result<Self, TransitionError> {
        use JobEvent as E;
        use JobState as S;
        Ok(match (self, event) {
            (S::Queued, E::Done) => S::Preflight,
            (S::Preflight, E::Done) => S::Closing,
            (S::Preflight, E::NothingToDo) => S::Complete,
            (S::Closing, E::Done) => S::Locked,
            (S::Locked, E::Done) => S::RotationOff,
            // The second preflight may find that the last resource went away meanwhile.
            (S::Locked, E::NothingToDo) => S::RotationOn,
            (S::RotationOff, E::Done) => S::Copying,
            (S::Copying, E::Done) => S::Verifying,
            (S::Verifying, E::Done) => S::Activating,
            (S::Verifying, E::Restage) => S::Copying,
            (S::Verifying, E::RehearsalProved) => S::RollingBack,
            (S::Activating, E::Done) => S::CuttingOver,
            (S::CuttingOver, E::Done) => S::Confirming,
            (S::Confirming, E::Done) => S::Purging,
            (S::Purging, E::Done) => S::RotationOn,
            (S::RotationOn, E::Done) => S::Unlocking,
            (S::Unlocking, E::Done) => S::Complete,
            (S::Queued | S::Preflight, E::Fail) => S::Failed,
            (S::Queued | S::Preflight, E::Cancel) => S::Canceled,
            (
                S::Closing
                | S::Locked
                | S::RotationOff
                | S::Copying
                | S::Verifying
                | S::Activating
                | S::CuttingOver
                | S::Confirming,
                E::Fail | E::Cancel,
            ) => S::RollingBack,
            (S::RollingBack, E::RolledBack(Ending::Failed)) => S::Failed,
            (S::RollingBack, E::RolledBack(Ending::Canceled)) => S::Canceled,
            (S::RollingBack, E::RolledBack(Ending::Rehearsed)) => S::Rehearsed,
            (state, event) => return Err(TransitionError { state, event }),
        })
    }

    /// The name in JSON and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Preflight => "preflight",
            Self::Closing => "closing",
            Self::Locked => "locked",
            Self::RotationOff => "rotation_off",
            Self::Copying => "copying",
            Self::Verifying => "verifying",
            Self::Activating => "activating",
            Self::CuttingOver => "cutting_over",
            Self::Confirming => "confirming",
            Self::Purging => "purging",
            Self::RotationOn => "rotation_on",
            Self::Unlocking => "unlocking",
            Self::RollingBack => "rolling_back",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Rehearsed => "rehearsed",
        }
    }

    /// True when nothing more happens.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Canceled | Self::Rehearsed)
    }

    /// True from the first purge on: only forward.
    #[must_use]
    pub const fn is_past_return(self) -> bool {
        matches!(self, Self::Purging | Self::RotationOn | Self::Unlocking | Self::Complete)
    }

    /// True while the job holds (or may hold) the gate or the lock.
    #[must_use]
    pub const fn may_hold_lock(self) -> bool {
        !matches!(self, Self::Queued | Self::Preflight) && !self.is_final()
    }

    /// True for the phases before the first purge whose step asks the target, which may hang, and changes no entry.
    #[must_use]
    pub const fn waits_for_target(self) -> bool {
        matches!(
            self,
            Self::Preflight | Self::Locked | Self::Copying | Self::Verifying | Self::Activating | Self::Confirming
        )
    }

    /// True for the phases that go through the plan resource by resource.
    #[must_use]
    pub const fn walks_plan(self) -> bool {
        matches!(self, Self::Copying | Self::Verifying | Self::CuttingOver | Self::Confirming | Self::Purging)
    }

    /// The Task Status column that goes with the state.
    #[must_use]
    pub const fn task_status(self) -> TaskStatus {
        match self {
            Self::Queued => TaskStatus::Scheduled,
            Self::Complete => TaskStatus::MigrationComplete,
            Self::Failed => TaskStatus::MigrationFailed,
            Self::Canceled => TaskStatus::Canceled,
            Self::Rehearsed => TaskStatus::Rehearsed,
            _ => TaskStatus::Migrating,
        }
    }
}

/// The Task Status column of the Migration Information table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskStatus {
    /// Nothing has happened.
    #[serde(rename = "Not Started")]
    NotStarted,
    /// A schedule or a queued job waits.
    Scheduled,
    /// A job runs.
    Migrating,
    /// The last job completed.
    #[serde(rename = "Migration Complete")]
    MigrationComplete,
    /// The last job failed; everything is as it was before.
    #[serde(rename = "Migration Failed")]
    MigrationFailed,
    /// The last job was canceled; everything is as it was before.
    Canceled,
    /// A rehearsal held (jobs only).
    Rehearsed,
}

impl TaskStatus {
    /// The text of the column.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "Not Started",
            Self::Scheduled => "Scheduled",
            Self::Migrating => "Migrating",
            Self::MigrationComplete => "Migration Complete",
            Self::MigrationFailed => "Migration Failed",
            Self::Canceled => "Canceled",
            Self::Rehearsed => "Rehearsed",
        }
    }
}

/// How a job was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By a schedule (Automated Migration).
    Scheduled,
    /// By `keyferry migrate` (Migrate manually now).
    Manual,
}

/// A job that starts only after somebody else than who asked for it has approved it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who asked for it.
    pub asked_by: String,
    /// Who approved it; `None`: nobody yet.
    pub approved_by: Option<String>,
}

/// Why a job did not complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A problem code of the contract, or `VerificationFailed`, `InstanceUnreachable`, `Canceled`, `Internal`.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl Job {
    /// Whether it waits for somebody's approval.
    #[must_use]
    pub fn awaits_approval(&self) -> bool {
        self.approval.as_ref().is_some_and(|approval| approval.approved_by.is_none())
    }
}

/// A resource that full migration leaves where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// The resource.
    #[serde(flatten)]
    pub resource: ResourceId,
    /// A problem code.
    pub code: String,
    /// Why.
    pub message: String,
}

/// One run of a migration: order, state and figures. The plan's resources are records of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// ID; sorts by age.
    pub id: JobId,
    /// The group it belongs to, when several accounts run one after the other: the first job's ID.
    pub group: Option<JobId>,
    /// Its place in the group, from 0; a job waits until the one before it has ended.
    pub group_index: u32,
    /// Where it stands.
    pub state: JobState,
    /// How it was started.
    pub method: Method,
    /// The schedule that started it.
    pub schedule: Option<String>,
    /// What it locks.
    pub scope: Scope,
    /// Target.
    pub instance: InstanceId,
    /// What to move.
    pub selection: Selection,
    /// Stop and roll back after the proofs.
    pub rehearsal: bool,
    /// The due instant; the order in the queue, with the ID.
    pub scheduled_for: Timestamp,
    /// End of the window: before the first purge, roll back from then on.
    pub window_end: Timestamp,
    /// Serve from the target this long before purging.
    pub soak: Duration,
    /// When the soak began.
    pub soak_since: Option<Timestamp>,
    /// The Migration Instructions were read.
    pub acknowledged: bool,
    /// When it left the queue.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When the gate went up.
    pub locked_at: Option<Timestamp>,
    /// When the lock went.
    pub unlocked_at: Option<Timestamp>,
    /// Keys in the plan.
    pub keys_total: u64,
    /// Keys for which the present phase is done; at the end, keys moved.
    pub keys_done: u64,
    /// Secrets in the plan.
    pub secrets_total: u64,
    /// Secrets for which the present phase is done; at the end, secrets moved.
    pub secrets_done: u64,
    /// Pages of the plan.
    pub plan_pages: u32,
    /// Digest over the plan, hexadecimal SHA-256.
    pub plan_digest: Option<String>,
    /// The target's manifest digest, hexadecimal, once staging is closed.
    pub manifest: Option<String>,
    /// How the roll-back ends, once decided.
    pub ending: Option<Ending>,
    /// An operator wants it canceled: acted on at the next step before the first purge.
    pub cancel_requested: bool,
    /// Why it did not complete.
    pub failure: Option<Failure>,
    /// What stays where it is; kept in pages of its own.
    #[serde(skip)]
    pub left_behind: Vec<LeftBehind>,
    /// Warnings, such as `TerraformUnchecked`.
    pub warnings: Vec<Problem>,
    /// Whose approval it needs or has; `None`: nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_returns_from_the_first_purge_on() {
        let events = [
            JobEvent::Done,
            JobEvent::RehearsalProved,
            JobEvent::Fail,
            JobEvent::Cancel,
            JobEvent::NothingToDo,
            JobEvent::Restage,
            JobEvent::RolledBack(Ending::Failed),
            JobEvent::RolledBack(Ending::Canceled),
            JobEvent::RolledBack(Ending::Rehearsed),
        ];
        for state in JobState::ALL.into_iter().filter(|s| s.is_past_return()) {
            for event in events {
                if let Ok(next) = state.next(event) {
                    assert!(next.is_past_return(), "{state:?} + {event:?} -> {next:?}");
                }
            }
        }
    }

    #[test]
    fn every_state_before_the_first_purge_can_fail_and_be_canceled() {
        for state in JobState::ALL {
            let open = !state.is_final() && !state.is_past_return() && state != JobState::RollingBack;
            assert_eq!(state.next(JobEvent::Fail).is_ok(), open, "{state:?}");
            assert_eq!(state.next(JobEvent::Cancel).is_ok(), open, "{state:?}");
        }
    }

    #[test]
    fn final_states_stay() {
        for state in JobState::ALL.into_iter().filter(|s| s.is_final()) {
            assert!(state.next(JobEvent::Done).is_err());
        }
    }
}
