//! What the file says, with defaults filled in. Parts that hold secrets have no `Debug`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::pkcs11::{Pkcs11, TokenIdentity};
use super::rotators::Rotator;
use super::secret::{AccessKeySecret, RootKey, SecretOrigin};
use crate::access::Policy;
use crate::model::{AccountId, AdminRight, AllowedHours, Directories, InstanceId, RegionId, ScheduleEntry};
use crate::observe::{Event, LogFormat, LogLevel};

/// The whole file.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// Stores and generated root keys live here. Default `/var/lib/keyferry`.
    pub state_dir: PathBuf,
    /// `[log]`.
    pub log: Log,
    /// `[admin]`.
    pub admin: Admin,
    /// `[api]`.
    pub api: Api,
    /// `[store]`.
    pub store: StoreEngine,
    /// `[seal]`: the root key of the shared keystores.
    pub root_key: RootKey,
    /// `[migration]`.
    pub migration: Migration,
    /// `[limits]`.
    pub limits: Limits,
    /// `[backup]`; `None`: the daemon takes none by itself.
    pub backup: Option<Backup>,
    /// `[instance_server]`: for `run --role instance` only.
    pub instance_server: Option<InstanceServer>,
    /// `[metrics]`; `None`: only over the admin socket, which an instance's own process has not.
    pub metrics: Option<Metrics>,
    /// `[[notify]]`: who is told of events.
    pub notify: Vec<Notify>,
    /// `[[region]]`, in the order of the file.
    pub regions: Vec<Region>,
    /// `[[account]]`.
    pub accounts: Vec<Account>,
    /// `[[directory]]`.
    pub directories: Directories,
    /// `[[instance]]`.
    pub instances: Vec<Instance>,
    /// `[[rotator]]`, in the order of the file: the first that fits serves a secret.
    pub rotators: Vec<Rotator>,
    /// `[[schedule]]`.
    pub schedules: Vec<ScheduleEntry>,
}

/// Log lines, to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Log {
    /// Default json.
    pub format: LogFormat,
    /// Default info.
    pub level: LogLevel,
}

/// The admin socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Default `STATE_DIR/admin.sock`; mode 0660.
    pub socket: PathBuf,
    /// A group that may use it beside root and the daemon's user.
    pub group: Option<String>,
    /// Who may do what; empty: whoever can open the socket may do everything.
    pub rights: Vec<AdminRights>,
}

/// What a user or the members of a group may do over the admin socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminRights {
    /// Who.
    pub who: Who,
    /// What: the highest of the rights that is given; each includes those below it.
    pub may: AdminRight,
}

/// A user or a group of the machine, by name or number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A user.
    User(String),
    /// The members of a group.
    Group(String),
}

/// The KMS API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Default 127.0.0.1:8780.
    pub listen: SocketAddr,
    /// Required off loopback; serves every listener.
    pub tls: Option<Tls>,
}

/// Certificate and key, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub private_key: PathBuf,
}

/// The engine of the control store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StoreEngine {
    /// Embedded.
    #[default]
    Sled,
}

/// How migrations run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Batches of resources in work at a time. Default 8.
    pub workers: u32,
    /// Resources a second; 0 (default) = unlimited.
    pub max_rate: u32,
    /// When migrations may start. Default always.
    pub allowed_hours: AllowedHours,
    /// A migration asked for on the command line starts only after another identity's `job approve`. Default false.
    pub approval: bool,
}

/// Requests a second of one account in one region; 0 (default) = unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Cryptography and secret values.
    pub data_per_second: u32,
    /// What describes and lists.
    pub read_per_second: u32,
    /// What changes something.
    pub management_per_second: u32,
}

/// Backups that the daemon takes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Where they go; it has to be there.
    pub directory: PathBuf,
    /// The backup key; made if it is not there.
    pub key_file: PathBuf,
    /// How old the newest may become. Default a day.
    pub every: Duration,
    /// At most so many are kept. Default 7.
    pub keep: usize,
    /// None is kept that is older, except the newest. Default: no limit.
    pub max_age: Option<Duration>,
}

