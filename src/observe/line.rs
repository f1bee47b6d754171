//! One log line, in each format. A line never breaks and never carries control characters, whatever its message holds.

use std::fmt::Write as _;
use std::str::FromStr;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::Level;
use tracing::field::{Field, Visit};

use super::Event;
use super::events::EVENT_TARGET;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One JSON object a line (contract §4).
    #[default]
    Json,
    /// For people: `TIMESTAMP LEVEL EVENT MESSAGE FIELD=VALUE…`.
    Text,
    /// To the journal by its own protocol; where there is none, for journald reading standard error: as text, without the
    /// timestamp, with the priority in front (`<6>`; sd-daemon(3)).
    Journald,
}

impl LogFormat {
    /// The names in the configuration file.
    pub const NAMES: [&'static str; 3] = ["json", "text", "journald"];

    /// The name in the configuration file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Journald => "journald",
        }
    }
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Json, Self::Text, Self::Journald].into_iter().find(|f| f.as_str() == text).ok_or(())
    }
}

/// What a line says, before it has a form.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) level: Level,
    pub(super) message: String,
    /// Only those that the schema knows.
    pub(super) fields: Map<String, Value>,
    /// The module it comes from.
    pub(super) target: &'static str,
}

/// Fields of the schema that a line may have which is no event: they tell what it belongs to.
const BELONGING: [&str; 6] = ["job", "schedule", "region", "account", "instance", "request_id"];

impl Line {
    /// Of something that was traced; `request`: while which request.
    pub(super) fn of(event: &tracing::Event<'_>, request: Option<&str>) -> Self {
        let meta = event.metadata();
        let mut line = Collector {
            is_event: meta.target() == EVENT_TARGET,
            is_ours: meta.target().starts_with(env!("CARGO_PKG_NAME")),
            ..Collector::default()
        };
        event.record(&mut line);
        if let Some(request) = request {
            line.fields.insert("request_id".to_owned(), Value::from(request));
        }
        // Fields of libraries have no place in the schema: they go into the message.
        let message = format!("{}{}", line.message, line.extra);
        Self { level: *meta.level(), message, fields: line.fields, target: meta.target() }
    }

    /// Of an event that does not come through tracing.
    pub(super) fn of_event(event: Event, level: Level, message: String) -> Self {
        let fields = Map::from_iter([("event".to_owned(), Value::from(event.as_str()))]);
        Self { level, message, fields, target: EVENT_TARGET }
    }

    /// The event it is, if it is one.
    pub(super) fn event(&self) -> Option<Event> {
        let name = self.fields.get("event")?.as_str()?;
        Event::ALL.iter().copied().find(|event| event.as_str() == name)
    }

    /// The line with its end.
    pub(super) fn render(&self, format: LogFormat, now: Timestamp) -> String {
        let timestamp = || now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        match format {
            LogFormat::Json => json(&timestamp(), self),
            LogFormat::Text => text(&format!("{} {:<5} ", timestamp(), self.level), &self.message, &self.fields),
            LogFormat::Journald => text(&format!("<{}>", priority(self.level)), &self.message, &self.fields),
        }
    }
}

#[derive(Default)]
struct Collector {
    is_event: bool,
    is_ours: bool,
    message: String,
    extra: String,
    fields: Map<String, Value>,
}

impl Collector {
    fn take(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        } else if self.is_event || (self.is_ours && BELONGING.contains(&field.name())) {
            self.fields.insert(field.name().to_owned(), value);
        } else {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let _ = write!(self.extra, " {}={text}", field.name());
        }
    }
}

impl Visit for Collector {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.take(field, Value::from(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, Value::from(value));
    }
}

fn json(timestamp: &str, line: &Line) -> String {
    let mut object = Map::new();
    object.insert("timestamp".to_owned(), Value::from(timestamp));
    object.insert("level".to_owned(), Value::from(line.level.as_str()));
    object.insert("message".to_owned(), Value::from(line.message.as_str()));
    object.insert("schema".to_owned(), Value::from(1));
    object.extend(line.fields.clone());
    format!("{}\n", Value::Object(object))
}

fn text(head: &str, message: &str, fields: &Map<String, Value>) -> String {
    let mut line = head.to_owned();
    if let Some(event) = fields.get("event").and_then(Value::as_str) {
        line.push_str(event);
        line.push(' ');
    }
    push_plain(&mut line, message);
    for (name, value) in fields.iter().filter(|(name, _)| *name != "event") {
        let value = match value.as_str() {
            Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"') => {
                text.to_owned()
            }
            _ => value.to_string(),
        };
        line.push(' ');
        line.push_str(name);
        line.push('=');
        push_plain(&mut line, &value);
    }
    line.push('\n');
    line
}

/// A message may hold what a client sent: a line break in it must not begin a line of its own.
fn push_plain(line: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
}

/// Syslog priorities.
pub(super) fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}
