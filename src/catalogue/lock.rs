//! Gate, lock and the two tokens that permit a write.
//!
//! The gate goes up first: from then on no new management transaction commits. The lock follows when nothing is in
//! flight any more. Both belong to the job and outlive the process.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::evidence::{put_entry, put_step};
use super::instances::LastTarget;
use super::{Catalogue, CatalogueError, Demand, Lease, paths};
use crate::model::{InstanceId, Job, JobId, JobState, Scope};
use crate::observe::failpoint::Failpoint;
use crate::store::{Compare, Record, Revision, Stored, Transaction, get_record};

/// The gate of a scope or of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateRecord {
    /// The job that closed it.
    pub job: JobId,
    /// Since when.
    pub since: Timestamp,
    /// The end of the job's window.
    pub until: Timestamp,
}

impl Record for GateRecord {
    const KIND: &'static str = "gate";
    const SCHEMA: u16 = 1;
}

/// The lock of a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRecord {
    /// The job that holds it.
    pub job: JobId,
    /// Since when.
    pub since: Timestamp,
}

impl Record for LockRecord {
    const KIND: &'static str = "lock";
    const SCHEMA: u16 = 1;
}

/// Why a management operation is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The job that holds the scope.
    pub job: JobId,
    /// Since when.
    pub since: Timestamp,
    /// The end of the job's window.
    pub until: Timestamp,
}

/// The scope was seen without a gate; a change made with it compares that there still is none.
#[derive(Debug, Clone)]
pub struct Guarded {
    scope: Scope,
}

impl Guarded {
    /// The scope it is for.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    pub(super) fn apply(&self, transaction: &mut Transaction) {
        transaction.compare(Compare::Absent(paths::gate(&self.scope)));
    }
}

/// The job holds the lock of its scope under this lease; a change made with it compares that nobody took the lease over.
#[derive(Debug, Clone)]
pub struct Locked {
    scope: Scope,
    lease: Lease,
}

impl Locked {
    /// The locked scope.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The lease under which it is held.
    #[must_use]
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(super) fn apply(&self, transaction: &mut Transaction) {
        self.lease.apply(transaction);
        transaction.compare(Compare::Present(paths::lock(&self.scope)));
    }
}

impl Catalogue {
    /// Permission to change something in a scope.
    ///
    /// # Errors
    /// [`CatalogueError::Refused`] while a job's gate or lock is there.
    pub async fn guard(&self, scope: &Scope) -> Result<Guarded, CatalogueError> {
        match self.gate(scope).await? {
            Some(gate) => Err(CatalogueError::Refused(gate.refusal())),
            None => Ok(Guarded { scope: scope.clone() }),
        }
    }

