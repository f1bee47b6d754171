//! Where log lines come from and go to: tracing in, one writer out, a level that can change while the daemon runs.

use std::io::Write;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use thiserror::Error;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::reload;

use super::line::{LogFormat, render};

/// The least severe level that is written. Libraries write from WARN on, whatever this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// Only errors.
    Error,
    /// And warnings.
    Warn,
    /// And everything else that operators look at: all events.
    #[default]
    Info,
    /// And what helps to find a fault.
    Debug,
    /// And everything.
    Trace,
}

impl LogLevel {
    /// The names in the configuration file.
    pub const NAMES: [&'static str; 5] = ["error", "warn", "info", "debug", "trace"];

    /// The name in the configuration file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    const fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

impl FromStr for LogLevel {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];
        all.into_iter().find(|level| level.as_str() == text).ok_or(())
    }
}

/// Logging could not be set up or changed.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// This process has a logger already.
    #[error("this process has a logger already")]
    Twice,
    /// The logger is gone.
    #[error("the logger is gone")]
    Gone,
}

/// Changes the level of a running logger.
#[derive(Debug, Clone)]
pub struct LogHandle {
    filter: reload::Handle<Targets, Registry>,
}

impl LogHandle {
    /// Sets the level from now on.
    ///
    /// # Errors
    /// When the logger is gone.
    pub fn set_level(&self, level: LogLevel) -> Result<(), LoggingError> {
        self.filter.reload(targets(level)).map_err(|_| LoggingError::Gone)
    }
}

/// Logs to standard error from now on, for the whole process.
///
/// # Errors
/// When the process has a logger already.
pub fn install(format: LogFormat, level: LogLevel) -> Result<LogHandle, LoggingError> {
    let (subscriber, handle) = logger(format, level, Box::new(std::io::stderr()));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::Twice)?;
    super::foreign::listen();
    Ok(handle)
}

/// A logger with a writer of its own. Each line is handed to the writer in one piece; what the writer refuses is lost,
/// since a daemon must not stop for want of a reader of its log.
#[must_use]
pub fn logger(
    format: LogFormat,
    level: LogLevel,
    writer: Box<dyn Write + Send>,
) -> (impl Subscriber + Send + Sync + 'static, LogHandle) {
    let (filter, handle) = reload::Layer::new(targets(level));
    let lines = Lines { format, writer: Arc::new(Mutex::new(writer)) };
    (tracing_subscriber::registry().with(filter).with(lines), LogHandle { filter: handle })
}

struct Lines {
    format: LogFormat,
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let line = render(self.format, Timestamp::now(), event);
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writer.write_all(line.as_bytes()).and_then(|()| writer.flush());
    }
}

