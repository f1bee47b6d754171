//! Rotation marks: a resource whose rotation a job holds back. The settings stay in the entry untouched, and a mark counts
//! only while its job runs, so rotation can never be left off.

use serde::{Deserialize, Serialize};

use super::{Catalogue, CatalogueError, Locked, paths};
use crate::model::{JobId, ResourceId, Scope};
use crate::observe::failpoint::Failpoint;
use crate::store::{MAX_OPERATIONS, Record, Stored, Transaction, get_record, scan_records};

/// A mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkRecord {
    /// The job.
    pub job: JobId,
    /// The scope.
    pub scope: Scope,
    /// The resource.
    pub resource: ResourceId,
}

impl Record for MarkRecord {
    const KIND: &'static str = "rotation mark";
    const SCHEMA: u16 = 1;
}

impl Catalogue {
    /// Whether the rotation of a resource is held back now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn rotation_held(&self, scope: &Scope, resource: &ResourceId) -> Result<bool, CatalogueError> {
        let Some(mark) = get_record::<MarkRecord>(self.store().as_ref(), &paths::mark(scope, resource)).await? else {
            return Ok(false);
        };
        self.job_runs(&mark.job).await
    }

    /// Sets marks for resources of the locked scope. Idempotent.
    ///
    /// # Errors
    /// `Conflict` when the lease was lost.
    pub async fn set_marks(&self, locked: &Locked, resources: &[ResourceId]) -> Result<(), CatalogueError> {
        for batch in resources.chunks(MAX_OPERATIONS.saturating_sub(2)) {
            let mut transaction = Transaction::new();
            locked.apply(&mut transaction);
            for resource in batch {
                let mark = MarkRecord {
                    job: locked.lease().job().clone(),
                    scope: locked.scope().clone(),
                    resource: resource.clone(),
                };
                transaction.overwrite(&paths::mark(locked.scope(), resource), &mark)?;
            }
            self.commit_at(Failpoint::MarksSet, transaction).await?;
        }
        Ok(())
    }

    /// Removes all marks of the job; answers how many there were. Idempotent. Needs the lease, not the lock: a roll-back
    /// may come before the lock.
    ///
    /// # Errors
    /// `Conflict` when the lease was lost.
    pub async fn clear_marks(&self, lease: &super::Lease, scope: &Scope) -> Result<Vec<ResourceId>, CatalogueError> {
        let mut cleared = Vec::new();
        loop {
            let marks: Vec<(Vec<u8>, Stored<MarkRecord>)> =
                scan_records(self.store().as_ref(), &paths::marks(Some(scope)), None, MAX_OPERATIONS.saturating_sub(2))
                    .await?;
            if marks.is_empty() {
                return Ok(cleared);
            }
            let mut transaction = Transaction::new();
            lease.apply(&mut transaction);
            for (path, mark) in &marks {
                transaction.remove(path, mark);
                cleared.push(mark.resource.clone());
            }
            self.commit_at(Failpoint::MarksClear, transaction).await?;
        }
    }

    /// Every mark there is.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn all_marks(&self) -> Result<Vec<Stored<MarkRecord>>, CatalogueError> {
        let found = scan_records(self.store().as_ref(), &paths::marks(None), None, usize::MAX).await?;
        Ok(found.into_iter().map(|(_, mark)| mark).collect())
    }

    /// Removes a mark whose job does not run (any more).
    ///
    /// # Errors
    /// `Conflict` when it changed.
    pub async fn clear_stranded(&self, mark: &Stored<MarkRecord>) -> Result<(), CatalogueError> {
        let mut transaction = Transaction::new();
        transaction.remove(&paths::mark(&mark.scope, &mark.resource), mark);
        self.commit_transaction(transaction).await.map(|_| ())
    }
}
