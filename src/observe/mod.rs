//! What the daemon tells the world while it runs: log lines and the catalogue of events.

mod events;
mod foreign;
mod line;
mod logging;

pub use events::{Event, Fields, Severity, emit};
pub use line::LogFormat;
pub use logging::{LogHandle, LogLevel, LoggingError, install, logger};
