//! Sealing a long stream in chunks: STREAM (Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015), with AES-256-GCM under a
//! fresh key a stream. Each chunk is bound to the head, its number and whether it is the last, so that chunks that are
//! missing, moved, repeated or from another stream do not open, and a stream that was cut shows.

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::opened::{aes, open_gcm, seal_gcm};
use super::{CryptoError, Writer};
use crate::model::Random;

/// The key above the keys of streams. Zeroized on drop; no `Debug`.
#[derive(Clone)]
pub struct ArchiveKey {
    bytes: Zeroizing<[u8; 32]>,
}

/// A stream's key, and the head it is bound to.
pub struct Stream {
    gcm: LessSafeKey,
    head: [u8; 32],
}

impl ArchiveKey {
    /// A key of 32 bytes.
    #[must_use]
    pub const fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self { bytes }
    }

    /// Its public ID: the first 16 hexadecimal digits of SHA-256 over a domain tag and the key.
    #[must_use]
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"keyferry backup key id v1");
        hash.update(self.bytes.as_slice());
        hex::encode(hash.finalize().get(..8).unwrap_or_default())
    }

    /// A new stream: its key, sealed under this one for `purpose`, and the stream.
    ///
    /// # Errors
    /// When the library fails.
    pub fn begin(&self, random: &dyn Random, purpose: &[u8]) -> Result<(Vec<u8>, Stream), CryptoError> {
        let mut key = Zeroizing::new([0; 32]);
        random.fill(key.as_mut_slice());
        let sealed = seal_gcm(&aes(&AES_256_GCM, self.bytes.as_slice())?, random, purpose, key.as_slice())?;
        let stream = Stream::new(key.as_slice(), purpose, &sealed)?;
        Ok((sealed, stream))
    }

    /// The stream whose key was sealed under this one.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`]: under another key, for another purpose, or damaged.
    pub fn resume(&self, purpose: &[u8], sealed: &[u8]) -> Result<Stream, CryptoError> {
        let key = open_gcm(&aes(&AES_256_GCM, self.bytes.as_slice())?, purpose, sealed)?;
        Stream::new(&key, purpose, sealed)
    }
}

impl Stream {
    fn new(key: &[u8], purpose: &[u8], sealed: &[u8]) -> Result<Self, CryptoError> {
        let head = Sha256::digest(Writer::new().field(purpose).field(sealed).finish());
        Ok(Self { gcm: aes(&AES_256_GCM, key)?, head: head.into() })
    }

    /// Seals chunk `number`, counted from 0.
    ///
    /// # Errors
    /// When the library fails.
    pub fn seal(&self, random: &dyn Random, number: u64, last: bool, text: &[u8]) -> Result<Vec<u8>, CryptoError> {
        seal_gcm(&self.gcm, random, &self.aad(number, last), text)
    }

    /// Opens chunk `number`.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] if it is not that chunk.
    pub fn open(&self, number: u64, last: bool, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        open_gcm(&self.gcm, &self.aad(number, last), sealed)
    }

    fn aad(&self, number: u64, last: bool) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.text("keyferry chunk v1").field(&self.head).u64(number).u8(u8::from(last));
        writer.finish()
    }
}
