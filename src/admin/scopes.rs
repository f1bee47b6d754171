//! Rows of the Migration Information table.

use super::protocol::ScopeShape;
use super::{AdminError, State, views};
use crate::migration::Counts;
use crate::model::{Job, JobState, Scope, TaskStatus};
use crate::schedule::StoredSchedule;
use crate::store::Stored;

/// What all rows look at; read once.
pub(super) struct Surroundings {
    pub(super) jobs: Vec<Stored<Job>>,
    pub(super) schedules: Vec<Stored<StoredSchedule>>,
}

impl Surroundings {
    pub(super) async fn read(state: &State) -> Result<Self, AdminError> {
        Ok(Self { jobs: state.catalogue().jobs().await?, schedules: state.book().list().await? })
    }
}

/// The row of one scope; what cannot migrate is added on request.
pub(super) async fn row(
    state: &State,
    around: &Surroundings,
    scope: &Scope,
    reasons: bool,
) -> Result<ScopeShape, AdminError> {
    let counts = state.migrations().counts(scope).await?;
    let gate = state.catalogue().gate(scope).await?;
    let not_migratable = if reasons {
        let left = state.migrations().not_migratable(scope).await?;
        Some(left.iter().map(views::left).collect())
    } else {
        None
    };
    Ok(ScopeShape {
        region: scope.region.to_string(),
        account: scope.account.to_string(),
        keys_not_migrated: counts.keys_not_migrated,
        keys_migrated: counts.keys_migrated,
        secrets_not_migrated: counts.secrets_not_migrated,
        secrets_migrated: counts.secrets_migrated,
        task_status: task_status(around, scope, counts).as_str().to_owned(),
        lock: gate.map(|gate| views::lock(&gate)),
        not_migratable,
    })
}

/// A running job first, then one that waits, then a schedule with something to do, then how the newest job ended. A
/// rehearsal leaves no status behind.
fn task_status(around: &Surroundings, scope: &Scope, counts: Counts) -> TaskStatus {
    let mine = || around.jobs.iter().filter(|job| job.scope == *scope);
    if mine().any(|job| !job.state.is_final() && job.state != JobState::Queued) {
        return TaskStatus::Migrating;
    }
    if mine().any(|job| job.state == JobState::Queued) {
        return TaskStatus::Scheduled;
    }
    let last = mine().filter(|job| !job.rehearsal).max_by_key(|job| (job.finished_at, job.id.clone()));
    let last = last.map(|job| job.state.task_status());
    let nothing_left = counts.keys_not_migrated == 0 && counts.secrets_not_migrated == 0;
    if last == Some(TaskStatus::MigrationComplete) && nothing_left {
        return TaskStatus::MigrationComplete;
    }
    if around.schedules.iter().any(|schedule| is_coming(schedule, scope)) {
        return TaskStatus::Scheduled;
    }
    last.unwrap_or(TaskStatus::NotStarted)
}

fn is_coming(schedule: &StoredSchedule, scope: &Scope) -> bool {
    let entry = &schedule.entry;
    entry.region == scope.region
        && entry.accounts.contains(&scope.account)
        && !entry.rehearse
        && schedule.next_run().is_some()
}