    /// The gate of a scope, if it is up.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn gate(&self, scope: &Scope) -> Result<Option<Stored<GateRecord>>, CatalogueError> {
        Ok(get_record(self.store().as_ref(), &paths::gate(scope)).await?)
    }

    /// The lock of a scope.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn lock_of(&self, scope: &Scope) -> Result<Option<Stored<LockRecord>>, CatalogueError> {
        Ok(get_record(self.store().as_ref(), &paths::lock(scope)).await?)
    }

    /// The gate of an instance.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn instance_gate(&self, id: &InstanceId) -> Result<Option<Stored<GateRecord>>, CatalogueError> {
        Ok(get_record(self.store().as_ref(), &paths::instance_gate(id)).await?)
    }

    /// Puts the gate on the job's scope and instance and reserves the quota, together with the job's new state.
    ///
    /// # Errors
    /// `Conflict` when another job's gate is there, the lease was lost or the quota record changed; `Refused` is told by
    /// reading the gates.
    pub async fn close_gate(
        &self,
        lease: &Lease,
        job: &Stored<Job>,
        demand: Demand,
        now: Timestamp,
    ) -> Result<(), CatalogueError> {
        let gate = GateRecord { job: job.id.clone(), since: now, until: job.window_end };
        let mut transaction = Transaction::new();
        lease.apply(&mut transaction);
        transaction.create(&paths::gate(&job.scope), &gate)?;
        transaction.create(&paths::instance_gate(&job.instance), &gate)?;
        self.reserve(&mut transaction, &job.instance, &job.id, demand).await?;
        transaction.replace(&paths::job(&job.id), job)?;
        put_entry(&mut transaction, lease, job, "job.gate", now, None)?;
        self.commit_at(Failpoint::GateClose, transaction).await.map(|_| ())
    }

    /// Puts the lock, comparing that nothing is in flight in the scope, together with the job's new state.
    ///
    /// # Errors
    /// `Conflict` while something is in flight, or when the lease was lost.
    pub async fn put_lock(&self, lease: &Lease, job: &Stored<Job>, now: Timestamp) -> Result<(), CatalogueError> {
        let mut transaction = Transaction::new();
        lease.apply(&mut transaction);
        transaction.compare(Compare::Absent(paths::flight(&job.scope)));
        transaction.compare(Compare::Present(paths::gate(&job.scope)));
        transaction.create(&paths::lock(&job.scope), &LockRecord { job: job.id.clone(), since: now })?;
        transaction.replace(&paths::job(&job.id), job)?;
        put_entry(&mut transaction, lease, job, "job.lock", now, None)?;
        put_step(&mut transaction, lease, job, JobState::Closing, now)?;
        self.commit_at(Failpoint::LockPut, transaction).await.map(|_| ())
    }

    /// The token of a job that holds its lock.
    ///
    /// # Errors
    /// `LeaseLost` when the lock is not this job's.
    pub async fn locked(&self, lease: &Lease, scope: &Scope) -> Result<Locked, CatalogueError> {
        match self.lock_of(scope).await? {
            Some(lock) if lock.job == *lease.job() => Ok(Locked { scope: scope.clone(), lease: lease.clone() }),
            _ => Err(CatalogueError::LeaseLost(lease.job().clone())),
        }
    }

    /// Takes down gate and lock and turns the reservation into what was moved, together with the job's new state.
    ///
    /// # Errors
    /// `Conflict` when the lease was lost or the job changed.
    pub async fn unlock(&self, lease: &Lease, job: &Stored<Job>, moved: Demand) -> Result<(), CatalogueError> {
        let from = if job.state == JobState::Complete { JobState::Unlocking } else { JobState::RollingBack };
        let mut transaction = Transaction::new();
        lease.apply(&mut transaction);
        for path in [paths::gate(&job.scope), paths::instance_gate(&job.instance)] {
            if let Some(gate) = get_record::<GateRecord>(self.store().as_ref(), &path).await?
                && gate.job == job.id
            {
                transaction.remove(&path, &gate);
            }
        }
        if let Some(lock) = self.lock_of(&job.scope).await?
            && lock.job == job.id
        {
            transaction.remove(&paths::lock(&job.scope), &lock);
        }
        self.release(&mut transaction, &job.instance, &job.id, Some((&job.scope.account, moved))).await?;
        transaction.replace(&paths::job(&job.id), job)?;
        if job.state == JobState::Complete {
            transaction.overwrite(&paths::last_target(&job.scope), &LastTarget { instance: job.instance.clone() })?;
        }
        if let Some(at) = job.finished_at {
            put_entry(&mut transaction, lease, job, "job.unlock", at, None)?;
            put_step(&mut transaction, lease, job, from, at)?;
        }
        self.commit_at(Failpoint::JobEnd, transaction).await.map(|_| ())
    }
}

impl Lease {
    pub(super) fn apply(&self, transaction: &mut Transaction) {
        transaction.compare(Compare::Revision(paths::owner(self.job()), Revision(self.token())));
    }
}

impl GateRecord {
    /// What a refused caller is told.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        Refusal { job: self.job.clone(), since: self.since, until: self.until }
    }
}
