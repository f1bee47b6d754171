//! The catalogue of events: names and levels are an interface (contract §4).

use std::fmt::Display;

use sha2::{Digest, Sha256};

use super::tap;
use crate::model::{AccountId, InstanceId, Job, JobId, JobState, RegionId, ResourceId, Scope};

/// Level of an event; all are INFO or higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// All is well.
    Info,
    /// Somebody should look, at leisure.
    Warn,
    /// Something failed or stays wrong until somebody acts.
    Error,
}

macro_rules! events {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal $severity:ident,)*) => {
        /// Something worth a log line that scripts may wait for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Event { $($(#[doc = $doc])* $name,)* }

        impl Event {
            /// Every event.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in the field `event`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The level, always the same for an event.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What it says, in a sentence.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc,)*).trim_start(),)* }
            }
        }
    };
}

events! {
    /// Listeners and admin socket accept, recovery has begun.
    DaemonStarted = "daemon.started" Info,
    /// The daemon finishes its present step and leaves.
    DaemonStopping = "daemon.stopping" Info,
    /// A changed configuration is in force.
    ConfigReloaded = "config.reloaded" Info,
    /// A changed configuration is not in force.
    ConfigRejected = "config.rejected" Error,
    /// A root key was generated: it wants a backup.
    SealGenerated = "seal.generated" Warn,
    /// A root key was exchanged: everything is sealed under the new one.
    SealRotated = "seal.rotated" Info,
    /// The store works with a fault, such as a damaged snapshot that was set aside.
    StoreDegraded = "store.degraded" Error,
    /// A scheduled backup was written and read back.
    BackupDone = "backup.done" Info,
    /// A scheduled backup could not be taken.
    BackupFailed = "backup.failed" Error,
    /// The wall clock jumped.
    ClockStepped = "clock.stepped" Warn,
    /// A schedule is known for the first time, or with a changed entry.
    ScheduleRegistered = "schedule.registered" Info,
    /// A run comes soon.
    ScheduleUpcoming = "schedule.upcoming" Info,
    /// A run is due, its job is made.
    ScheduleFired = "schedule.fired" Info,
    /// A run did not happen in its window.
    ScheduleMissed = "schedule.missed" Warn,
    /// A run passed while its schedule was paused.
    ScheduleSkipped = "schedule.skipped" Info,
    /// A job waits for its turn.
    MigrationQueued = "migration.queued" Info,
    /// A job waits for somebody's approval.
    MigrationAwaitingApproval = "migration.awaiting_approval" Warn,
    /// A job was approved.
    MigrationApproved = "migration.approved" Info,
    /// A job left the queue.
    MigrationStarted = "migration.started" Info,
    /// Preflight refused a job.
    MigrationRefused = "migration.refused" Error,
    /// Where a job stands: at each change of phase, and at least every 5 seconds.
    MigrationProgress = "migration.progress" Info,
    /// A job may not be through its first purge when its window ends.
    MigrationWindowEnding = "migration.window_ending" Warn,
    /// A job ended well.
    MigrationComplete = "migration.complete" Info,
    /// A job ended without success.
    MigrationFailed = "migration.failed" Error,
    /// A job was canceled.
    MigrationCanceled = "migration.canceled" Warn,
    /// A job's scope is as it was before.
    MigrationRolledBack = "migration.rolled_back" Warn,
    /// A rehearsal's proofs all held.
    MigrationRehearsed = "migration.rehearsed" Info,
    /// A job goes on after a restart or take-over.
    MigrationResumed = "migration.resumed" Warn,
    /// A scope is locked.
    LockAcquired = "lock.acquired" Info,
    /// A scope is open again.
    LockReleased = "lock.released" Info,
    /// A scope is locked longer than it should be.
    LockOverdue = "lock.overdue" Error,
    /// A management operation met a lock.
    OperationRefused = "operation.refused" Info,
    /// Rotation is held back for a migration.
    RotationSuspended = "rotation.suspended" Info,
    /// Rotation goes on.
    RotationRestored = "rotation.restored" Info,
    /// A key or secret was rotated.
    RotationPerformed = "rotation.performed" Info,
    /// A rotation failed.
    RotationFailed = "rotation.failed" Error,
    /// A managed secret is due but has no rotator; it keeps its value.
    RotationUnserved = "rotation.unserved" Warn,
    /// A mark that held rotation back for a job that does not run was cleared.
    RotationStranded = "rotation.stranded" Error,
    /// A copy proved equal.
    ResourceVerified = "resource.verified" Info,
    /// The catalogue names the target.
    ResourceCutOver = "resource.cut_over" Info,
    /// The source copy is destroyed.
    ResourcePurged = "resource.purged" Info,
    /// A resource stays where it is.
    ResourceLeftBehind = "resource.left_behind" Warn,
    /// A copy did not prove equal.
    VerificationFailed = "verification.failed" Error,
    /// An instance does not answer.
    InstanceUnreachable = "instance.unreachable" Error,
    /// An instance answers, for the first time or again.
    InstanceConnected = "instance.connected" Info,
    /// An instance's contract or licence ends soon.
    InstanceExpiring = "instance.expiring" Warn,
    /// A certificate ends soon.
    CertificateExpiring = "certificate.expiring" Warn,
    /// A key version nears the end of its safe number of uses.
    KeyUsageHigh = "key.usage_high" Warn,
    /// A request was denied.
    RequestDenied = "request.denied" Warn,
    /// A command came over the admin socket.
    AdminCommand = "admin.command" Info,
    /// The head of the audit trail, every minute and at the end of a job: what `audit verify --head` compares with.
    AuditHead = "audit.head" Info,
    /// Lines that repeat were left out; this one counts them. Lines of a job are never left out.
    LogSuppressed = "log.suppressed" Warn,
    /// A notification did not reach its receiver in time, or there were too many of them.
    NotifyUndelivered = "notify.undelivered" Warn,
    /// A part of the daemon makes no progress any more.
    WorkerStalled = "worker.stalled" Error,
}

