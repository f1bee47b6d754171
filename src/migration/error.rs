//! Why a migration, or a request about one, does not go on.

use thiserror::Error;

use crate::catalogue::CatalogueError;
use crate::keystore::KeystoreError;
use crate::model::{Failure, JobId, JobState, Problem};

/// A refusal or failure.
#[derive(Debug, Error)]
pub enum MigrationError {
    /// Preflight refuses, with every problem.
    #[error("preflight found {} problem(s)", .0.len())]
    Refused(Vec<Problem>),
    /// No such job.
    #[error("there is no job {0}; `keyferry job list` shows all")]
    NoJob(JobId),
    /// The job has ended.
    #[error("{0} has ended ({end}); there is nothing to cancel", end = .1.as_str())]
    Ended(JobId, JobState),
    /// The job is past its first purge.
    #[error("{0} has begun to destroy the source copies; from there on it only goes forward")]
    PastReturn(JobId),
    /// The job waits for no approval.
    #[error("{0} waits for no approval")]
    NotAwaited(JobId),
    /// Whoever asked for it cannot approve it.
    #[error("{0} has to be approved by somebody else than who asked for it")]
    OwnApproval(JobId),
    /// A proof did not hold.
    #[error("a copy could not be proved: {0}")]
    Unproved(String),
    /// The step failed for good: how the job ends.
    #[error("{}: {}", .0.code, .0.message)]
    Failed(Failure),
    /// The job's window ended, or an operator canceled: noticed inside a step.
    #[error("the job is to be rolled back")]
    Interrupted,
    /// The daemon stops: noticed inside a step, which is run again after the start.
    #[error("the daemon stops")]
    Stopped,
    /// The catalogue.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// A keystore.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// A fault of ours.
    #[error("internal fault: {0}")]
    Internal(String),
}

impl From<crate::store::StoreError> for MigrationError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Catalogue(error.into())
    }
}
