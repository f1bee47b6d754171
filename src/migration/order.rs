//! What is asked for: by a schedule or by hand.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::{AccountId, InstanceId, Method, RegionId, Selection};

/// An order to migrate; several accounts run one after the other as one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The region.
    pub region: RegionId,
    /// The accounts, in the order in which they run; not empty.
    pub accounts: Vec<AccountId>,
    /// The target.
    pub instance: InstanceId,
    /// What to move.
    pub selection: Selection,
    /// Stop and roll back after the proofs.
    pub rehearsal: bool,
    /// The Migration Instructions were read.
    pub acknowledged: bool,
    /// By schedule or by hand.
    pub method: Method,
    /// The schedule.
    pub schedule: Option<String>,
    /// The due instant: the window runs from it.
    pub scheduled_for: Timestamp,
    /// How long it may take until the first purge.
    pub window: Duration,
    /// Wait when another job holds the scope or the instance; otherwise refuse with `ScopeLocked`.
    pub queue: bool,
    /// Serve from the instance this long before the source copies are destroyed.
    pub soak: Duration,
}

impl Order {
    /// The window of a manual migration (contract §1).
    pub const MANUAL_WINDOW: Duration = Duration::from_secs(2 * 3600);
}
