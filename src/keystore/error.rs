//! What can go wrong in a keystore.

use thiserror::Error;

use crate::model::{JobId, KeystoreId};

/// A failure of a keystore.
#[derive(Debug, Error)]
pub enum KeystoreError {
    /// It no longer (or not yet) holds this: read the catalogue again.
    #[error("the keystore {0} does not hold this resource")]
    Moved(KeystoreId),
    /// It cannot be reached, or its store cannot be used. Worth retrying.
    #[error("the keystore {keystore} cannot be used: {detail}")]
    Unavailable {
        /// Which.
        keystore: KeystoreId,
        /// Why.
        detail: String,
    },
    /// It can be reached, but must not be used before somebody has acted. For whoever asks it is as good as away.
    #[error("the keystore {keystore} must not be used: {detail}; {remedy}")]
    Unfit {
        /// Which.
        keystore: KeystoreId,
        /// In what respect.
        fault: Unfit,
        /// What was found.
        detail: String,
        /// What to do.
        remedy: String,
    },
    /// It has no room for another key.
    #[error("the keystore {keystore} has no room: {detail}")]
    Full {
        /// Which.
        keystore: KeystoreId,
        /// What it said.
        detail: String,
    },
    /// A ciphertext, blob or signature does not open or verify.
    #[error("the data does not open under this key")]
    Rejected,
    /// The operation does not fit the key's spec.
    #[error("this key cannot do that: {0}")]
    Unsuitable(&'static str),
    /// A stored record does not open or does not belong where it lies.
    #[error("a record of {keystore} is damaged: {detail}")]
    Damaged {
        /// Which keystore.
        keystore: KeystoreId,
        /// What was found.
        detail: String,
    },
    /// A worker with an older token: it has lost its lease.
    #[error("token {token} of {job} is older than {seen}, which this keystore has seen")]
    Fenced {
        /// The job.
        job: JobId,
        /// The token that came.
        token: u64,
        /// The highest seen.
        seen: u64,
    },
    /// Staging is closed; it is not reopened.
    #[error("staging of {0} is closed")]
    StagingClosed(JobId),
    /// Staging is not closed yet, or nothing was staged.
    #[error("staging of {0} is not closed")]
    StagingOpen(JobId),
    /// The job was forgotten here; nothing later is accepted for it.
    #[error("{0} was rolled back here; nothing more is accepted for it")]
    Forgotten(JobId),
    /// The job's copies are final here.
    #[error("{0} is past its first purge; its copies are not given up")]
    PastReturn(JobId),
    /// The manifest, a staged record or a second parcel does not agree with what was agreed.
    #[error("the copies of {job} are not what was staged: {detail}")]
    Mismatch {
        /// The job.
        job: JobId,
        /// What differs.
        detail: String,
    },
    /// The place of a copy is taken by what another job, or none, put there.
    #[error("{resource} is already here and was not staged by {job}")]
    Taken {
        /// The job.
        job: JobId,
        /// The resource.
        resource: String,
    },
    /// A parcel or an offer is not for this job, target or token, has expired, or its signature does not verify.
    #[error("the parcel or offer is refused: {0}")]
    Refused(String),
    /// The place is taken.
    #[error("this version already exists")]
    Exists,
}

/// In what respect a keystore must not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It is not the one whose identity was pinned.
    Identity,
    /// A certificate, its own or ours, does not do.
    Certificate,
    /// It does not speak a protocol that this release speaks.
    Protocol,
    /// Its token lacks something that no instance can do without.
    Token,
}

impl KeystoreError {
    /// True when the keystore is away, for whatever reason: worth retrying, and where a copy is elsewhere, it may answer.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Unfit { .. })
    }
}
