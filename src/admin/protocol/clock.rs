//! The wall clock.

use serde::{Deserialize, Serialize};

/// `clock confirm`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockShape {
    /// What the daemon's clock shows.
    pub now: String,
    /// The step that was confirmed; `null`: none stood.
    pub confirmed: Option<StepShape>,
}

/// A step of the wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepShape {
    /// What the clock would have shown.
    pub from: String,
    /// What it showed.
    pub to: String,
}
