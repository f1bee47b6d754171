//! What can go wrong in the trail.

use thiserror::Error;

use crate::store::StoreError;

/// A failure of the trail; never a finding about what it holds.
#[derive(Debug, Error)]
pub enum AuditError {
    /// Another process chains or signs at the same time.
    #[error("the audit trail is being written by another process; try again")]
    Busy,
    /// A head that was given is not one.
    #[error("{0:?} is not a head of the audit trail; a head is PLACE:DIGEST as the event audit.head tells it")]
    NotAHead(String),
    /// There is no key to sign with.
    #[error("the daemon has no signing key: configure at least one region, whose shared keystore seals it")]
    NoIdentity,
    /// What is in the way of the trail is not the trail's.
    #[error("the audit trail cannot be read at {0}; run `keyferry audit verify`")]
    Malformed(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
