//! What can go wrong with a backup, in words for the operator.

use thiserror::Error;

use crate::crypto::CryptoError;
use crate::store::StoreError;

/// A backup that cannot be written or read.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The medium fails.
    #[error("{0}; see that the place is there, writable and not full")]
    Medium(#[from] std::io::Error),
    /// It is something else.
    #[error("this is no backup of keyferry, or one of a newer release; name the right file")]
    NoBackup,
    /// Sealed under another key.
    #[error("the backup is sealed under key {needed}, and the key that was given is {given}; give {needed}")]
    WrongKey {
        /// ID of the key it is sealed under.
        needed: String,
        /// ID of the given key.
        given: String,
    },
    /// Cut, or changed.
    #[error("the backup is damaged at chunk {chunk} ({what}); nothing of it is used; take another copy of it")]
    Damaged {
        /// The chunk, from 0.
        chunk: u64,
        /// What was found.
        what: &'static str,
    },
    /// A store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The cryptographic library failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}
