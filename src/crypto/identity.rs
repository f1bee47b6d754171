//! Ed25519 identities of keystores (RFC 8032). The public half is pinned in the catalogue.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{CryptoError, Writer, base64_bytes};
use crate::model::Random;

/// The public half, as Base64 in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicIdentity(#[serde(with = "base64_bytes")] pub [u8; 32]);

impl std::fmt::Display for PublicIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl PublicIdentity {
    /// Verifies a signature made for `purpose`.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] when it does not verify.
    pub fn verify(&self, purpose: &'static str, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(&tagged(purpose, message), signature)
            .map_err(|_| CryptoError::Rejected)
    }
}

/// The private half. No `Debug`; the library clears the key on drop.
pub struct Identity {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
}

impl Identity {
    /// A new identity.
    ///
    /// # Errors
    /// When the library fails.
    pub fn generate(random: &dyn Random) -> Result<Self, CryptoError> {
        let mut seed = Zeroizing::new([0; 32]);
        random.fill(seed.as_mut_slice());
        Self::from_seed(seed)
    }

    /// The identity of a stored seed.
    ///
    /// # Errors
    /// When the library refuses it.
    pub fn from_seed(seed: Zeroizing<[u8; 32]>) -> Result<Self, CryptoError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).map_err(|_| CryptoError::Failed("Ed25519"))?;
        Ok(Self { seed, pair })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicIdentity {
        PublicIdentity(self.pair.public_key().as_ref().try_into().unwrap_or_default())
    }

    /// Signs for a purpose, so that a signature for one thing is never one for another.
    #[must_use]
    pub fn sign(&self, purpose: &'static str, message: &[u8]) -> Vec<u8> {
        self.pair.sign(&tagged(purpose, message)).as_ref().to_vec()
    }

    /// The seed, to be sealed.
    pub(crate) fn seed(&self) -> &[u8] {
        self.seed.as_slice()
    }
}

fn tagged(purpose: &'static str, message: &[u8]) -> Vec<u8> {
    Writer::new().text(purpose).field(message).finish()
}
