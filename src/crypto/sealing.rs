//! How everything secret lies in a store: root key -> KEK per (region, account) -> data key per incarnation -> record.
//!
//! A sealed record is a format byte (1), a random IV of 12 bytes, the AES-256-GCM ciphertext and its tag of 16 bytes.
//! Its additional data is the [`Address`] it lies at, so a record that was copied elsewhere does not open.

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::opened::{aes, open_gcm, seal_gcm_parts};
use super::{CryptoError, Writer};
use crate::model::{Incarnation, KeystoreId, MaterialId, Random, ResourceId, Scope};

/// A key that seals records: root key, KEK or data key. Zeroized on drop; no `Debug`.
pub struct SealingKey {
    bytes: Zeroizing<[u8; 32]>,
    gcm: LessSafeKey,
}

impl SealingKey {
    /// A key of 32 bytes.
    ///
    /// # Errors
    /// When the library fails.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Result<Self, CryptoError> {
        let gcm = aes(&AES_256_GCM, bytes.as_slice())?;
        Ok(Self { bytes, gcm })
    }

    /// A random key.
    ///
    /// # Errors
    /// When the library fails.
    pub fn generate(random: &dyn Random) -> Result<Self, CryptoError> {
        let mut bytes = Zeroizing::new([0; 32]);
        random.fill(bytes.as_mut_slice());
        Self::new(bytes)
    }

    /// Seals a record for its address.
    ///
    /// # Errors
    /// When the library fails.
    pub fn seal(&self, random: &dyn Random, address: &Address<'_>, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.seal_parts(random, address, &[plaintext])
    }

    /// As [`SealingKey::seal`], for a plaintext in parts.
    ///
    /// # Errors
    /// When the library fails.
    pub(crate) fn seal_parts(
        &self,
        random: &dyn Random,
        address: &Address<'_>,
        parts: &[&[u8]],
    ) -> Result<Vec<u8>, CryptoError> {
        seal_gcm_parts(&self.gcm, random, &address.encode(), &[FORMAT], parts)
    }

    /// Opens a record at its address.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] when it does not open here, [`CryptoError::Malformed`] when its format is not known.
    pub fn open(&self, address: &Address<'_>, record: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        match record.split_first() {
            Some((&FORMAT, sealed)) => open_gcm(&self.gcm, &address.encode(), sealed),
            _ => Err(CryptoError::Malformed("sealed record")),
        }
    }

    /// Seals another key under this one.
    ///
    /// # Errors
    /// When the library fails.
    pub fn wrap(&self, random: &dyn Random, address: &Address<'_>, key: &Self) -> Result<Vec<u8>, CryptoError> {
        self.seal(random, address, key.bytes.as_slice())
    }

    /// Opens a key that [`SealingKey::wrap`] sealed.
    ///
    /// # Errors
    /// As [`SealingKey::open`].
    pub fn unwrap(&self, address: &Address<'_>, record: &[u8]) -> Result<Self, CryptoError> {
        let opened = self.open(address, record)?;
        let bytes = <[u8; 32]>::try_from(opened.as_slice()).map_err(|_| CryptoError::Malformed("sealed key"))?;
        Self::new(Zeroizing::new(bytes))
    }
}

/// The key above all others of one keystore.
pub struct RootKey(SealingKey);

impl RootKey {
    /// A root key of 32 bytes.
    ///
    /// # Errors
    /// When the library fails.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Result<Self, CryptoError> {
        SealingKey::new(bytes).map(Self)
    }

    /// Its public ID: the first 16 hexadecimal digits of SHA-256 over a domain tag and the key.
    #[must_use]
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"keyferry root key id v1");
        hash.update(self.0.bytes.as_slice());
        let digest = hash.finalize();
        hex::encode(digest.get(..8).unwrap_or_default())
    }

    /// The sealed constant that a store keeps, to tell a wrong root key from damage.
    ///
    /// # Errors
    /// When the library fails.
    pub fn check_record(&self, random: &dyn Random, keystore: &KeystoreId) -> Result<Vec<u8>, CryptoError> {
        self.0.seal(random, &Address::of(keystore, "check"), CHECK)
    }

    /// Whether a check record was made under this key for this keystore.
    #[must_use]
    pub fn opens_check(&self, keystore: &KeystoreId, record: &[u8]) -> bool {
        self.0.open(&Address::of(keystore, "check"), record).is_ok_and(|text| text.as_slice() == CHECK)
    }

    /// The sealing key itself, for the records directly under the root.
    pub(crate) const fn sealing(&self) -> &SealingKey {
        &self.0
    }
}

/// Where a sealed record lies. Absent parts are empty fields.
#[derive(Clone, Copy)]
pub struct Address<'a> {
    /// The keystore.
    pub keystore: &'a KeystoreId,
    /// Account and region.
    pub scope: Option<&'a Scope>,
    /// The resource.
    pub resource: Option<&'a ResourceId>,
    /// Its life.
    pub incarnation: Option<&'a Incarnation>,
    /// The version.
    pub version: Option<&'a MaterialId>,
    /// What of it.
    pub field: &'static str,
    /// Further data that is stored in the clear beside the record and must not be changed.
    pub beside: &'a [u8],
}

impl<'a> Address<'a> {
    /// An address directly under the root.
    #[must_use]
    pub const fn of(keystore: &'a KeystoreId, field: &'static str) -> Self {
        Self { keystore, scope: None, resource: None, incarnation: None, version: None, field, beside: &[] }
    }

    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.text("keyferry sealed v1").keystore(self.keystore);
        writer.text(self.scope.map_or("", |s| s.account.as_str())).text(self.scope.map_or("", |s| s.region.as_str()));
        writer.text(self.resource.map_or("", |r| r.kind().as_str())).text(self.resource.map_or("", ResourceId::name));
        writer.text(self.incarnation.map_or("", Incarnation::as_str)).text(self.version.map_or("", MaterialId::as_str));
        writer.text(self.field).field(self.beside).finish()
    }
}

const FORMAT: u8 = 1;
const CHECK: &[u8] = b"keyferry check record v1";

#[cfg(test)]
#[path = "sealing_tests.rs"]
mod tests;
