//! What a job's report is made of beside its plan: who asked for it, its steps with their instants, and what rotated
//! before. Each is written by the transaction of what it tells of, together with the entry for the audit trail.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Catalogue, CatalogueError, Lease, paths};
use crate::audit::{Actor, Entry};
use crate::model::{Job, JobId, JobState, ResourceId, Rotation};
use crate::observe::failpoint::Failpoint;
use crate::store::{Record, Stored, Transaction, scan_records};

/// Who asked for a job, or for the group it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedRecord {
    /// Who.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
}

impl Record for AskedRecord {
    const KIND: &'static str = "job request";
    const SCHEMA: u16 = 1;
}

/// One transition of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// When.
    pub at: Timestamp,
    /// From where.
    pub from: JobState,
    /// To where.
    pub to: JobState,
    /// The fencing token of the worker.
    pub token: u64,
}

impl Record for StepRecord {
    const KIND: &'static str = "job step";
    const SCHEMA: u16 = 1;
}

/// How a resource rotates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationSeen {
    /// The resource.
    pub resource: ResourceId,
    /// Switched on.
    pub enabled: bool,
    /// The period.
    pub interval: Option<Duration>,
    /// When the next one falls due.
    pub next: Option<Timestamp>,
}

impl RotationSeen {
    /// As an entry of the catalogue has it.
    #[must_use]
    pub fn of(resource: ResourceId, rotation: &Rotation) -> Self {
        Self { resource, enabled: rotation.enabled, interval: rotation.interval, next: rotation.next() }
    }
}

/// Some of the resources that rotated when the scope was locked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RotationPage {
    items: Vec<RotationSeen>,
}

impl Record for RotationPage {
    const KIND: &'static str = "rotation page";
    const SCHEMA: u16 = 1;
}

/// Resources on one page.
const PAGE: usize = 40;

impl AskedRecord {
    /// Puts it beside the first of the jobs that were asked for.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, first: &JobId, transaction: &mut Transaction) -> Result<(), CatalogueError> {
        transaction.overwrite(&paths::asked(first), self)?;
        Ok(())
    }
}

/// Puts a transition into the transaction that makes it: the step and its entry.
pub(super) fn put_step(
    transaction: &mut Transaction,
    lease: &Lease,
    job: &Job,
    from: JobState,
    at: Timestamp,
) -> Result<(), CatalogueError> {
    let step = StepRecord { at, from, to: job.state, token: lease.token() };
    transaction.overwrite(&paths::step(&job.id, at, job.state), &step)?;
    let detail = match &job.failure {
        Some(failure) if job.state == JobState::RollingBack || job.state.is_final() => {
            format!("{} -> {} ({})", from.as_str(), job.state.as_str(), failure.code)
        }
        _ => format!("{} -> {}", from.as_str(), job.state.as_str()),
    };
    put_entry(transaction, lease, job, "job.step", at, Some(&detail))
}

/// Puts an entry about a job's work into the transaction that does it.
pub(super) fn put_entry(
    transaction: &mut Transaction,
    lease: &Lease,
    job: &Job,
    action: &str,
    at: Timestamp,
    detail: Option<&str>,
) -> Result<(), CatalogueError> {
    let actor = Actor::Job { job: job.id.clone(), token: lease.token() };
    let entry = Entry::new(at, actor, action).in_scope(&job.scope).on(format!("instance/{}", job.instance));
    match detail {
        Some(detail) => entry.detail(detail).put(transaction)?,
        None => entry.put(transaction)?,
    }
    Ok(())
}

impl Catalogue {
    /// Records an entry in a transaction of its own: for what was refused, or changed nothing.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn record(&self, entry: &Entry) -> Result<(), CatalogueError> {
        let mut transaction = Transaction::new();
        entry.put(&mut transaction)?;
        self.commit_transaction(transaction).await.map(|_| ())
    }

    /// Writes the job's new state, with the step and its entry.
    ///
    /// # Errors
    /// `Conflict` when the job changed or the lease was lost.
    pub async fn save_step(
        &self,
        lease: &Lease,
        job: &Stored<Job>,
        from: JobState,
        at: Timestamp,
    ) -> Result<(), CatalogueError> {
        let mut transaction = Transaction::new();
        lease.apply(&mut transaction);
        transaction.replace(&paths::job(&job.id), job)?;
        put_step(&mut transaction, lease, job, from, at)?;
        self.commit_at(Failpoint::Journal(job.state), transaction).await.map(|_| ())
    }

    /// Changes a job from outside its worker: an operator's cancel, or dropping it from the queue. The job's own revision
    /// guards it, so of two changes one wins. `entry` is committed with it.
    ///
    /// # Errors
    /// `Conflict` when the job changed meanwhile.
    pub async fn amend_job(&self, job: &Stored<Job>, entry: Option<&Entry>) -> Result<(), CatalogueError> {
        let mut transaction = Transaction::new();
        transaction.replace(&paths::job(&job.id), job)?;
        if let Some(entry) = entry {
            entry.put(&mut transaction)?;
        }
        self.commit_transaction(transaction).await.map(|_| ())
    }

    /// Notes what rotates as the scope is locked. Idempotent: inside the lock it cannot change.
    ///
    /// # Errors
    /// `Conflict` when the lease was lost.
    pub async fn note_rotation(&self, lease: &Lease, seen: &[RotationSeen]) -> Result<(), CatalogueError> {
        for (page, items) in (0_u32..).zip(seen.chunks(PAGE)) {
            let mut transaction = Transaction::new();
            lease.apply(&mut transaction);
            transaction.overwrite(&paths::rotation_page(lease.job(), page), &RotationPage { items: items.to_vec() })?;
            self.commit_at(Failpoint::RotationNote, transaction).await?;
        }
        Ok(())
    }

    /// What rotated as the scope was locked.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn rotation_before(&self, job: &JobId) -> Result<Vec<RotationSeen>, CatalogueError> {
        let prefix = paths::rotation_pages(job);
        let found = scan_records::<RotationPage>(self.store().as_ref(), &prefix, None, usize::MAX).await?;
        Ok(found.into_iter().flat_map(|(_, page)| page.into_value().items).collect())
    }

    /// The steps of a job, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn steps(&self, job: &JobId) -> Result<Vec<StepRecord>, CatalogueError> {
        let found = scan_records::<StepRecord>(self.store().as_ref(), &paths::steps(job), None, usize::MAX).await?;
        Ok(found.into_iter().map(|(_, step)| step.into_value()).collect())
    }

    /// Who asked for a job.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn asked(&self, job: &Job) -> Result<Option<AskedRecord>, CatalogueError> {
        let first = job.group.as_ref().unwrap_or(&job.id);
        let found = crate::store::get_record(self.store().as_ref(), &paths::asked(first)).await?;
        Ok(found.map(Stored::into_value))
    }
}
