//! Where log lines come from and go to: tracing in, one writer out, a level that can change while the daemon runs.

use std::io::Write;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use thiserror::Error;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;

use super::journal::{self, Journal};
use super::limit::Limiter;
use super::line::{Line, LogFormat};

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
#[derive(Clone)]
pub struct LogHandle {
    filter: reload::Handle<Targets, Registry>,
    sink: Arc<Mutex<Sink>>,
}

impl LogHandle {
    /// Sets the level from now on.
    ///
    /// # Errors
    /// When the logger is gone.
    pub fn set_level(&self, level: LogLevel) -> Result<(), LoggingError> {
        self.filter.reload(targets(level)).map_err(|_| LoggingError::Gone)
    }

    /// Writes the counts of lines that were left out: the last thing a process does with its log.
    pub fn flush(&self) {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner).summarise(true);
    }
}

/// Logs from now on, for the whole process: to standard error, or to the journal where the format says so and it listens.
///
/// # Errors
/// When the process has a logger already.
pub fn install(format: LogFormat, level: LogLevel) -> Result<LogHandle, LoggingError> {
    let writer = Box::new(std::io::stderr());
    let journal = (format == LogFormat::Journald).then(|| Journal::new(Path::new(journal::SOCKET)).ok()).flatten();
    let (subscriber, handle) = build(format, level, writer, journal);
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
    build(format, level, writer, None)
}

/// A logger to the journal at `socket`; what that does not take goes to the writer.
#[cfg(test)]
pub(super) fn journal_logger(
    level: LogLevel,
    socket: &Path,
    writer: Box<dyn Write + Send>,
) -> (impl Subscriber + Send + Sync + 'static, LogHandle) {
    build(LogFormat::Journald, level, writer, Journal::new(socket).ok())
}

/// All that is logged inside belongs to this request: its ID stands in each line.
#[must_use]
pub fn request_span(request_id: &str) -> tracing::Span {
    // As severe as can be, so that no log level takes it from the lines that are written.
    tracing::error_span!(target: REQUEST_TARGET, "request", request_id)
}

const REQUEST_TARGET: &str = concat!(env!("CARGO_PKG_NAME"), "::request");

fn build(
    format: LogFormat,
    level: LogLevel,
    writer: Box<dyn Write + Send>,
    journal: Option<Journal>,
) -> (impl Subscriber + Send + Sync + 'static, LogHandle) {
    let (filter, handle) = reload::Layer::new(targets(level));
    let sink = Arc::new(Mutex::new(Sink { format, writer, journal, limiter: Limiter::default() }));
    let lines = Lines { sink: Arc::clone(&sink) };
    (tracing_subscriber::registry().with(filter).with(lines), LogHandle { filter: handle, sink })
}

struct Lines {
    sink: Arc<Mutex<Sink>>,
}

/// The request that a span stands for.
struct RequestId(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().target() != REQUEST_TARGET {
            return;
        }
        let mut found = RequestId(String::new());
        attributes.record(&mut found);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(found);
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let request = context.event_scope(event).into_iter().flatten().find_map(|span| {
            let extensions = span.extensions();
            extensions.get::<RequestId>().map(|id| id.0.clone())
        });
        let line = Line::of(event, request.as_deref());
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        sink.summarise(false);
        if sink.limiter.admit(event.metadata().callsite(), &line, Instant::now()) {
            sink.write(&line);
        }
    }
}

impl Visit for RequestId {
    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "request_id" {
            value.clone_into(&mut self.0);
        }
    }
}

struct Sink {
    format: LogFormat,
    writer: Box<dyn Write + Send>,
    journal: Option<Journal>,
    limiter: Limiter,
}

impl Sink {
    fn write(&mut self, line: &Line) {
        if self.journal.as_ref().is_some_and(|journal| journal.send(line).is_ok()) {
            return;
        }
        let text = line.render(self.format, Timestamp::now());
        let _ = self.writer.write_all(text.as_bytes()).and_then(|()| self.writer.flush());
    }

    fn summarise(&mut self, all: bool) {
        for line in self.limiter.summaries(Instant::now(), all) {
            self.write(&line);
        }
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
    use std::sync::LazyLock;

    use serde_json::{Value, json};
    use tracing::Dispatch;
    use tracing::subscriber::NoSubscriber;

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

    /// A logger besides those of tests. While `tracing` knows only one, a change of its level goes by what the thread
    /// that changes it wants alone, and a test that begins at that moment on another thread would lose lines.
    static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));

    fn lines(format: LogFormat, level: LogLevel, act: impl FnOnce(&LogHandle)) -> Vec<String> {
        LazyLock::force(&ANOTHER);
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

    #[test]
    fn every_line_of_a_request_names_it() {
        let out = lines(LogFormat::Json, LogLevel::Warn, |_| {
            request_span("5ca1ab1e").in_scope(|| {
                emit(Event::MigrationFailed, &Fields::new(), "inside");
                tracing::warn!(job = "mig-1", "a plain line");
                tracing::warn!(target: "hyper::proto", "of a library");
            });
            tracing::warn!("outside");
        });
        let out: Vec<Value> = out.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(out.len(), 4);
        assert!(out[..3].iter().all(|line| line["request_id"] == "5ca1ab1e"), "{out:?}");
        assert_eq!((&out[1]["job"], out[3].get("request_id")), (&json!("mig-1"), None));
    }

    #[test]
    fn what_repeats_is_counted_and_nothing_of_a_job_is_left_out() {
        let out = lines(LogFormat::Json, LogLevel::Info, |handle| {
            // Not so many that tests which listen to events lose some of their own.
            for n in 0..100 {
                tracing::warn!("trouble {n}");
                emit(Event::RequestDenied, &Fields::new().code("X"), "a request was denied");
                // Events of a job, its plain warnings, and single events in any number.
                let job = Fields { job: Some("mig-1".to_owned()), ..Fields::new() };
                emit(Event::LockAcquired, &job, "locked");
                emit(Event::OperationRefused, &job, "refused");
                tracing::warn!(job = "mig-1", "a step is tried again");
                emit(Event::ScheduleRegistered, &Fields::new(), "registered");
            }
            handle.flush();
            handle.flush();
        });
        let out: Vec<Value> = out.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let count = |wanted: &dyn Fn(&Value) -> bool| out.iter().filter(|line| wanted(line)).count();
        let burst = usize::try_from(super::super::limit::BURST).unwrap();
        assert_eq!(count(&|line| line["message"].as_str().is_some_and(|m| m.starts_with("trouble"))), burst);
        assert_eq!(count(&|line| line["event"] == "request.denied"), burst);
        assert_eq!(count(&|line| line["event"] == "operation.refused"), burst);
        assert_eq!(count(&|line| line["job"] == "mig-1"), 200 + burst);
        assert_eq!(count(&|line| line["event"] == "schedule.registered"), 100);
        let told: Vec<&str> = out
            .iter()
            .filter(|line| line["event"] == "log.suppressed")
            .map(|line| line["message"].as_str().unwrap())
            .collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told.iter().all(|text| text.contains("came 80 more times")), "{told:?}");
        assert!(told.iter().any(|text| text.ends_with("the last one: trouble 99")), "{told:?}");
        assert!(told.iter().any(|text| text.starts_with("request.denied came")), "{told:?}");
    }
}
