//! A wall clock that was set forward must not destroy anything: what falls due because of it, deletions and expiries,
//! waits until somebody confirms that the clock is right.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{KmsError, Service};
use crate::catalogue::{CatalogueError, ClockRecord, ClockStep};
use crate::observe::{Event, Fields, emit};

/// A step of more while the daemon runs wants to be confirmed.
pub const STEP_WHILE_RUNNING: SignedDuration = SignedDuration::from_mins(5);
/// More time than this between two daemons may be a clock that is wrong.
pub const STEP_ACROSS_RESTART: SignedDuration = SignedDuration::from_hours(24 * 30);
/// The look is written down at most this often.
const WRITE_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// What a look at the clock allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// The wall clock.
    pub now: Timestamp,
    /// What falls due later than this is not destroyed yet.
    pub destroy_until: Timestamp,
}

/// Watches the clock of one process. One look at a time.
#[derive(Debug, Default)]
pub struct ClockWatch {
    last: Option<(Timestamp, Duration)>,
}

impl ClockWatch {
    /// Looks at the clock, wall and monotonic, and remembers durably what was seen before it answers.
    ///
    /// # Errors
    /// When the control store cannot be used: then nothing may be destroyed.
    pub async fn look(&mut self, service: &Service, wall: Timestamp, monotonic: Duration) -> Result<Look, KmsError> {
        loop {
            let before = service.catalogue.clock().await?;
            let step = match before.as_ref().and_then(|record| record.step) {
                Some(standing) => Some(standing),
                None => self.step(before.as_ref().map(|record| record.seen), wall, monotonic),
            };
            let stale = before
                .as_ref()
                .is_none_or(|record| record.step != step || wall.duration_since(record.seen).abs() >= WRITE_EVERY);
            if stale {
                let told = before.as_ref().and_then(|record| record.step) == step;
                match service.catalogue.put_clock(before, ClockRecord { seen: wall, step }).await {
                    Ok(()) => {}
                    // Somebody confirmed in the same moment.
                    Err(CatalogueError::Conflict) => continue,
                    Err(error) => return Err(error.into()),
                }
                if let Some(step) = step.filter(|_| !told) {
                    tell(&step);
                }
            }
            self.last = Some((wall, monotonic));
            return Ok(Look { now: wall, destroy_until: step.map_or(wall, |step| step.from.min(wall)) });
        }
    }

    fn step(&self, seen: Option<Timestamp>, wall: Timestamp, monotonic: Duration) -> Option<ClockStep> {
        let (expected, most) = match (self.last, seen) {
            (Some((last, then)), _) => {
                let passed = SignedDuration::try_from(monotonic.saturating_sub(then)).unwrap_or(SignedDuration::MAX);
                (last.saturating_add(passed).unwrap_or(Timestamp::MAX), STEP_WHILE_RUNNING)
            }
            (None, Some(seen)) => (seen, STEP_ACROSS_RESTART),
            (None, None) => return None,
        };
        (wall.duration_since(expected) > most).then_some(ClockStep { from: expected, to: wall })
    }
}

impl Service {
    /// Somebody says that the clock is right: what waited because of a step may be carried out. Answers the step, if
    /// there was one.
    ///
    /// # Errors
    /// When the control store cannot be used.
    pub async fn confirm_clock(&self) -> Result<Option<ClockStep>, KmsError> {
        loop {
            let Some(before) = self.catalogue.clock().await? else { return Ok(None) };
            let Some(step) = before.step else { return Ok(None) };
            let record = ClockRecord { seen: self.clock.now(), step: None };
            match self.catalogue.put_clock(Some(before), record).await {
                Ok(()) => return Ok(Some(step)),
                Err(CatalogueError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn tell(step: &ClockStep) {
    let text = format!(
        "the wall clock shows {} where {} was expected: no deletion or expiry that falls due after that is carried out \
         before `keyferry clock confirm`",
        step.to, step.from
    );
    emit(Event::ClockStepped, &Fields::new(), &text);
}
