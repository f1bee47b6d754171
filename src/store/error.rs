//! What can go wrong with a store.

use thiserror::Error;

/// A failure of a store. Nothing was written unless a commit answered otherwise.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The transaction breaks a limit that every engine has.
    #[error("the transaction breaks a limit of the store: {0}")]
    Limit(String),
    /// The engine cannot be reached, or reading or writing failed.
    #[error("the store cannot be used: {0}")]
    Unavailable(String),
    /// Another process holds the database.
    #[error("another process holds the database {path}; stop it, or use another state_dir")]
    Busy {
        /// The directory.
        path: String,
    },
    /// The database is damaged.
    #[error(
        "the database {path} is damaged ({detail}); nothing is served from it; move the state \
         directory aside, keep it, and bring the last backup back with `keyferry restore`"
    )]
    Damaged {
        /// The directory.
        path: String,
        /// What was found.
        detail: String,
    },
    /// A record was written by a newer release.
    #[error("the record {key:?} has schema {found} of {kind}, this release reads up to {known}; run the newer release")]
    Newer {
        /// The record's key.
        key: String,
        /// The record's kind.
        kind: &'static str,
        /// The schema found.
        found: u16,
        /// The newest schema known here.
        known: u16,
    },
    /// A record cannot be read.
    #[error("the record {key:?} is not a valid {kind}: {detail}")]
    Malformed {
        /// The record's key.
        key: String,
        /// The record's kind.
        kind: &'static str,
        /// What is wrong.
        detail: String,
    },
}
