//! Schedules.

use serde::{Deserialize, Serialize};

use super::ResourcesShape;

/// A schedule's entry, with the keys of the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryShape {
    /// Unique name.
    pub name: String,
    /// Region.
    pub region: String,
    /// Accounts, in the order in which they run.
    pub accounts: Vec<String>,
    /// Target.
    pub instance: String,
    /// An absolute instant, or `null` for cron.
    #[serde(default)]
    pub at: Option<String>,
    /// A five-field pattern, or `null` for an instant.
    #[serde(default)]
    pub cron: Option<String>,
    /// The IANA zone of the pattern.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// What to move.
    pub resources: ResourcesShape,
    /// Such as `2h`, the default.
    #[serde(default)]
    pub window: Option<String>,
    /// `run` (default) or `skip`.
    #[serde(default)]
    pub if_missed: Option<String>,
    /// Such as `0s`, the default.
    #[serde(default)]
    pub soak: Option<String>,
    /// Stop and roll back after the proofs.
    #[serde(default)]
    pub rehearse: bool,
    /// The Migration Instructions were read.
    #[serde(default)]
    pub acknowledge: bool,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleShape {
    /// The entry's keys.
    #[serde(flatten)]
    pub entry: EntryShape,
    /// `config` or `cli`.
    pub source: String,
    /// `active`, `paused`, `canceled` or `done`.
    pub state: String,
    /// When it will run next.
    pub next_run: Option<String>,
    /// The newest job it started.
    pub last_job: Option<String>,
}

/// `schedule list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulesShape {
    /// By name.
    pub schedules: Vec<ScheduleShape>,
}

/// A run to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunShape {
    /// In the schedule's time zone (the daemon's, for an absolute instant).
    pub local: String,
    /// In UTC.
    pub utc: String,
}

/// `schedule next`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsShape {
    /// Soonest first.
    pub runs: Vec<RunShape>,
}
