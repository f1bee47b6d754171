//! What libraries say through the `log` facade (sled foremost), carried into our own log.

use log::{Level, LevelFilter, Log, Metadata, Record};

/// Carries warnings and errors over; what is less is of no use to an operator. A second call changes nothing.
pub(super) fn listen() {
    if log::set_logger(&Foreign).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}

struct Foreign;

impl Log for Foreign {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        match record.level() {
            Level::Error => tracing::error!("{}: {}", record.target(), record.args()),
            _ => tracing::warn!("{}: {}", record.target(), record.args()),
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::io::{Result, Write};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::observe::{LogFormat, LogLevel, logger};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_warning_of_a_library_becomes_a_line_and_its_chatter_does_not() {
        let lines = Lines::default();
        let (subscriber, _handle) = logger(LogFormat::Json, LogLevel::Info, Box::new(lines.clone()));
        tracing::subscriber::with_default(subscriber, || {
            for (level, text) in [(Level::Warn, "pages are odd"), (Level::Info, "just talking")] {
                Foreign.log(
                    &Record::builder().level(level).target("sled::pagecache").args(format_args!("{text}")).build(),
                );
            }
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "sled::pagecache: pages are odd");
        assert_eq!(line["level"], "WARN");
    }
}