fn targets(level: LogLevel) -> Targets {
    Targets::new()
        .with_default(level.filter().min(LevelFilter::WARN))
        .with_target(env!("CARGO_PKG_NAME"), level.filter())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{JobState, ProblemCode};
    use crate::observe::{Event, Fields, Severity, emit};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn lines(format: LogFormat, level: LogLevel, act: impl FnOnce(&LogHandle)) -> Vec<String> {
        let kept = Kept::default();
        let (subscriber, handle) = logger(format, level, Box::new(kept.clone()));
        tracing::subscriber::with_default(subscriber, || act(&handle));
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(str::to_owned).collect()
    }

    fn sample() -> Fields {
        Fields::new()
            .region(&"cn-hangzhou".parse().unwrap())
            .phase(JobState::CuttingOver)
            .progress((1, 2), (3, 4))
            .estimate(50, None)
            .code(ProblemCode::Held)
    }

    #[test]
    fn json_has_exactly_the_fields_that_are_set() {
        let out = lines(LogFormat::Json, LogLevel::Info, |_| {
            emit(Event::MigrationProgress, &sample(), "half of it");
            emit(Event::DaemonStarted, &Fields::new(), "up\n{\"event\":\"x\"}");
        });
        let mut first: Value = serde_json::from_str(&out[0]).unwrap();
        let timestamp = first.as_object_mut().unwrap().remove("timestamp").unwrap();
        let timestamp = timestamp.as_str().unwrap();
        assert!(timestamp.ends_with('Z') && timestamp.len() == 24, "{timestamp}");
        assert!(timestamp.parse::<Timestamp>().is_ok());
        assert_eq!(
            first,
            json!({
                "level": "INFO", "message": "half of it", "event": "migration.progress", "schema": 1,
                "region": "cn-hangzhou", "phase": "cutting_over", "keys_done": 1, "keys_total": 2,
                "secrets_done": 3, "secrets_total": 4, "percent": 50, "code": "Held",
            })
        );
        let second: Value = serde_json::from_str(&out[1]).unwrap();
        assert_eq!(second["event"], "daemon.started");
        assert_eq!((out.len(), second.as_object().unwrap().len()), (2, 5));
    }

    #[test]
    fn every_event_has_its_level() {
        let out = lines(LogFormat::Json, LogLevel::Info, |_| {
            for event in Event::ALL {
                emit(*event, &Fields::new(), "x");
            }
        });
        assert_eq!(out.len(), Event::ALL.len());
        for (line, event) in out.iter().zip(Event::ALL) {
            let line: Value = serde_json::from_str(line).unwrap();
            let level = match event.severity() {
                Severity::Info => "INFO",
                Severity::Warn => "WARN",
                Severity::Error => "ERROR",
            };
            assert_eq!((&line["event"], &line["level"]), (&json!(event.as_str()), &json!(level)));
        }
    }

    #[test]
    fn libraries_write_from_warn_on_and_have_no_event() {
        let out = lines(LogFormat::Json, LogLevel::Trace, |_| {
            tracing::info!(target: "hyper::proto", "chatter");
            tracing::warn!(target: "hyper::proto", event = "lock.acquired", peer = 7, "trouble");
            tracing::debug!("own detail");
        });
        let out: Vec<Value> = out.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(out.len(), 2);
        assert_eq!(out[0]["message"], "trouble event=lock.acquired peer=7");
        assert_eq!(out[0].get("event"), None);
        assert_eq!(out[1]["message"], "own detail");
    }

    #[test]
    fn the_level_changes_while_it_runs() {
        let out = lines(LogFormat::Text, LogLevel::Error, |handle| {
            emit(Event::LockAcquired, &Fields::new(), "one");
            tracing::warn!(target: "hyper::proto", "two");
            handle.set_level(LogLevel::Info).unwrap();
            emit(Event::LockAcquired, &Fields::new(), "three");
            tracing::warn!(target: "hyper::proto", "four");
            handle.set_level(LogLevel::Warn).unwrap();
            emit(Event::LockAcquired, &Fields::new(), "five");
        });
        assert_eq!(out.len(), 2, "{out:?}");
        assert!(out[0].ends_with("INFO  lock.acquired three") && out[1].ends_with("WARN  four"), "{out:?}");
    }

    #[test]
    fn journald_lines_have_a_priority_and_never_break() {
        let out = lines(LogFormat::Journald, LogLevel::Info, |_| {
            let fields = Fields { resource: Some("a b\n<0>c".to_owned()), ..sample() };
            emit(Event::ResourceLeftBehind, &fields, "it\r\n<0>stays \u{1b}[2J");
            emit(Event::MigrationFailed, &Fields::new(), "over");
            emit(Event::DaemonStarted, &Fields::new(), "up");
        });
        assert_eq!(out.len(), 3, "{out:?}");
        assert!(out[0].starts_with(r"<4>resource.left_behind it\r\n<0>stays \u{1b}[2J "), "{}", out[0]);
        assert!(out[0].contains(r#" resource="a b\n<0>c""#) && out[0].contains(" code=Held"), "{}", out[0]);
        assert_eq!(out[1..], ["<3>migration.failed over", "<6>daemon.started up"]);
    }
}
