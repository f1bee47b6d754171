//! Temporary credentials for a role: an access key whose secret is derived from its token, so that nothing has to be
//! stored, and a token that says for which role and until when, authenticated by the daemon.
//!
//! `token = Base64(payload ‖ HMAC-SHA256(mac key, payload))`, `secret = hex(HMAC-SHA256(secret key, payload))`; the payload
//! is JSON. Both keys come from a seed that the daemon keeps sealed (HMAC-SHA256 over the seed as KDF, NIST SP 800-108).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use super::is_identity_name;
use crate::model::{AccountId, Random};

/// How long temporary credentials may last.
pub const SESSION_DURATIONS: std::ops::RangeInclusive<SignedDuration> =
    SignedDuration::from_mins(1)..=SignedDuration::from_hours(12);

/// What an AccessKeyId of temporary credentials begins with.
pub const SESSION_PREFIX: &str = "STS.";

/// Makes and reads tokens. No `Debug`: it holds keys.
pub struct SessionKey {
    mac: hmac::Key,
    secret: hmac::Key,
}

/// Temporary credentials. No `Debug`: they are a secret.
pub struct Credentials {
    /// `STS.…`.
    pub access_key_id: String,
    /// The secret to sign with.
    pub access_key_secret: Zeroizing<String>,
    /// To be sent with each request.
    pub security_token: String,
    /// Until when.
    pub expires_at: Timestamp,
}

/// What a genuine token says.
pub struct Session {
    /// The account of the role.
    pub account: AccountId,
    /// The role.
    pub role: String,
    /// Who uses it, as whoever issued the credentials named them.
    pub name: String,
    /// Until when.
    pub expires_at: Timestamp,
    /// The secret that requests are signed with.
    pub secret: Zeroizing<String>,
}

/// A token that is none of ours, or not for this access key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the token is not one of this daemon, or belongs to another access key")]
pub struct InvalidToken;

#[derive(Serialize, Deserialize)]
struct Payload {
    v: u8,
    id: String,
    account: AccountId,
    role: String,
    session: String,
    /// Unix seconds.
    until: i64,
}

/// Longer tokens are not looked at.
const MAX_TOKEN: usize = 2048;

impl SessionKey {
    /// From a seed that only this daemon knows.
    #[must_use]
    pub fn new(seed: &[u8]) -> Self {
        let seed = hmac::Key::new(hmac::HMAC_SHA256, seed);
        let derive = |label: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&seed, label).as_ref());
        Self { mac: derive(b"keyferry session token v1"), secret: derive(b"keyferry session secret v1") }
    }

    /// Issues credentials. `session` names whoever will use them ([`is_identity_name`]).
    #[must_use]
    pub fn issue(
        &self,
        account: &AccountId,
        role: &str,
        session: &str,
        expires_at: Timestamp,
        random: &dyn Random,
    ) -> Credentials {
        let mut bytes = [0_u8; 12];
        random.fill(&mut bytes);
        let id = format!("{SESSION_PREFIX}{}", hex::encode(bytes));
        let payload = Payload {
            v: 1,
            id: id.clone(),
            account: account.clone(),
            role: role.to_owned(),
            session: session.to_owned(),
            until: expires_at.as_second(),
        };
        // Texts and numbers always are JSON.
        let mut token = serde_json::to_vec(&payload).unwrap_or_default();
        let secret = self.secret_of(&token);
        let mac = hmac::sign(&self.mac, &token);
        token.extend_from_slice(mac.as_ref());
        Credentials {
            access_key_id: id,
            access_key_secret: secret,
            security_token: STANDARD.encode(token),
            expires_at: Timestamp::from_second(payload.until).unwrap_or(expires_at),
        }
    }

    /// Reads a token. Whether it has expired and whether its role still exists is for the caller to see.
    ///
    /// # Errors
    /// [`InvalidToken`] for everything this key has not issued for this AccessKeyId.
    pub fn open(&self, access_key_id: &str, token: &str) -> Result<Session, InvalidToken> {
        if token.len() > MAX_TOKEN {
            return Err(InvalidToken);
        }
        let bytes = STANDARD.decode(token).map_err(|_| InvalidToken)?;
        let (payload, mac) = bytes.split_last_chunk::<32>().ok_or(InvalidToken)?;
        hmac::verify(&self.mac, payload, mac).map_err(|_| InvalidToken)?;
        let said: Payload = serde_json::from_slice(payload).map_err(|_| InvalidToken)?;
        if said.v != 1 || said.id != access_key_id || !is_identity_name(&said.session) {
            return Err(InvalidToken);
        }
        Ok(Session {
            account: said.account,
            role: said.role,
            name: said.session,
            expires_at: Timestamp::from_second(said.until).map_err(|_| InvalidToken)?,
            secret: self.secret_of(payload),
        })
    }

    fn secret_of(&self, payload: &[u8]) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(hmac::sign(&self.secret, payload)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::SystemRandom;

    fn issued(key: &SessionKey) -> Credentials {
        let account = "1000000000000001".parse().unwrap();
        key.issue(&account, "deployer", "ci-42", "2026-12-01T00:00:00Z".parse().unwrap(), &SystemRandom)
    }

    #[test]
    fn what_was_issued_opens_with_the_same_secret() {
        let key = SessionKey::new(b"seed");
        let made = issued(&key);
        let session = key.open(&made.access_key_id, &made.security_token).unwrap();
        assert_eq!(session.secret.as_str(), made.access_key_secret.as_str());
        assert_eq!((session.role.as_str(), session.name.as_str()), ("deployer", "ci-42"));
        assert_eq!(session.expires_at, made.expires_at);
        let other = issued(&key);
        assert_ne!(other.access_key_secret.as_str(), made.access_key_secret.as_str());
    }

    #[test]
    fn no_bit_of_a_token_can_be_changed_and_no_other_key_or_id_opens_it() {
        let key = SessionKey::new(b"seed");
        let made = issued(&key);
        let bytes = STANDARD.decode(&made.security_token).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            *changed.get_mut(at).unwrap() ^= 1;
            assert!(key.open(&made.access_key_id, &STANDARD.encode(changed)).is_err(), "byte {at}");
        }
        assert!(SessionKey::new(b"other").open(&made.access_key_id, &made.security_token).is_err());
        assert!(key.open("STS.other", &made.security_token).is_err());
        for bad in ["", "!", "AAAA", &"A".repeat(4000)] {
            assert!(key.open(&made.access_key_id, bad).is_err());
        }
    }
}