/// The listener of an instance that runs as a process of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceServer {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The certificate chain it presents.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
    /// The authorities that may vouch for a gateway's certificate.
    pub client_ca: PathBuf,
}

/// Where an instance on another host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// `https://HOST:PORT`.
    pub endpoint: String,
    /// The authorities that may vouch for its certificate.
    pub ca: PathBuf,
    /// The certificate chain to present.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
}

/// The listener of metrics and health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metrics {
    /// Plain HTTP; nothing secret is told.
    pub listen: SocketAddr,
}

/// The form of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Template {
    /// A JSON object with the fields of the event's log line.
    #[default]
    Json,
    /// A message of a Slack incoming webhook.
    Slack,
    /// A message of a DingTalk custom robot.
    DingTalk,
}

/// A receiver of notifications. Its address may be all that is needed to write there, so it is kept like a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Notify {
    /// Unique in the file; what was told is remembered under it.
    pub name: String,
    /// The webhook.
    pub url: AccessKeySecret,
    /// Where that was written.
    pub url_origin: SecretOrigin,
    /// Default json.
    pub template: Template,
    /// What it is signed with, and where that was written; `None`: it is not.
    pub signing: Option<(AccessKeySecret, SecretOrigin)>,
    /// What is told. Default [`Notify::DEFAULT_EVENTS`].
    pub events: Vec<Event>,
    /// Certificates (PEM) that the receiver's may be signed by, beside the system's.
    pub ca: Option<PathBuf>,
}

impl Template {
    /// The names in the configuration file.
    pub const NAMES: [&'static str; 3] = ["json", "slack", "dingtalk"];

    /// The name in the configuration file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Slack => "slack",
            Self::DingTalk => "dingtalk",
        }
    }
}

impl std::str::FromStr for Template {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Json, Self::Slack, Self::DingTalk].into_iter().find(|form| form.as_str() == text).ok_or(())
    }
}

impl Notify {
    /// What is told where the file does not say it.
    pub const DEFAULT_EVENTS: [Event; 15] = [
        Event::ScheduleUpcoming,
        Event::ScheduleMissed,
        Event::MigrationStarted,
        Event::MigrationRefused,
        Event::MigrationWindowEnding,
        Event::MigrationComplete,
        Event::MigrationFailed,
        Event::MigrationCanceled,
        Event::MigrationRehearsed,
        Event::LockOverdue,
        Event::InstanceExpiring,
        Event::CertificateExpiring,
        Event::BackupFailed,
        Event::StoreDegraded,
        Event::WorkerStalled,
    ];
}

/// A region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// ID.
    pub id: RegionId,
    /// A listener that always means this region.
    pub listen: Option<SocketAddr>,
    /// Cloud products whose service keys exist here.
    pub service_keys: Vec<String>,
}

/// An account.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// ID.
    pub id: AccountId,
    /// For people; empty if there is none.
    pub name: String,
    /// Access keys of its root identity, which may do everything with what the account owns.
    pub access_keys: Vec<AccessKey>,
    /// Its users.
    pub users: Vec<User>,
    /// Its roles, for which the command line issues temporary credentials.
    pub roles: Vec<Role>,
}

/// A user of an account (RAM user).
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Unique in the account.
    pub name: String,
    /// What it may do.
    pub policies: Vec<AttachedPolicy>,
    /// Its access keys.
    pub access_keys: Vec<AccessKey>,
}

/// A role of an account (RAM role).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Unique in the account.
    pub name: String,
    /// What whoever has it may do.
    pub policies: Vec<AttachedPolicy>,
}

/// A policy of a user or role, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedPolicy {
    /// Its name, for explanations.
    pub name: String,
    /// Where it was written.
    pub origin: PolicyOrigin,
    /// What it says.
    pub policy: Arc<Policy>,
}