impl Event {
    /// The journal's `MESSAGE_ID`: 128 bits as 32 hexadecimal digits, made from the name alone, so it never changes.
    #[must_use]
    pub fn message_id(self) -> String {
        let digest = Sha256::digest(format!("keyferry event {}", self.as_str()));
        let id = digest.first_chunk::<16>().copied().unwrap_or_default();
        // Version 8 of RFC 9562: made in the maker's own way.
        uuid::Builder::from_custom_bytes(id).into_uuid().simple().to_string()
    }

    /// Can it be told to somebody? Not what comes for each resource, request or moment: it would push the others out.
    #[must_use]
    pub const fn is_single(self) -> bool {
        !matches!(
            self,
            Self::MigrationProgress
                | Self::OperationRefused
                | Self::RequestDenied
                | Self::ResourceVerified
                | Self::ResourceCutOver
                | Self::ResourcePurged
                | Self::ResourceLeftBehind
                | Self::AdminCommand
                | Self::AuditHead
                | Self::LogSuppressed
                | Self::NotifyUndelivered
        )
    }

    /// May a client or a fault elsewhere bring it about without end? Then repetitions are counted instead of written.
    #[must_use]
    pub const fn repeats(self) -> bool {
        matches!(self, Self::OperationRefused | Self::RequestDenied)
    }
}

/// The fields of a line beside event and message; only those that are set appear. Nothing secret goes in here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// Job ID.
    pub job: Option<String>,
    /// Name of a schedule.
    pub schedule: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Account.
    pub account: Option<String>,
    /// Instance.
    pub instance: Option<String>,
    /// Key ID or secret name.
    pub resource: Option<String>,
    /// State of a job, as in design §6.
    pub phase: Option<String>,
    /// Keys for which the phase is done.
    pub keys_done: Option<u64>,
    /// Keys in the plan.
    pub keys_total: Option<u64>,
    /// Secrets for which the phase is done.
    pub secrets_done: Option<u64>,
    /// Secrets in the plan.
    pub secrets_total: Option<u64>,
    /// Of the whole job, 0 to 100.
    pub percent: Option<u64>,
    /// Estimated seconds to the end of the job.
    pub eta_seconds: Option<u64>,
    /// Problem or error code.
    pub code: Option<String>,
    /// Head of the audit trail.
    pub head: Option<String>,
    /// Address that a request came from.
    pub source: Option<String>,
    /// Why, in words that only the operator may see.
    pub detail: Option<String>,
}

macro_rules! text_fields {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(mut self, value: $type) -> Self {
            self.$name = Some(value.to_string());
            self
        })*
    };
}

