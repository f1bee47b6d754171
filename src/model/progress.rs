//! How far a job is as a whole: each phase has a share, those that visit every resource in proportion to what is done.

use super::JobState;

/// The whole of a job.
pub const WHOLE: u64 = 1000;

impl JobState {
    /// How far a job in this state is, in thousandths of the whole, when the phase is through with `done` of `total`
    /// resources.
    #[must_use]
    pub fn thousandths(self, done: u64, total: u64) -> u64 {
        let (before, share): (u64, u64) = match self {
            // What is rolled back has moved nothing.
            Self::Queued | Self::Preflight | Self::RollingBack | Self::Failed | Self::Canceled => (0, 0),
            Self::Closing | Self::Locked => (20, 0),
            Self::RotationOff => (40, 0),
            Self::Copying => (50, 350),
            Self::Verifying => (400, 200),
            Self::Activating => (600, 0),
            Self::CuttingOver => (620, 120),
            Self::Confirming => (740, 120),
            Self::Purging => (860, 120),
            Self::RotationOn | Self::Unlocking => (980, 0),
            Self::Complete | Self::Rehearsed => (WHOLE, 0),
        };
        let part = done.min(total).saturating_mul(share).checked_div(total).unwrap_or_default();
        part.saturating_add(before)
    }
}

/// Seconds left at the pace so far, once there is enough to tell: `covered` and `left` are thousandths.
#[must_use]
pub fn seconds_left(covered: u64, left: u64, spent_millis: u64) -> Option<u64> {
    if covered < 20 || spent_millis < 1000 {
        return None;
    }
    Some(left.saturating_mul(spent_millis).checked_div(covered)?.div_ceil(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back_from_phase_to_phase() {
        let mut last = 0;
        let back = [JobState::RollingBack, JobState::Failed, JobState::Canceled];
        for state in JobState::ALL.into_iter().filter(|state| !back.contains(state)) {
            for done in [0, 1, 5, 9] {
                let now = state.thousandths(done, 5);
                assert!(now >= last, "{state:?}");
                last = now;
            }
        }
        assert_eq!(last, WHOLE);
        assert_eq!(JobState::Copying.thousandths(0, 0), 50);
    }

    #[test]
    fn time_left_needs_something_to_go_by() {
        assert_eq!((seconds_left(10, 500, 5000), seconds_left(500, 500, 4000)), (None, Some(4)));
        assert_eq!(seconds_left(500, 500, 999), None);
    }
}
