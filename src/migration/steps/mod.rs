//! The steps of a migration. A step is idempotent: it may be run again at any point, by another worker, after any crash.
//! Its `undo` puts back what it did, and is harmless when it did nothing.
//!
//! Adding a step: one file here, one line in [`step`], its state in `model::JobState`.

mod activating;
mod closing;
mod confirming;
mod copying;
mod cutting_over;
mod locked;
mod preflight;
mod purging;
mod rolling_back;
mod rotation_off;
mod rotation_on;
mod unlocking;
mod verifying;

use async_trait::async_trait;

use super::MigrationError;
use super::context::Context;
use crate::model::{JobEvent, JobState};

/// How a step ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The runner is to make this transition.
    With(JobEvent),
    /// The step has written the new state itself, in the transaction of what it did.
    Saved,
}

/// One step.
#[async_trait]
pub(super) trait Step: Send + Sync {
    /// Does the step's work.
    async fn run(&self, context: &mut Context) -> Result<Ended, MigrationError>;

    /// Puts back what the step did. Never waits for the target.
    async fn undo(&self, context: &mut Context) -> Result<(), MigrationError> {
        let _ = context;
        Ok(())
    }
}

/// The step of a state; `None` where there is nothing to do.
pub(super) fn step(state: JobState) -> Option<&'static dyn Step> {
    Some(match state {
        JobState::Preflight => &preflight::Preflight,
        JobState::Closing => &closing::Closing,
        JobState::Locked => &locked::Locked,
        JobState::RotationOff => &rotation_off::RotationOff,
        JobState::Copying => &copying::Copying,
        JobState::Verifying => &verifying::Verifying,
        JobState::Activating => &activating::Activating,
        JobState::CuttingOver => &cutting_over::CuttingOver,
        JobState::Confirming => &confirming::Confirming,
        JobState::Purging => &purging::Purging,
        JobState::RotationOn => &rotation_on::RotationOn,
        JobState::Unlocking => &unlocking::Unlocking,
        JobState::RollingBack => &rolling_back::RollingBack,
        JobState::Queued | JobState::Complete | JobState::Failed | JobState::Canceled | JobState::Rehearsed => {
            return None;
        }
    })
}

/// The order in which a roll-back undoes: the reverse of doing.
pub(super) const UNDO: [JobState; 5] =
    [JobState::CuttingOver, JobState::Activating, JobState::Copying, JobState::RotationOff, JobState::Closing];

#[cfg(test)]
mod tests;
