//! Why the daemon does not start, or does not go on.

use std::path::PathBuf;

use thiserror::Error;

use crate::api::server::ServerError;
use crate::api::tls::TlsError;
use crate::audit::AuditError;
use crate::backup::BackupError;
use crate::catalogue::CatalogueError;
use crate::config::ConfigProblem;
use crate::keystore::software::OpenError;
use crate::keystore::software::rootkey::RootKeyError;
use crate::kms::KmsError;
use crate::migration::MigrationError;
use crate::model::KeystoreId;
use crate::notify::ReceiverError;
use crate::observe::LoggingError;
use crate::schedule::ScheduleError;
use crate::store::StoreError;

/// A failure, in words for the operator.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// The configuration has mistakes: all of them.
    #[error("{}", lines(.0))]
    Config(Vec<ConfigProblem>),
    /// The configuration does not fit what the store holds.
    #[error("the configuration does not fit what is stored:\n{}", .0.join("\n"))]
    Unfitting(Vec<String>),
    /// A file or directory cannot be used.
    #[error("{path}: {error}; {remedy}")]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// A root key cannot be had.
    #[error("the root key of {keystore}: {error}")]
    RootKey {
        /// Of which keystore.
        keystore: KeystoreId,
        /// Why.
        error: RootKeyError,
    },
    /// A keystore cannot be opened.
    #[error(transparent)]
    Keystore(#[from] OpenError),
    /// A listener cannot be opened.
    #[error("{0}; is another process using the address? Choose another `listen`, or stop that process")]
    Listen(#[from] ServerError),
    /// Certificate or private key.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// The listener of an instance cannot be opened.
    #[error("the listener of the instance: {0}; change [instance_server]")]
    InstanceListener(#[from] crate::keystore::remote::server::ListenError),
    /// The configuration is not one of an instance's process.
    #[error("{0}")]
    NotAnInstance(&'static str),
    /// A rotator cannot be made from its configuration.
    #[error("{0}; look at `ca` of the [[rotator]]")]
    Rotator(String),
    /// No threads.
    #[error("the system gives no threads: {0}; raise the limit of tasks of the unit (TasksMax)")]
    Threads(std::io::Error),
    /// The admin socket.
    #[error("the admin socket: {0}")]
    Admin(String),
    /// The log.
    #[error("the log: {0}")]
    Logging(#[from] LoggingError),
    /// Who is to be notified.
    #[error(transparent)]
    Notify(#[from] ReceiverError),
    /// A store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The catalogue.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// Schedules.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Migrations.
    #[error(transparent)]
    Migration(#[from] MigrationError),
    /// The service.
    #[error("{}", inside(.0))]
    Kms(#[from] KmsError),
    /// The audit trail.
    #[error("the audit trail: {0}")]
    Audit(AuditError),
    /// A store takes no more writes.
    #[error("{0}. Ending, so that the service manager starts the daemon anew on what the disk has kept")]
    Degraded(String),
    /// A part that is to run for ever has ended.
    #[error("{0} ended by itself; this is a fault of the program: restart, and report it with the log")]
    Ended(String),
    /// A backup.
    #[error(transparent)]
    Backup(BackupError),
    /// A restoration was cut.
    #[error(
        "a restoration into {0} was cut before it was whole; run `keyferry restore` again, or remove that directory"
    )]
    HalfRestored(PathBuf),
    /// The place of a restoration is taken.
    #[error(
        "{0} holds something; a backup is restored into an empty state_dir only (root keys may be there): move it away"
    )]
    InUse(PathBuf),
    /// Instances on other hosts have gone on since the backup: what speaks for it, by instance.
    #[error("{}", .0.join("\n"))]
    InstanceIsNewer(Vec<String>),
    /// The demo could not go on.
    #[error("the demo stopped: {0}")]
    Demo(String),
    /// The demo found something that does not hold.
    #[error("{0} check(s) of the demo failed")]
    Checks(usize),
}

impl DaemonError {
    /// The exit code of the process: 2 for the configuration, else 1.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::Unfitting(_)
            | Self::NotAnInstance(_)
            | Self::Schedule(ScheduleError::NameTaken(_)) => 2,
            Self::Audit(AuditError::NotAHead(_)) => 2,
            _ => 1,
        }
    }
}

/// Clients are told nothing from inside; the operator is told what there is.
fn inside(error: &KmsError) -> String {
    match error {
        KmsError::Internal(detail) => {
            format!("the daemon cannot start on this state: {detail}; `keyferry restore` brings a backup back")
        }
        KmsError::Unavailable(detail) => format!("the daemon cannot start yet: {detail}"),
        other => other.to_string(),
    }
}

fn lines(problems: &[ConfigProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
