//! A request's claim to its nonce.

use jiff::Timestamp;

/// A nonce that a correctly signed request has used. A management operation puts it, compared absent, in its own
/// transaction; it may be forgotten after `expires_at`, when the request's time stamp alone refuses a repetition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NonceClaim {
    /// The access key that signed; a nonce is unique within it.
    pub access_key_id: String,
    /// The nonce as sent, at most 256 bytes.
    pub nonce: String,
    /// From this instant on it need not be remembered.
    pub expires_at: Timestamp,
}