impl Fields {
    /// No field.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    text_fields! {
        /// Sets the job.
        job: &JobId,
        /// Sets the schedule.
        schedule: &str,
        /// Sets the region.
        region: &RegionId,
        /// Sets the account.
        account: &AccountId,
        /// Sets the instance.
        instance: &InstanceId,
        /// Sets the code.
        code: impl Display,
        /// Sets the head of the audit trail.
        head: impl Display,
        /// Sets the address that a request came from.
        source: impl Display,
        /// Sets what only the operator may see.
        detail: impl Display,
    }

    /// Sets region and account.
    #[must_use]
    pub fn scope(self, scope: &Scope) -> Self {
        self.region(&scope.region).account(&scope.account)
    }

    /// Sets the resource by its public name.
    #[must_use]
    pub fn resource(mut self, resource: &ResourceId) -> Self {
        self.resource = Some(resource.name().to_owned());
        self
    }

    /// Sets the phase.
    #[must_use]
    pub fn phase(mut self, state: JobState) -> Self {
        self.phase = serde_json::to_value(state).ok().and_then(|name| name.as_str().map(str::to_owned));
        self
    }

    /// Sets what is done of the keys and secrets of the plan: each `(done, total)`.
    #[must_use]
    pub const fn progress(mut self, keys: (u64, u64), secrets: (u64, u64)) -> Self {
        (self.keys_done, self.keys_total) = (Some(keys.0), Some(keys.1));
        (self.secrets_done, self.secrets_total) = (Some(secrets.0), Some(secrets.1));
        self
    }

    /// Sets how far the job is, and how long it will take if that is known.
    #[must_use]
    pub const fn estimate(mut self, percent: u64, eta_seconds: Option<u64>) -> Self {
        self.percent = Some(percent);
        self.eta_seconds = eta_seconds;
        self
    }

    /// The fields that tell which job it is: job, schedule, region, account, instance.
    #[must_use]
    pub fn of_job(job: &Job) -> Self {
        let fields = Self::new().job(&job.id).scope(&job.scope).instance(&job.instance);
        Self { schedule: job.schedule.clone(), ..fields }
    }
}

/// Writes one event to the log, at its level.
pub fn emit(event: Event, fields: &Fields, message: &str) {
    macro_rules! at {
        ($level:ident) => {
            tracing::event!(
                target: EVENT_TARGET,
                tracing::Level::$level,
                event = event.as_str(),
                job = fields.job.as_deref(),
                schedule = fields.schedule.as_deref(),
                region = fields.region.as_deref(),
                account = fields.account.as_deref(),
                instance = fields.instance.as_deref(),
                resource = fields.resource.as_deref(),
                phase = fields.phase.as_deref(),
                keys_done = fields.keys_done,
                keys_total = fields.keys_total,
                secrets_done = fields.secrets_done,
                secrets_total = fields.secrets_total,
                percent = fields.percent,
                eta_seconds = fields.eta_seconds,
                code = fields.code.as_deref(),
                head = fields.head.as_deref(),
                source = fields.source.as_deref(),
                detail = fields.detail.as_deref(),
                message = message,
            )
        };
    }
    tap::offer(event, fields, message);
    match event.severity() {
        Severity::Info => at!(INFO),
        Severity::Warn => at!(WARN),
        Severity::Error => at!(ERROR),
    }
}

/// Lines with this target are events; every other line has no field but its message.
pub(super) const EVENT_TARGET: &str = "keyferry::event";

#[cfg(test)]
mod tests {
    use super::*;

    const CONTRACT: &str = "daemon.started daemon.stopping config.reloaded config.rejected seal.generated seal.rotated store.degraded \
        backup.done backup.failed clock.stepped schedule.registered schedule.upcoming schedule.fired schedule.missed schedule.skipped \
        migration.queued migration.awaiting_approval migration.approved migration.started migration.refused migration.progress migration.window_ending \
        migration.complete migration.failed migration.canceled migration.rolled_back migration.rehearsed \
        migration.resumed lock.acquired lock.released lock.overdue operation.refused rotation.suspended \
        rotation.restored rotation.performed rotation.failed rotation.unserved rotation.stranded resource.verified \
        resource.cut_over resource.purged resource.left_behind verification.failed instance.unreachable \
        instance.connected instance.expiring certificate.expiring key.usage_high request.denied admin.command audit.head log.suppressed \
        notify.undelivered worker.stalled";

    #[test]
    fn the_catalogue_is_the_contract() {
        let names: Vec<_> = Event::ALL.iter().map(|event| event.as_str()).collect();
        assert_eq!(names, CONTRACT.split_ascii_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn message_ids_are_what_they_always_were_and_differ() {
        // Journals out there are searched for them.
        assert_eq!(Event::MigrationComplete.message_id(), "fd7018cc57bc80438ba6219f4bc21b47");
        let all: std::collections::BTreeSet<_> = Event::ALL.iter().map(|event| event.message_id()).collect();
        assert_eq!(all.len(), Event::ALL.len());
        assert!(all.iter().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}
