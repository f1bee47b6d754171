//! What is due: pure decisions over stored state, the [`Book`] that stores it, and the [`ScheduleClock`] that wakes
//! them.
//!
//! [`decide`] says what to do about one schedule now; the clock does it, notes it with [`StoredSchedule::note`] in the
//! transaction that makes the job, and asks again until the answer is [`Decision::Wait`] or [`Decision::Nothing`].

mod book;
mod clock;
mod digest;
mod due;
mod error;
mod reconcile;
mod stored;

pub use book::Book;
pub use clock::ScheduleClock;
pub use digest::digest;
pub use due::{Circumstances, Decision, Downtime, MissReason, decide, next_runs, upcoming};
pub use error::ScheduleError;
pub use reconcile::{NameTaken, StoreChange, check_new, reconcile};
pub use stored::{Decided, Outcome, StoredSchedule};

pub use crate::model::{AllowedHours, Cron};
