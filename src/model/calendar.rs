//! Time and chance as parameters, so that everything which falls due can run in a simulation.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The two clocks: the wall clock says when something falls due, the monotonic one how long a lease has not moved.
pub trait Clock: Send + Sync + 'static {
    /// The instant by the wall clock.
    fn now(&self) -> Timestamp;
    /// Time since an arbitrary start that never goes back.
    fn monotonic(&self) -> Duration;
}

/// Randomness that is fit for keys.
pub trait Random: Send + Sync + 'static {
    /// Fills `bytes`. The system's generator does not fail once it has been seeded.
    fn fill(&self, bytes: &mut [u8]);
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The operating system's generator (through aws-lc-rs).
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        // aws-lc aborts the process itself when the operating system has no entropy; the result is never an error.
        if aws_lc_rs::rand::fill(bytes).is_err() {
            std::process::abort();
        }
    }
}

/// An instant as the KMS API writes it: UTC, whole seconds, `2026-12-01T02:00:00Z`.
#[must_use]
pub fn format_utc(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
