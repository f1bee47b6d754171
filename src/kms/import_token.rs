//! The import token: everything ImportKeyMaterial needs to know, sealed, so that no record has to be kept for it and it
//! survives a restart.
//!
//! It holds the private wrapping key and says for which key, algorithm and time. It is sealed under a system key of the
//! region's shared keystore, which no migration moves.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rsa::{Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::{KmsError, Service};
use crate::crypto::material::{DecryptAlgorithm, KeyMaterial};
use crate::model::{AccountId, Incarnation, KeyId, KeyRecord, KeySpec, RegionId, Scope};

/// How the owner wraps the material (API page GetParametersForImport, wrapping keys of spec RSA_2048).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WrappingAlgorithm {
    /// RSAES-PKCS1-v1_5 (RFC 8017).
    #[serde(rename = "RSAES_PKCS1_V1_5")]
    Pkcs1,
    /// RSAES-OAEP with SHA-1.
    #[serde(rename = "RSAES_OAEP_SHA_1")]
    OaepSha1,
    /// RSAES-OAEP with SHA-256.
    #[serde(rename = "RSAES_OAEP_SHA_256")]
    OaepSha256,
}

impl WrappingAlgorithm {
    const ALL: [Self; 3] = [Self::Pkcs1, Self::OaepSha1, Self::OaepSha256];

    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pkcs1 => "RSAES_PKCS1_V1_5",
            Self::OaepSha1 => "RSAES_OAEP_SHA_1",
            Self::OaepSha256 => "RSAES_OAEP_SHA_256",
        }
    }
}

impl fmt::Display for WrappingAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for WrappingAlgorithm {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text).ok_or(())
    }
}

/// The contents of a token. No `Debug`: it holds a private key.
#[derive(Serialize, Deserialize)]
pub(super) struct ImportToken {
    pub(super) key: KeyId,
    pub(super) incarnation: Incarnation,
    pub(super) algorithm: WrappingAlgorithm,
    pub(super) expires_at: Timestamp,
    /// PKCS#8, Base64.
    wrapping_key: String,
}

impl Drop for ImportToken {
    fn drop(&mut self) {
        self.wrapping_key.zeroize();
    }
}

impl ImportToken {
    /// A token with a fresh RSA-2048 wrapping key, and the key's public half as DER SubjectPublicKeyInfo.
    pub(super) fn new(
        key: &KeyRecord,
        algorithm: WrappingAlgorithm,
        expires_at: Timestamp,
        wrapping: &KeyMaterial,
    ) -> Result<(Self, Vec<u8>), KmsError> {
        let public = wrapping.open().and_then(|opened| opened.public_key_der()).map_err(fault)?;
        let token = Self {
            key: key.id.clone(),
            incarnation: key.incarnation.clone(),
            algorithm,
            expires_at,
            wrapping_key: STANDARD.encode(wrapping.expose()),
        };
        Ok((token, public))
    }

    /// Unwraps material. One answer for everything that does not unwrap, so that it tells nothing of the padding.
    pub(super) fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        let invalid = KmsError::InvalidKeyMaterial;
        let Ok(pkcs8) = STANDARD.decode(&self.wrapping_key).map(Zeroizing::new) else {
            return Err(invalid);
        };
        let oaep = match self.algorithm {
            WrappingAlgorithm::Pkcs1 => return unwrap_pkcs1(&pkcs8, wrapped).ok_or(invalid),
            WrappingAlgorithm::OaepSha1 => DecryptAlgorithm::OaepSha1,
            WrappingAlgorithm::OaepSha256 => DecryptAlgorithm::OaepSha256,
        };
        let material = KeyMaterial::from_imported(KeySpec::Rsa2048, pkcs8).map_err(fault)?;
        material.open().and_then(|opened| opened.decrypt(oaep, wrapped)).map_err(|_| invalid)
    }
}

impl Service {
    /// Seals a token for the region.
    pub(super) async fn seal_token(&self, region: &RegionId, token: &ImportToken) -> Result<Vec<u8>, KmsError> {
        let text = Zeroizing::new(serde_json::to_vec(token).map_err(|error| KmsError::Internal(error.to_string()))?);
        let key = self.token_key(region).await?;
        Ok(self.seal_blob(&key, &text, &purpose()).await?.blob)
    }

    /// Opens a token; `None` when it is not one of ours for this region.
    pub(super) async fn open_token(&self, region: &RegionId, sealed: &[u8]) -> Result<Option<ImportToken>, KmsError> {
        let key = self.token_key(region).await?;
        match self.open_blob(&key, sealed, &purpose()).await {
            Ok(opened) => Ok(serde_json::from_slice(&opened.plaintext).ok()),
            Err(KmsError::InvalidParameter(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn token_key(&self, region: &RegionId) -> Result<KeyRecord, KmsError> {
        self.system_key(region, "import-token").await
    }

    /// A key of the region for a purpose of our own. No tenant has its account, so no list, lock or plan ever meets it.
    pub(super) async fn system_key(&self, region: &RegionId, purpose: &str) -> Result<KeyRecord, KmsError> {
        let account: AccountId = SYSTEM_ACCOUNT.parse().map_err(|_| KmsError::Internal("system account".to_owned()))?;
        self.service_key(&Scope { region: region.clone(), account }, purpose).await
    }
}

const SYSTEM_ACCOUNT: &str = "0000000000000000";

fn purpose() -> BTreeMap<String, String> {
    BTreeMap::from([("purpose".to_owned(), "import token v1".to_owned())])
}

fn unwrap_pkcs1(pkcs8: &[u8], wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let key = Pkcs1PrivateDecryptingKey::new(PrivateDecryptingKey::from_pkcs8(pkcs8).ok()?).ok()?;
    let mut room = Zeroizing::new(vec![0; key.min_output_size()]);
    let plaintext = key.decrypt(wrapped, &mut room).ok()?;
    Some(Zeroizing::new(plaintext.to_vec()))
}

fn fault(error: crate::crypto::CryptoError) -> KmsError {
    KmsError::Internal(error.to_string())
}
