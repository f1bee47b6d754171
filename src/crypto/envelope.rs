//! What a keystore stores for one version of a secret.
//!
//! Binary form: `01 01 value` under the system key, `01 02 len key-ID len blob len sealed-value` under a customer's key
//! (lengths of 32 bits).

use aws_lc_rs::aead::AES_256_GCM;
use zeroize::Zeroizing;

use super::encoding::length;
use super::opened::{aes, open_gcm, seal_gcm};
use super::{CryptoError, Reader, Writer};
use crate::model::{AccountId, Incarnation, KeyId, MaterialId, Random, RegionId, SecretName};

/// A secret value as it is handed to a keystore. Zeroized on drop; no `Debug`.
#[derive(Clone)]
pub enum SecretEnvelope {
    /// The value itself, protected by the keystore's sealing chain alone: the keystore's system key.
    System {
        /// The value.
        value: Zeroizing<Vec<u8>>,
    },
    /// The value under a data key, and the data key under a customer master key.
    Cmk {
        /// The customer master key.
        key_id: KeyId,
        /// Ciphertext blob of the data key.
        blob: Vec<u8>,
        /// AES-256-GCM of the value under the data key: IV, ciphertext, tag.
        sealed_value: Vec<u8>,
    },
}

impl SecretEnvelope {
    /// Writes the binary form.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Takes the exact size up front: growing would leave copies of the value behind.
        Zeroizing::new(self.in_parts(|parts| parts.concat()))
    }

    /// The binary form in parts, for whoever digests or seals it: it is not put together for that.
    pub(crate) fn in_parts<T>(&self, work: impl FnOnce(&[&[u8]]) -> T) -> T {
        match self {
            Self::System { value } => {
                let parts: [&[u8]; 2] = [&[FORMAT, SYSTEM], value.as_slice()];
                work(&parts)
            }
            Self::Cmk { key_id, blob, sealed_value } => {
                let fields: [&[u8]; 3] = [key_id.as_str().as_bytes(), blob.as_slice(), sealed_value.as_slice()];
                let [of_key_id, of_blob, of_value] = fields.map(|field| length(field.len()));
                let [key_id, blob, sealed_value] = fields;
                let parts: [&[u8]; 7] = [&[FORMAT, CMK], &of_key_id, key_id, &of_blob, blob, &of_value, sealed_value];
                work(&parts)
            }
        }
    }

    /// Reads the binary form.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] when it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, CryptoError> {
        let mut reader = Reader::new(bytes, WHAT);
        match (reader.u8()?, reader.u8()?) {
            (FORMAT, SYSTEM) => Ok(Self::System { value: Zeroizing::new(reader.rest().to_vec()) }),
            (FORMAT, CMK) => {
                let key_id = reader.text()?;
                let blob = reader.field()?.to_vec();
                let sealed_value = reader.field()?.to_vec();
                reader.end()?;
                Ok(Self::Cmk { key_id, blob, sealed_value })
            }
            _ => Err(CryptoError::Malformed(WHAT)),
        }
    }

    /// As [`SecretEnvelope::decode`]; a value under the system key stays where it lies instead of being copied.
    ///
    /// # Errors
    /// As [`SecretEnvelope::decode`].
    pub(crate) fn decode_owned(mut bytes: Zeroizing<Vec<u8>>) -> Result<Self, CryptoError> {
        if bytes.starts_with(&[FORMAT, SYSTEM]) {
            bytes.drain(..2);
            return Ok(Self::System { value: bytes });
        }
        Self::decode(&bytes)
    }

    /// The customer master key it depends on.
    #[must_use]
    pub const fn key_id(&self) -> Option<&KeyId> {
        match self {
            Self::System { .. } => None,
            Self::Cmk { key_id, .. } => Some(key_id),
        }
    }
}

/// Which secret version a value belongs to: the additional data of [`seal_value`].
#[derive(Clone, Copy)]
pub struct ValueAddress<'a> {
    /// The owner.
    pub account: &'a AccountId,
    /// The region.
    pub region: &'a RegionId,
    /// The secret.
    pub name: &'a SecretName,
    /// Its life.
    pub incarnation: &'a Incarnation,
    /// The version.
    pub version: &'a MaterialId,
}

impl ValueAddress<'_> {
    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.text("keyferry secret value v1").text(self.account.as_str()).text(self.region.as_str());
        writer.text(self.name.as_str()).text(self.incarnation.as_str()).text(self.version.as_str()).finish()
    }
}

/// Encrypts a value under a data key (AES-256-GCM, random IV in front).
///
/// # Errors
/// When the library fails.
pub fn seal_value(
    data_key: &[u8; 32],
    address: &ValueAddress<'_>,
    random: &dyn Random,
    value: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    seal_gcm(&aes(&AES_256_GCM, data_key)?, random, &address.encode(), value)
}

/// Decrypts what [`seal_value`] made.
///
/// # Errors
/// [`CryptoError::Rejected`] when it does not open for this version.
pub fn open_value(
    data_key: &[u8; 32],
    address: &ValueAddress<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    open_gcm(&aes(&AES_256_GCM, data_key)?, &address.encode(), sealed)
}

const FORMAT: u8 = 1;
const SYSTEM: u8 = 1;
const CMK: u8 = 2;
const WHAT: &str = "secret envelope";

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
