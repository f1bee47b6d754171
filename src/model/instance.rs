//! The life of an instance, with one transition function.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum InstanceState {
    /// In the configuration, but nobody has enabled it.
    Uninitialized,
    /// Enabled; it has not answered yet.
    Connecting,
    /// It answers.
    Connected,
    /// It does not answer at present.
    Disconnected,
    /// It answers, or its certificate speaks, but it must not be used: somebody has to act.
    Error,
}

/// What moves an instance from state to state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstanceEvent {
    /// Somebody enabled it, or its settings were read again.
    Enable,
    /// It answered as it should.
    Answered,
    /// It did not answer.
    Lost,
    /// Identity, certificate or protocol is not what it should be.
    Unfit,
}

impl InstanceState {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Uninitialized, Self::Connecting, Self::Connected, Self::Disconnected, Self::Error];

    /// The one transition function. What nobody has enabled is moved by nothing else.
    #[must_use]
    pub const fn next(self, event: InstanceEvent) -> Self {
        use InstanceEvent as E;
        match (self, event) {
            (Self::Uninitialized, E::Enable) => Self::Connecting,
            (Self::Uninitialized, _) => Self::Uninitialized,
            // What works is not disturbed by being enabled once more.
            (Self::Connected, E::Enable) | (_, E::Answered) => Self::Connected,
            (_, E::Enable) => Self::Connecting,
            (_, E::Unfit) => Self::Error,
            (_, E::Lost) => Self::Disconnected,
        }
    }

    /// The name in the API (GetKmsInstance, Status), JSON and on screens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uninitialized => "Uninitialized",
            Self::Connecting => "Connecting",
            Self::Connected => "Connected",
            Self::Disconnected => "Disconnected",
            Self::Error => "Error",
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_takes_every_event() {
        use InstanceEvent::*;
        use InstanceState as S;
        let rows = [
            (S::Uninitialized, [S::Connecting, S::Uninitialized, S::Uninitialized, S::Uninitialized]),
            (S::Connecting, [S::Connecting, S::Connected, S::Disconnected, S::Error]),
            (S::Connected, [S::Connected, S::Connected, S::Disconnected, S::Error]),
            (S::Disconnected, [S::Connecting, S::Connected, S::Disconnected, S::Error]),
            (S::Error, [S::Connecting, S::Connected, S::Disconnected, S::Error]),
        ];
        for (state, expected) in rows {
            for (event, next) in [Enable, Answered, Lost, Unfit].into_iter().zip(expected) {
                assert_eq!(state.next(event), next, "{state} on {event:?}");
            }
        }
        assert_eq!(rows.len(), InstanceState::ALL.len());
    }
}
