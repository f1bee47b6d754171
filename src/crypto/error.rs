//! What can go wrong in cryptography.

use thiserror::Error;

/// A failure of a cryptographic operation. Never tells more than the caller may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CryptoError {
    /// A ciphertext, tag or signature does not open or verify.
    #[error("the data does not open under this key")]
    Rejected,
    /// The operation does not fit the key's spec.
    #[error("this key cannot do that: {0}")]
    Unsuitable(&'static str),
    /// The bytes do not have the form they should have.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// The library failed where it should not.
    #[error("the cryptographic library failed: {0}")]
    Failed(&'static str),
}
