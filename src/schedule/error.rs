//! What can go wrong with schedules.

use thiserror::Error;

use super::NameTaken;
use crate::store::StoreError;

/// A refusal or failure.
#[derive(Debug, Error)]
pub enum ScheduleError {
    /// No schedule has this name.
    #[error("there is no schedule {0:?}; `keyferry schedule list` shows all")]
    Unknown(String),
    /// Names that the file and the command line both use.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NameTaken(Vec<NameTaken>),
    /// The schedule's state does not allow it.
    #[error("the schedule {name:?} is {state}; {remedy}")]
    WrongState {
        /// The schedule.
        name: String,
        /// Its state in words.
        state: &'static str,
        /// What to do instead.
        remedy: &'static str,
    },
    /// The same schedules are being changed over and over.
    #[error("the schedules are being changed at the same time; try again")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
