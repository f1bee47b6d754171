//! The target's transport offer: the key a source may wrap for, who may use it, for what and until when.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::identity::{Identity, PublicIdentity};
use super::material::{DecryptAlgorithm, KeyMaterial, OpenedMaterial};
use super::oaep::OaepHash;
use super::{CryptoError, Writer, base64_bytes};
use crate::model::{JobId, KeySpec, KeystoreId, Random};

/// How long an offer stands.
pub const OFFER_LIFE: Duration = Duration::from_secs(6 * 3600);

/// Name of the wrapping of this release: RSA-OAEP around an ephemeral AES-256 key, AES-KWP (RFC 5649) around keys,
/// AES-256-GCM around secret envelopes.
pub const WRAPPING: &str = "RSA_OAEP_SHA_256+AES_256_KWP+AES_256_GCM";

/// Names of the wrappings for a token and the process that uses it: RSA-OAEP around an ephemeral AES-256 key and AES-KWP
/// around keys, for the token; RSA-OAEP-SHA-256 around the value key and AES-256-GCM around secret envelopes, for the
/// process. The token's OAEP is with the strongest hash that it takes.
const TOKEN_WRAPPINGS: [(&str, OaepHash); 4] = [
    ("RSA_OAEP_SHA_512+AES_256_KWP/RSA_OAEP_SHA_256+AES_256_GCM", OaepHash::Sha512),
    ("RSA_OAEP_SHA_384+AES_256_KWP/RSA_OAEP_SHA_256+AES_256_GCM", OaepHash::Sha384),
    ("RSA_OAEP_SHA_256+AES_256_KWP/RSA_OAEP_SHA_256+AES_256_GCM", OaepHash::Sha256),
    ("RSA_OAEP_SHA_1+AES_256_KWP/RSA_OAEP_SHA_256+AES_256_GCM", OaepHash::Sha1),
];

/// How a source wraps for an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    /// For one holder of keys and values: [`WRAPPING`].
    Whole,
    /// Keys for a token, with this OAEP, and values for the process that uses it.
    Split(OaepHash),
}

impl Wrapping {
    /// Its name in offers.
    #[must_use]
    pub fn name(self) -> &'static str {
        let token = TOKEN_WRAPPINGS.iter().find(|(_, oaep)| self == Self::Split(*oaep));
        token.map_or(WRAPPING, |(name, _)| name)
    }

    fn named(name: &str) -> Option<Self> {
        if name == WRAPPING {
            return Some(Self::Whole);
        }
        TOKEN_WRAPPINGS.iter().find(|(known, _)| *known == name).map(|(_, oaep)| Self::Split(*oaep))
    }
}

/// What the target offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The target.
    pub target: KeystoreId,
    /// The job it is for.
    pub job: JobId,
    /// The worker's fencing token it is for.
    pub token: u64,
    /// RSA public key, DER SubjectPublicKeyInfo.
    #[serde(with = "base64_bytes")]
    pub public_key: Vec<u8>,
    /// Where `public_key` is that of a token: the RSA public key for values, DER SubjectPublicKeyInfo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_public_key: Option<ValuePublicKey>,
    /// What the target can unwrap, strongest first; see [`WRAPPING`].
    pub algorithms: Vec<String>,
    /// Until when.
    pub expires_at: Timestamp,
    /// The source's nonce.
    #[serde(with = "base64_bytes")]
    pub nonce: [u8; 32],
}

/// DER SubjectPublicKeyInfo of the process that uses a token; as Base64 in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ValuePublicKey(#[serde(with = "base64_bytes")] pub Vec<u8>);

impl Offer {
    /// The strongest wrapping of the offer that this release knows.
    #[must_use]
    pub fn wrapping(&self) -> Option<Wrapping> {
        self.algorithms.iter().find_map(|name| Wrapping::named(name))
    }

    /// SHA-256 over the canonical form: names the offer in parcels.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.encode()).into()
    }

    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.text(&self.target.to_string()).text(self.job.as_str()).u64(self.token).field(&self.public_key);
        writer.count(self.algorithms.len());
        for algorithm in &self.algorithms {
            writer.text(algorithm);
        }
        writer.text(&self.expires_at.to_string()).raw(&self.nonce);
        if let Some(ValuePublicKey(key)) = &self.value_public_key {
            writer.field(key);
        }
        writer.finish()
    }
}

/// An offer with the target's Ed25519 signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedOffer {
    /// The offer.
    pub offer: Offer,
    /// The signature.
    #[serde(with = "base64_bytes")]
    pub signature: Vec<u8>,
}

impl SignedOffer {
    /// Signs an offer.
    #[must_use]
    pub fn sign(offer: Offer, identity: &Identity) -> Self {
        let signature = identity.sign(PURPOSE, &offer.encode());
        Self { offer, signature }
    }

    /// Verifies that the target made it.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] when it did not.
    pub fn verify(&self, target: &PublicIdentity) -> Result<(), CryptoError> {
        target.verify(PURPOSE, &self.offer.encode(), &self.signature)
    }
}

/// The private key behind an offer; lives in memory only.
pub struct OfferKey {
    opened: OpenedMaterial,
    public: Vec<u8>,
}

impl OfferKey {
    /// A new RSA-3072 key. Takes some hundred milliseconds.
    ///
    /// # Errors
    /// When the library fails.
    pub fn generate(random: &dyn Random) -> Result<Self, CryptoError> {
        let opened = KeyMaterial::generate(KeySpec::Rsa3072, random)?.open()?;
        let public = opened.public_key_der()?;
        Ok(Self { opened, public })
    }

    /// The public key, DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn public_der(&self) -> &[u8] {
        &self.public
    }

    pub(super) fn unwrap(&self, wrapped: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, CryptoError> {
        self.opened.decrypt(DecryptAlgorithm::OaepSha256, wrapped)
    }
}

const PURPOSE: &str = "keyferry transport offer v1";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_wrapping_is_read_back_from_its_name() {
        for wrapping in [Wrapping::Whole].into_iter().chain(OaepHash::ALL.map(Wrapping::Split)) {
            let offer = Offer {
                target: "kst-a".parse().unwrap(),
                job: "job-00000000000000000001".parse().unwrap(),
                token: 7,
                public_key: Vec::new(),
                value_public_key: None,
                algorithms: vec!["of a later release".to_owned(), wrapping.name().to_owned()],
                expires_at: Timestamp::UNIX_EPOCH,
                nonce: [0; 32],
            };
            assert_eq!(offer.wrapping(), Some(wrapping));
        }
    }
}
