//! What a step works with: the job as last read, the lease, and the session with the target.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::cutover::Destination;
use super::items::Known;
use super::{MigrationError, Migrations, failures};
use crate::catalogue::{CatalogueError, Lease, Locked, PlanItem, RotationSeen};
use crate::crypto::parcel::{PublicIdentity, SignedOffer};
use crate::keystore::{SharedSource, SharedTarget};
use crate::model::{Job, JobState, ResourceId};
use crate::observe::{Event, Fields, emit};
use crate::store::Stored;

/// So long before the window's end it is told.
const WINDOW_WARNING: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// One job being worked on by this process.
pub(super) struct Context {
    pub(super) migrations: Migrations,
    pub(super) lease: Lease,
    pub(super) job: Stored<Job>,
    /// The daemon is stopping: leave after the present step.
    pub(super) stop: CancellationToken,
    /// The target's offer under this lease; gone after a restart.
    pub(super) offer: Option<Arc<SignedOffer>>,
    pub(super) progress: Arc<Progress>,
    /// What the plan before the lock has found.
    pub(super) known: Known,
    /// What rotates, as the plan inside the lock has found it.
    pub(super) rotating: Option<Vec<RotationSeen>>,
    /// The plan, once it is written down or read, and its digest.
    pub(super) planned: Option<(String, Arc<[PlanItem]>)>,
}

/// Figures of the present phase.
#[derive(Default)]
pub(super) struct Progress {
    keys: AtomicU64,
    secrets: AtomicU64,
    lost: AtomicBool,
    warned: AtomicBool,
    overdue: AtomicBool,
    phase: Mutex<Option<(Job, Duration)>>,
}

impl Progress {
    /// The job in the phase that begins, at this time of the monotonic clock.
    pub(super) fn enter(&self, job: Job, since: Duration) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = Some((job, since));
    }

    /// No phase any more: there is nothing further to tell.
    pub(super) fn leave(&self) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The job as its present phase began, and when that was.
    pub(super) fn phase(&self) -> Option<(Job, Duration)> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn add(&self, items: &[PlanItem]) {
        for item in items {
            match item.resource {
                ResourceId::Key(_) => self.keys.fetch_add(1, Ordering::Relaxed),
                ResourceId::Secret(_) => self.secrets.fetch_add(1, Ordering::Relaxed),
            };
        }
    }

    pub(super) fn reset(&self) {
        self.keys.store(0, Ordering::Relaxed);
        self.secrets.store(0, Ordering::Relaxed);
    }

    /// Keys and secrets done in this phase.
    pub(super) fn done(&self) -> (u64, u64) {
        (self.keys.load(Ordering::Relaxed), self.secrets.load(Ordering::Relaxed))
    }

    /// Warns once before the window ends, and once when the lock outlives it.
    pub(super) fn watch_window(&self, job: &Job, now: Timestamp) {
        let left = job.window_end.duration_since(now);
        if !job.state.is_past_return() && left < WINDOW_WARNING && !self.warned.swap(true, Ordering::Relaxed) {
            emit(
                Event::MigrationWindowEnding,
                &Fields::of_job(job),
                "the window ends soon; then everything is rolled back",
            );
        }
        if job.locked_at.is_some() && left.is_negative() && !self.overdue.swap(true, Ordering::Relaxed) {
            emit(Event::LockOverdue, &Fields::of_job(job), "the lock is held beyond the window");
        }
    }

    pub(super) fn lose_lease(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }
}

