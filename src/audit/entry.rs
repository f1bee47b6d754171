//! One entry: who, what, on which resource, with what outcome. Names and codes only; never a value, never material.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::paths;
use crate::model::{AccountId, JobId, Scope};
use crate::store::{MAX_VALUE_BYTES, Record, StoreError, Transaction};

/// The outcome of what was done.
pub const OK: &str = "ok";

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    /// A client of the API.
    AccessKey {
        /// The account whose access key signed.
        account: AccountId,
        /// The access key's ID.
        id: String,
        /// Where the request came from.
        source: IpAddr,
        /// The user or role; `None`: the account's root identity.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        identity: Option<String>,
    },
    /// Somebody at the admin socket.
    Operator {
        /// The user's number, if the system tells it.
        uid: Option<u32>,
    },
    /// A migration.
    Job {
        /// The job.
        job: JobId,
        /// The fencing token it worked under.
        token: u64,
    },
    /// A schedule.
    Schedule {
        /// Its name.
        name: String,
    },
    /// The daemon of its own accord: what falls due, recovery.
    Daemon,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccessKey { account, id, source, identity: None } => {
                write!(f, "access key {id} of {account} from {source}")
            }
            Self::AccessKey { account, id, source, identity: Some(identity) } => {
                write!(f, "{identity} of {account} by access key {id} from {source}")
            }
            Self::Operator { uid: Some(uid) } => write!(f, "operator, uid {uid}"),
            Self::Operator { uid: None } => write!(f, "operator, unknown user"),
            Self::Job { job, token } => write!(f, "{job} under token {token}"),
            Self::Schedule { name } => write!(f, "schedule {name}"),
            Self::Daemon => write!(f, "the daemon"),
        }
    }
}

/// One entry of the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, by the daemon's clock. The order of the trail is that of its places, not of these.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What: an operation of the API, a command, or `job.…`.
    pub action: String,
    /// Region and account, where there is one of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Which resources, as `key/ID`, `secret/NAME`, `alias/NAME`, `job/ID`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// How many more, where they do not fit into one entry.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: usize,
    /// [`OK`], or the code of the refusal.
    pub outcome: String,
    /// The request's ID, as it was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// More, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// SHA-256 of a report, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl Record for Entry {
    const KIND: &'static str = "audit entry";
    const SCHEMA: u16 = 1;
}

impl Entry {
    /// An entry of something done.
    #[must_use]
    pub fn new(at: Timestamp, actor: Actor, action: impl Into<String>) -> Self {
        Self {
            at,
            actor,
            action: action.into(),
            scope: None,
            resources: Vec::new(),
            more: 0,
            outcome: OK.to_owned(),
            request: None,
            detail: None,
            digest: None,
        }
    }

    /// Sets region and account.
    #[must_use]
    pub fn in_scope(self, scope: &Scope) -> Self {
        Self { scope: Some(scope.clone()), ..self }
    }

    /// Adds a resource.
    #[must_use]
    pub fn on(mut self, resource: impl Into<String>) -> Self {
        self.resources.push(resource.into());
        self
    }

    /// Sets the outcome.
    #[must_use]
    pub fn outcome(self, code: &str) -> Self {
        Self { outcome: code.to_owned(), ..self }
    }

    /// Sets the words; long ones are cut.
    #[must_use]
    pub fn detail(self, text: &str) -> Self {
        Self { detail: Some(text.chars().take(DETAIL).collect()), ..self }
    }

    /// Puts the entry into the transaction of what it records: one more write, no compare.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn put(&self, transaction: &mut Transaction) -> Result<(), StoreError> {
        transaction.overwrite(&paths::pending(), &self.fitting())?;
        Ok(())
    }

    /// With as many resources as one value holds.
    fn fitting(&self) -> Self {
        let mut room = ROOM;
        let fits = self.resources.iter().take_while(|name| {
            let written = serde_json::to_vec(name).map_or(usize::MAX, |json| json.len());
            room = room.saturating_sub(written.saturating_add(1));
            room > 0
        });
        let resources: Vec<String> = fits.cloned().collect();
        let more = self.more.saturating_add(self.resources.len().saturating_sub(resources.len()));
        Self { resources, more, ..self.clone() }
    }
}

const DETAIL: usize = 500;
/// Bytes for resources: what is left of a value after everything else at its longest.
const ROOM: usize = MAX_VALUE_BYTES * 3 / 4;

#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero(n: &usize) -> bool {
    *n == 0
}
