//! What the daemon tells the world while it runs: log lines, the catalogue of events, figures.

mod catalogue;
mod events;
pub mod failpoint;
mod foreign;
pub mod heartbeat;
mod journal;
mod limit;
mod line;
mod logging;
pub mod metrics;
pub mod tap;

pub use catalogue::remedy;
pub use events::{Event, Fields, Severity, emit};
pub use line::LogFormat;
pub use logging::{LogHandle, LogLevel, LoggingError, install, logger, request_span};