impl Context {
    /// A worker that has just taken the job over: nothing is in memory from the one before.
    pub(super) fn new(migrations: Migrations, lease: Lease, job: Stored<Job>, stop: CancellationToken) -> Self {
        Self {
            migrations,
            lease,
            job,
            stop,
            offer: None,
            progress: Arc::default(),
            known: Known::default(),
            rotating: None,
            planned: None,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.migrations.service.clock.now()
    }

    pub(super) fn source(&self) -> Result<SharedSource, MigrationError> {
        let region = &self.job.scope.region;
        let source = self.migrations.service.keystores.source(region);
        source.ok_or_else(|| MigrationError::Internal(format!("no shared keystore in {region}")))
    }

    pub(super) fn target(&self) -> Result<SharedTarget, MigrationError> {
        let id = &self.job.instance;
        let target = self.migrations.service.keystores.target(id);
        target.ok_or_else(|| MigrationError::Failed(failures::unreachable(&format!("{id} is not connected"))))
    }

    /// The identity pinned for the target.
    pub(super) async fn pinned(&self) -> Result<PublicIdentity, MigrationError> {
        let record = self.migrations.service.catalogue.instance(&self.job.instance).await?;
        record.map(|r| r.identity).ok_or_else(|| MigrationError::Internal("no pinned identity".to_owned()))
    }

    pub(super) fn destination(&self) -> Destination {
        let hardware =
            self.migrations.service.keystores.instance(&self.job.instance).is_some_and(|facts| facts.hardware);
        Destination { job: self.job.id.clone(), instance: self.job.instance.clone(), hardware }
    }

    pub(super) async fn locked(&self) -> Result<Locked, MigrationError> {
        Ok(self.migrations.service.catalogue.locked(&self.lease, &self.job.scope).await?)
    }

    /// The plan as written down. Read once under a lease: from the moment the job names its digest it stays as it is.
    pub(super) async fn plan(&mut self) -> Result<Arc<[PlanItem]>, MigrationError> {
        if let Some((digest, plan)) = &self.planned
            && Some(digest) == self.job.plan_digest.as_ref()
        {
            return Ok(Arc::clone(plan));
        }
        let plan: Arc<[PlanItem]> = self.migrations.service.catalogue.plan(&self.job.id).await?.into();
        self.planned = self.job.plan_digest.clone().map(|digest| (digest, Arc::clone(&plan)));
        Ok(plan)
    }

    /// Changes the job under the lease. An operator may amend it at the same time: then it is read and changed again, so
    /// a decision taken in `change` is taken on what is committed.
    pub(super) async fn update(
        &mut self,
        change: impl Fn(&mut Job) -> Result<(), MigrationError>,
    ) -> Result<(), MigrationError> {
        loop {
            self.reload().await?;
            let mut job = self.job.clone();
            change(&mut job)?;
            let (from, catalogue) = (self.job.state, &self.migrations.service.catalogue);
            let saved = if job.state == from {
                catalogue.save_job(&self.lease, &job).await
            } else {
                catalogue.save_step(&self.lease, &job, from, self.now()).await
            };
            match saved {
                Ok(()) => {
                    self.reload().await?;
                    self.migrations.touch();
                    return Ok(());
                }
                Err(CatalogueError::Conflict) => self.check_lease().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads the job again.
    pub(super) async fn reload(&mut self) -> Result<(), MigrationError> {
        let id = self.job.id.clone();
        self.job = self.migrations.service.catalogue.job(&id).await?.ok_or(MigrationError::NoJob(id))?;
        Ok(())
    }

    /// # Errors
    /// `LeaseLost` when another worker has taken the job over.
    pub(super) async fn check_lease(&self) -> Result<(), MigrationError> {
        check_lease(&self.migrations, &self.lease).await
    }

    /// Between batches: the lease still holds, the daemon does not stop and, before the first purge, nobody wants the job
    /// back.
    pub(super) async fn checkpoint(&self) -> Result<(), MigrationError> {
        if self.progress.lost.load(Ordering::Relaxed) {
            self.check_lease().await?;
        }
        if !self.job.state.is_past_return() && self.job.state != JobState::RollingBack {
            if self.now() >= self.job.window_end {
                return Err(MigrationError::Failed(failures::window_ended(&self.job)));
            }
            let job = self.migrations.service.catalogue.job_summary(&self.job.id).await?;
            if job.is_some_and(|job| job.cancel_requested) {
                return Err(MigrationError::Interrupted);
            }
        }
        if self.stop.is_cancelled() { Err(MigrationError::Stopped) } else { Ok(()) }
    }

    /// The job's fields for an event, with the present figures.
    pub(super) fn fields(&self) -> Fields {
        figures(&self.job, self.progress.done())
    }
}

/// # Errors
/// `LeaseLost` when another worker has taken the job over.
pub(super) async fn check_lease(migrations: &Migrations, lease: &Lease) -> Result<(), MigrationError> {
    if migrations.service.catalogue.lease_holds(lease).await? {
        Ok(())
    } else {
        Err(CatalogueError::LeaseLost(lease.job().clone()).into())
    }
}

/// Why a step that may wait for a target for ever is not waited for any longer. What it has begun is then as after a crash.
pub(super) async fn cut_short(migrations: &Migrations, job: &Job) -> Option<MigrationError> {
    if !job.state.waits_for_target() {
        return None;
    }
    if migrations.service.clock.now() >= job.window_end {
        return Some(MigrationError::Failed(failures::window_ended(job)));
    }
    let job = migrations.service.catalogue.job_summary(&job.id).await.ok().flatten()?;
    job.cancel_requested.then_some(MigrationError::Interrupted)
}

/// A job's fields with its phase and how far the phase is.
pub(super) fn figures(job: &Job, done: (u64, u64)) -> Fields {
    let fields = Fields::of_job(job).phase(job.state);
    if job.keys_total == 0 && job.secrets_total == 0 {
        return fields;
    }
    fields.progress((done.0, job.keys_total), (done.1, job.secrets_total))
}
