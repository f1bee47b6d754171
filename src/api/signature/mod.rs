//! Who signed a request: signatures V1 and V3 (reference/kms-protocol.md §2, §3) and the clock (§4).
//!
//! Nonces are not looked at here: only a correctly signed request may use one up.

pub mod signing;
mod v1;
mod v3;

use std::sync::Arc;

use aws_lc_rs::hmac;
use jiff::{SignedDuration, Timestamp};

use super::ApiError;
use super::request::{AuthForm, RawRequest, Request};
use crate::access::{AccessKeys, Identity, SESSION_PREFIX};
use crate::model::NonceClaim;

/// What an `Authorization` header of signature V3 begins with.
pub const V3_SCHEME: &str = "ACS3-HMAC-SHA256 ";

/// How far a request's time stamp may be from this server's clock, either way.
pub const CLOCK_WINDOW: SignedDuration = SignedDuration::from_mins(15);

/// The longest nonce that is taken, in bytes.
pub const MAX_NONCE_BYTES: usize = 256;

/// Who signed a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// The access key.
    pub access_key_id: String,
    /// Whose it is.
    pub identity: Arc<Identity>,
    /// The nonce, not yet claimed.
    pub nonce: String,
    /// When the client says it signed.
    pub timestamp: Timestamp,
}

impl Authenticated {
    /// The claim to the request's nonce. It counts until the time stamp is out of the window, and at least for one
    /// window from `now`, so that a clock set back a little does not open it again.
    #[must_use]
    pub fn claim(&self, now: Timestamp) -> NonceClaim {
        let expires_at = self.timestamp.max(now).checked_add(CLOCK_WINDOW).unwrap_or(Timestamp::MAX);
        NonceClaim { access_key_id: self.access_key_id.clone(), nonce: self.nonce.clone(), expires_at }
    }
}

/// Checks clock and signature.
///
/// # Errors
/// `IncompleteSignature`, `MissingParameter`, `InvalidParameter`, `IllegalTimestamp`, `InvalidTimeStamp.Format`,
/// `InvalidTimeStamp.Expired`, `InvalidAccessKeyId.NotFound`, `SignatureDoesNotMatch`, `Forbidden.AccessKey` (only to
/// who knows the secret), `InvalidSecurityToken.Malformed`, `InvalidSecurityToken.Expired`.
pub fn authenticate(
    raw: &RawRequest,
    request: &Request,
    keys: &dyn AccessKeys,
    now: Timestamp,
) -> Result<Authenticated, ApiError> {
    let proof = match request.form {
        AuthForm::V1 => v1::read(raw, request)?,
        AuthForm::V3 => v3::read(raw, request)?,
    };
    if proof.nonce.len() > MAX_NONCE_BYTES {
        return Err(ApiError::invalid_parameter("SignatureNonce").with_remedy("At most 256 bytes are allowed."));
    }
    let timestamp = parse_timestamp(&proof.timestamp)?;
    if now.duration_since(timestamp).abs() > CLOCK_WINDOW {
        return Err(
            ApiError::timestamp_expired().with_remedy("Set the client's clock; 15 minutes of difference are allowed.")
        );
    }
    let identity = identity_of(&proof, keys, now)?;
    Ok(Authenticated { access_key_id: proof.access_key_id, identity, nonce: proof.nonce, timestamp })
}

/// Whose access key signed, if it did.
fn identity_of(proof: &Proof, keys: &dyn AccessKeys, now: Timestamp) -> Result<Arc<Identity>, ApiError> {
    let token = proof.security_token.as_deref();
    if let Some(token) = token.filter(|_| proof.access_key_id.starts_with(SESSION_PREFIX)) {
        let found = keys.temporary(&proof.access_key_id, token).ok_or_else(|| {
            ApiError::security_token_malformed().with_remedy("Ask for new credentials: `keyferry role credentials`.")
        })?;
        if !proof.signed_by(&found.key.secret) {
            return Err(ApiError::signature_mismatch());
        }
        if now >= found.expires_at {
            return Err(ApiError::security_token_expired().with_remedy("Ask for new credentials."));
        }
        return Ok(found.key.identity);
    }
    let Some(key) = keys.find(&proof.access_key_id) else {
        // As much work as for a known key, so that time does not tell which keys exist.
        let _ = proof.signed_by("an access key that does not exist");
        return Err(ApiError::access_key_not_found());
    };
    if !proof.signed_by(&key.secret) {
        return Err(ApiError::signature_mismatch());
    }
    if !key.enabled {
        return Err(ApiError::access_key_disabled());
    }
    if token.is_some() {
        return Err(ApiError::security_token_malformed().with_remedy("This access key needs no SecurityToken."));
    }
    Ok(key.identity)
}

/// What a request offers as proof of who signed it.
struct Proof {
    access_key_id: String,
    nonce: String,
    timestamp: String,
    security_token: Option<String>,
    algorithm: hmac::Algorithm,
    /// What comes behind the secret in the HMAC key.
    key_suffix: &'static str,
    to_sign: zeroize::Zeroizing<String>,
    signature: Vec<u8>,
}

impl Proof {
    fn signed_by(&self, secret: &str) -> bool {
        let key = zeroize::Zeroizing::new([secret, self.key_suffix].concat());
        let key = hmac::Key::new(self.algorithm, key.as_bytes());
        // Constant-time in the signature.
        hmac::verify(&key, self.to_sign.as_bytes(), &self.signature).is_ok()
    }
}

fn parse_timestamp(text: &str) -> Result<Timestamp, ApiError> {
    // jiff reads more forms than clients may send.
    let shaped = text.len() == 20
        && text.bytes().zip(b"0000-00-00T00:00:00Z").all(
            |(b, shape)| {
                if *shape == b'0' { b.is_ascii_digit() } else { b == *shape }
            },
        );
    if !shaped {
        return Err(ApiError::timestamp_malformed());
    }
    text.parse().map_err(|_| ApiError::timestamp_malformed())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
