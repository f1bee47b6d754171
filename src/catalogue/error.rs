//! What can go wrong in the catalogue.

use thiserror::Error;

use super::Refusal;
use crate::model::JobId;
use crate::observe::failpoint::Injected;
use crate::store::StoreError;

/// A failure of the catalogue.
#[derive(Debug, Error)]
pub enum CatalogueError {
    /// Something that was read has changed meanwhile: read again and retry.
    #[error("the catalogue has changed meanwhile")]
    Conflict,
    /// The commit may or may not have happened.
    #[error("the store does not know whether the change was written")]
    Unknown,
    /// The scope is locked by a job.
    #[error("the scope is locked by {}", .0.job)]
    Refused(Refusal),
    /// This worker no longer owns the job.
    #[error("the lease on {0} was taken over")]
    LeaseLost(JobId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Injected> for CatalogueError {
    fn from(injected: Injected) -> Self {
        if injected.after {
            Self::Unknown
        } else {
            Self::Store(StoreError::Unavailable(format!("rehearsed at {}", injected.point)))
        }
    }
}
