//! Ciphertext blob v1: what `Encrypt` and `GenerateDataKey` hand out. It opens for ever; golden blobs are in the tests.
//!
//! ```text
//! "KFRY"  01  len(key ID) u8  key ID  key version ID (16)  IV (12)  ciphertext  tag (16)
//! ```
//!
//! Plain AES-GCM under the version's raw material, so that a PKCS#11 token can open it. Additional data: the header up
//! to the IV, then the encryption context: the number of pairs (u64) and each name and value with a 32-bit length in
//! front, in byte order of the names. An absent and an empty context are equal; the additional data is never empty.

use std::collections::BTreeMap;

use super::opened::{IV_LEN, TAG_LEN};
use super::{CryptoError, Reader, Writer};
use crate::model::{KeyId, MaterialId};

/// Which key, and which of its versions, opens a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The key.
    pub key_id: KeyId,
    /// The key version.
    pub version: MaterialId,
}

impl Header {
    /// The bytes in front of the IV.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let id = self.key_id.as_str().as_bytes();
        let mut writer = Writer::new();
        // A key ID has at most 64 characters.
        writer.raw(MAGIC).u8(FORMAT).u8(u8::try_from(id.len()).unwrap_or(u8::MAX)).raw(id);
        writer.raw(&self.version.to_bytes()).finish()
    }
}

/// Splits a blob into its header and the sealed part (IV, ciphertext, tag).
///
/// # Errors
/// [`CryptoError::Malformed`] when it is no blob of a known format.
pub fn parse(blob: &[u8]) -> Result<(Header, &[u8]), CryptoError> {
    let malformed = CryptoError::Malformed(WHAT);
    let mut reader = Reader::new(blob, WHAT);
    if reader.take(MAGIC.len())? != MAGIC || reader.u8()? != FORMAT {
        return Err(malformed);
    }
    let length = usize::from(reader.u8()?);
    let key_id = std::str::from_utf8(reader.take(length)?).map_err(|_| malformed)?.parse().map_err(|_| malformed)?;
    let version = MaterialId::from_bytes(reader.array()?);
    let sealed = reader.rest();
    if sealed.len() < IV_LEN + TAG_LEN {
        return Err(malformed);
    }
    Ok((Header { key_id, version }, sealed))
}

/// The additional data of a blob.
#[must_use]
pub fn aad(header: &Header, context: &BTreeMap<String, String>) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(&header.encode()).count(context.len());
    for (name, value) in context {
        writer.text(name).text(value);
    }
    writer.finish()
}

/// Puts a blob together from its header and what the keystore's `seal` returned (IV, ciphertext, tag).
#[must_use]
pub fn assemble(header: &Header, sealed: &[u8]) -> Vec<u8> {
    let mut blob = header.encode();
    blob.extend_from_slice(sealed);
    blob
}

const MAGIC: &[u8] = b"KFRY";
const FORMAT: u8 = 1;
const WHAT: &str = "ciphertext blob";

#[cfg(test)]
#[path = "blob_tests.rs"]
mod tests;
