//! What somebody may do over the admin socket.

use std::fmt;
use std::str::FromStr;

/// A right over the admin socket; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AdminRight {
    /// See what there is and what happens.
    View,
    /// Ask what a migration would do, and hold one back.
    Plan,
    /// Migrate, schedule, cancel, approve.
    Migrate,
    /// Everything else: keys, backups, shares, credentials.
    Administer,
}

impl AdminRight {
    /// Every right, from the least.
    pub const ALL: [Self; 4] = [Self::View, Self::Plan, Self::Migrate, Self::Administer];
    /// The names in the configuration file.
    pub const NAMES: [&'static str; 4] = ["view", "plan", "migrate", "administer"];

    /// The name in the configuration file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Plan => "plan",
            Self::Migrate => "migrate",
            Self::Administer => "administer",
        }
    }
}

impl fmt::Display for AdminRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AdminRight {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|right| right.as_str() == text).ok_or(())
    }
}
