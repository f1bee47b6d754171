//! What the configuration says of migrations.

use std::time::Duration;

use crate::model::AllowedHours;

/// The `[migration]` table, and how long a lease lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Batches copied or proved at the same time.
    pub workers: usize,
    /// Resources a second, 0 = unlimited.
    pub max_rate: u32,
    /// A migration that somebody asks for starts only after somebody else's approval.
    pub approval: bool,
    /// When jobs of schedules may start, also those that had to wait for their turn.
    pub allowed_hours: AllowedHours,
    /// A lease whose renewal has not moved for this long on the watcher's monotonic clock may be taken over.
    pub lease: Duration,
    /// The store's engine excludes a second process, so jobs of an earlier process are taken over at once.
    pub exclusive: bool,
    /// The first pause before a step is tried again because the target cannot be reached; it doubles up to 5 s.
    pub first_pause: Duration,
    /// A migration into an instance that expires within this time carries a warning; within its window it is refused,
    /// unless somebody renews it.
    pub expiry_margin: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 8,
            max_rate: 0,
            approval: false,
            allowed_hours: AllowedHours::default(),
            exclusive: true,
            lease: Duration::from_secs(10),
            first_pause: Duration::from_millis(200),
            expiry_margin: Duration::from_secs(30 * 24 * 3600),
        }
    }
}
