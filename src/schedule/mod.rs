//! What is due: pure decisions over stored state. The clock that wakes them and the store are handed in by the caller.
//!
//! [`decide`] says what to do about one schedule now; the caller does it, notes it with [`StoredSchedule::note`] in the
//! transaction that makes the job, and asks again until the answer is [`Decision::Wait`] or [`Decision::Nothing`].

mod digest;
mod due;
mod reconcile;
mod stored;

pub use digest::digest;
pub use due::{Circumstances, Decision, Downtime, MissReason, decide, next_runs, upcoming};
pub use reconcile::{NameTaken, StoreChange, check_new, reconcile};
pub use stored::{Decided, Outcome, StoredSchedule};

pub use crate::model::{AllowedHours, Cron};
