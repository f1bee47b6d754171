//! Schedules: when, what, where to.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AccountId, InstanceId, RegionId, Selection};

/// When a schedule fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Once, at an absolute instant.
    At(Timestamp),
    /// Repeatedly: a five-field cron pattern read in an IANA time zone.
    Cron {
        /// The pattern, such as `0 2 * * Sun`.
        pattern: String,
        /// The zone, such as `Asia/Shanghai`.
        time_zone: String,
    },
}

/// What to do about a run that was missed because the daemon was down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum IfMissed {
    /// Run it while its window is open.
    #[default]
    Run,
    /// Skip it.
    Skip,
}

/// Where a schedule was made; it is removed where it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleSource {
    /// The configuration file.
    Config,
    /// `keyferry schedule add`.
    Cli,
}

/// State of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleState {
    /// Fires when due.
    Active,
    /// Held back by an operator.
    Paused,
    /// Will not run until its text changes.
    Canceled,
    /// Its only instant is behind it.
    Done,
}

/// A schedule as the operator wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleEntry {
    /// Unique name.
    pub name: String,
    /// Region.
    pub region: RegionId,
    /// One account, or several that run one after the other as one group.
    pub accounts: Vec<AccountId>,
    /// Target.
    pub instance: InstanceId,
    /// When.
    pub when: When,
    /// What.
    pub resources: Selection,
    /// From the scheduled instant; a job before its first purge is rolled back when it ends. Default 2 h.
    pub window: Duration,
    /// Default run.
    pub if_missed: IfMissed,
    /// Serve from the instance this long before the source copies are destroyed. Default 0; shorter than the window.
    pub soak: Duration,
    /// Stop and roll back after the proofs. Default false.
    pub rehearse: bool,
    /// The Migration Instructions were read. Default false: a warning.
    pub acknowledge: bool,
}

impl ScheduleEntry {
    /// The default window.
    pub const DEFAULT_WINDOW: Duration = Duration::from_secs(2 * 3600);
}
