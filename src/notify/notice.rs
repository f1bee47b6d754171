//! What is told: an event, under an ID by which it is told once.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::model::{Job, JobId, JobState};
use crate::observe::{Event, Fields, Severity, remedy, tap};
use crate::store::Record;

/// An event as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notice {
    /// The same for the same happening, also after a restart.
    pub(super) id: String,
    /// Name of the event.
    pub(super) event: String,
    /// `info`, `warning` or `error`.
    pub(super) severity: String,
    /// When it happened.
    pub(super) at: Timestamp,
    /// In words.
    pub(super) message: String,
    /// What to do.
    pub(super) remedy: Option<String>,
    /// The fields that the log line has.
    pub(super) fields: Map<String, Value>,
}

impl Record for Notice {
    const KIND: &'static str = "notification";
    const SCHEMA: u16 = 1;
}

impl Notice {
    pub(super) fn new(told: &tap::Told, at: Timestamp) -> Self {
        let event = told.event;
        let severity = match event.severity() {
            Severity::Info => "info",
            Severity::Warn => "warning",
            Severity::Error => "error",
        };
        Self {
            id: id(told, at),
            event: event.as_str().to_owned(),
            severity: severity.to_owned(),
            at,
            message: told.message.chars().take(LONGEST).collect(),
            remedy: remedy(event).map(str::to_owned),
            fields: fields(&told.fields),
        }
    }

    /// How a job ended, as its event tells it.
    pub(super) fn of_end(job: &Job) -> Option<Self> {
        let fields = Fields::of_job(job)
            .phase(job.state)
            .progress((job.keys_done, job.keys_total), (job.secrets_done, job.secrets_total));
        let (event, message) = match job.state {
            JobState::Complete => (Event::MigrationComplete, "Migration Complete"),
            JobState::Canceled => (Event::MigrationCanceled, "migration canceled"),
            JobState::Rehearsed => (Event::MigrationRehearsed, "rehearsal held; everything is as before"),
            JobState::Failed => (
                Event::MigrationFailed,
                job.failure.as_ref().map_or("migration failed", |failure| failure.message.as_str()),
            ),
            _ => return None,
        };
        let code = job.failure.as_ref().map(|failure| failure.code.clone());
        let told = tap::Told { event, fields: Fields { code, ..fields }, message: message.to_owned() };
        Some(Self::new(&told, job.finished_at?))
    }

    /// The ID under which the start of a job is told.
    pub(super) fn start_id(job: &JobId) -> String {
        digest(&[Event::MigrationStarted.as_str(), job.as_str()])
    }

    /// Which event it is. One of a release that knew more is told as what it is closest to.
    pub(super) fn event(&self) -> Event {
        let known = Event::ALL.iter().copied().find(|event| event.as_str() == self.event);
        known.unwrap_or(Event::DaemonStarted)
    }
}

const LONGEST: usize = 4000;

/// A job does each thing once. What has no job is the same when it says the same: texts name the instant that they are
/// about. What may come again in the same words is told once a day.
fn id(told: &tap::Told, at: Timestamp) -> String {
    let fields = &told.fields;
    let event = told.event.as_str();
    if let Some(job) = &fields.job {
        return match told.event {
            // As often as it happens.
            Event::MigrationResumed | Event::InstanceUnreachable => digest(&[event, job, &told.message, &day(at)]),
            _ => digest(&[event, job]),
        };
    }
    let about = [&fields.schedule, &fields.region, &fields.account, &fields.instance, &fields.resource, &fields.code];
    let mut parts = vec![event, told.message.as_str()];
    parts.extend(about.into_iter().map(|part| part.as_deref().unwrap_or_default()));
    let again = match told.event {
        Event::ScheduleUpcoming
        | Event::ScheduleMissed
        | Event::ScheduleSkipped
        | Event::InstanceExpiring
        | Event::CertificateExpiring => String::new(),
        Event::DaemonStarted | Event::DaemonStopping | Event::ConfigReloaded => at.to_string(),
        _ => day(at),
    };
    parts.push(&again);
    digest(&parts)
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// Each part with its length, so that no two lists of parts read the same.
fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    hex::encode(digest.first_chunk::<16>().copied().unwrap_or_default())
}

/// The fields that are set, as in the log.
fn fields(fields: &Fields) -> Map<String, Value> {
    let texts = [
        ("job", &fields.job),
        ("schedule", &fields.schedule),
        ("region", &fields.region),
        ("account", &fields.account),
        ("instance", &fields.instance),
        ("resource", &fields.resource),
        ("phase", &fields.phase),
        ("code", &fields.code),
    ];
    let numbers = [
        ("keys_done", fields.keys_done),
        ("keys_total", fields.keys_total),
        ("secrets_done", fields.secrets_done),
        ("secrets_total", fields.secrets_total),
        ("percent", fields.percent),
        ("eta_seconds", fields.eta_seconds),
    ];
    let texts = texts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value.as_deref()?))));
    let numbers = numbers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))));
    texts.chain(numbers).collect()
}