/// Where a policy was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyOrigin {
    /// Nowhere: it is one of the built-in ones.
    BuiltIn,
    /// In the configuration file.
    Inline(String),
    /// In a file of its own.
    File(PathBuf),
}

/// An access key.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// ID, unique in the whole file.
    pub id: String,
    /// The secret.
    pub secret: AccessKeySecret,
    /// Where the secret was written.
    pub origin: SecretOrigin,
    /// Requests signed with it are refused. Default false.
    pub disabled: bool,
}

/// The kind of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceKind {
    /// Material is sealed in a store of its own.
    Software,
    /// Material of keys is in a PKCS#11 token; everything else in a store of its own.
    Hardware,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// ID.
    pub id: InstanceId,
    /// Region.
    pub region: RegionId,
    /// Owner.
    pub owner: AccountId,
    /// Kind.
    pub kind: InstanceKind,
    /// The token of a hardware instance.
    pub pkcs11: Option<Pkcs11>,
    /// Its root key. Default: generated.
    pub root_key: RootKey,
    /// Where it is, if it runs on another host.
    pub remote: Option<Remote>,
    /// In use from the start; else somebody has to enable it (ConnectKmsInstance). Default true.
    pub enabled: bool,
    /// How many keys it may hold. Default 1000.
    pub key_quota: u64,
    /// How many secrets it may hold. Default 1000.
    pub secret_quota: u64,
    /// End of the contract or licence.
    pub expires: Option<Timestamp>,
    /// Somebody renews it: only warn. Default false.
    pub auto_renew: bool,
    /// Accounts that may use it beside its owner.
    pub shared_with: Vec<AccountId>,
}

/// What identifies an instance: while it is in use, a reload must not change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceIdentity {
    /// Region.
    pub region: RegionId,
    /// Owner.
    pub owner: AccountId,
    /// Kind.
    pub kind: InstanceKind,
    /// Where its root key comes from.
    pub root_key: RootKey,
    /// Where it is, if it runs on another host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<Remote>,
    /// The token of a hardware instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pkcs11: Option<TokenIdentity>,
}

impl Config {
    /// Where the state directory is by default.
    pub const DEFAULT_STATE_DIR: &'static str = "/var/lib/keyferry";
    /// Where the API listens by default.
    pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8780);

    /// The region of this ID.
    #[must_use]
    pub fn region(&self, id: &RegionId) -> Option<&Region> {
        self.regions.iter().find(|region| region.id == *id)
    }

    /// The account of this ID.
    #[must_use]
    pub fn account(&self, id: &AccountId) -> Option<&Account> {
        self.accounts.iter().find(|account| account.id == *id)
    }

    /// The instance of this ID.
    #[must_use]
    pub fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.id == *id)
    }

    /// The account that owns an access key, and the key.
    #[must_use]
    pub fn access_key(&self, id: &str) -> Option<(&Account, &AccessKey)> {
        self.accounts.iter().find_map(|account| {
            let of_users = account.users.iter().flat_map(|user| &user.access_keys);
            account.access_keys.iter().chain(of_users).find(|key| key.id == id).map(|key| (account, key))
        })
    }
}

impl Instance {
    /// What identifies it.
    #[must_use]
    pub fn identity(&self) -> InstanceIdentity {
        InstanceIdentity {
            region: self.region.clone(),
            owner: self.owner.clone(),
            kind: self.kind,
            root_key: self.root_key.clone(),
            remote: self.remote.clone(),
            pkcs11: self.pkcs11.as_ref().map(|pkcs11| pkcs11.token.clone()),
        }
    }

    /// May the account use it, as far as the file says?
    #[must_use]
    pub fn is_open_to(&self, account: &AccountId) -> bool {
        self.owner == *account || self.shared_with.contains(account)
    }
}
