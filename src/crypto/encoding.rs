//! The canonical binary form under additional data, signatures and stored records: integers big-endian, fields with a
//! 32-bit length in front. One value has exactly one encoding.

use sha2::Digest;

use super::CryptoError;
use crate::model::KeystoreId;

/// Appends canonical fields. The buffer grows by reallocation: for secrets start with [`Writer::with_capacity`], large
/// enough, so that no copy is left behind.
pub(crate) struct Writer(Vec<u8>);

/// More than most addresses, labels and heads take, so that they are written without growing.
const COMMON: usize = 256;

impl Writer {
    /// An empty writer.
    pub(crate) fn new() -> Self {
        Self::with_capacity(COMMON)
    }

    /// An empty writer with room for `bytes`.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Appends one byte.
    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    /// Appends 64 bits.
    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends a number of entries.
    pub(crate) fn count(&mut self, value: usize) -> &mut Self {
        self.u64(u64::try_from(value).unwrap_or(u64::MAX))
    }

    /// Appends bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends a length and bytes.
    pub(crate) fn field(&mut self, bytes: &[u8]) -> &mut Self {
        self.raw(&length(bytes.len())).raw(bytes)
    }

    /// Appends a text as a field.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.field(text.as_bytes())
    }

    /// Appends the text of a keystore's ID as a field.
    pub(crate) fn keystore(&mut self, id: &KeystoreId) -> &mut Self {
        let (front, name) = match id {
            KeystoreId::Shared(region) => ("shared:", region.as_str()),
            KeystoreId::Instance(id) => ("", id.as_str()),
        };
        self.raw(&length(front.len().saturating_add(name.len()))).raw(front.as_bytes()).raw(name.as_bytes())
    }

    /// What was written.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

/// What stands in front of a field of so many bytes. Nothing here comes near 4 GiB; a longer field would get a length
/// that no reader accepts.
pub(super) fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

/// Digests what [`Writer::field`] would append, without a copy of it.
pub(crate) fn digest_field(hash: &mut impl Digest, bytes: &[u8]) {
    hash.update(length(bytes.len()));
    hash.update(bytes);
}

/// Reads what [`Writer`] wrote; every error names what was being read.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`, a `what`.
    pub(crate) const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// The next `length` bytes.
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], CryptoError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CryptoError::Malformed(self.what))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], CryptoError> {
        self.take(N)?.try_into().map_err(|_| CryptoError::Malformed(self.what))
    }

    /// One byte.
    pub(crate) fn u8(&mut self) -> Result<u8, CryptoError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A field with its length in front.
    pub(crate) fn field(&mut self) -> Result<&'a [u8], CryptoError> {
        let length = u32::from_be_bytes(self.array()?);
        self.take(usize::try_from(length).map_err(|_| CryptoError::Malformed(self.what))?)
    }

    /// A text field, parsed into an identifier.
    pub(crate) fn text<T: std::str::FromStr>(&mut self) -> Result<T, CryptoError> {
        let malformed = CryptoError::Malformed(self.what);
        std::str::from_utf8(self.field()?).map_err(|_| malformed)?.parse().map_err(|_| malformed)
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Nothing may be left.
    pub(crate) const fn end(&self) -> Result<(), CryptoError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CryptoError::Malformed(self.what)) }
    }
}

/// Byte strings as Base64 in JSON, for use with `#[serde(with = "…")]`.
pub mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    /// Writes Base64.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: Serializer, T: AsRef<[u8]>>(bytes: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    /// Reads Base64.
    ///
    /// # Errors
    /// When it is not Base64 or has the wrong length.
    pub fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<Vec<u8>>>(deserializer: D) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
        bytes.try_into().map_err(|_| D::Error::custom("wrong length"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sha2::Sha256;

    use super::*;

    #[test]
    fn a_keystore_is_written_as_its_text() {
        for text in ["shared:cn-hangzhou", "kst-a", "kst-0123456789"] {
            let id: KeystoreId = text.parse().unwrap();
            assert_eq!(Writer::new().keystore(&id).finish(), Writer::new().text(&id.to_string()).finish());
        }
    }

    #[test]
    fn a_field_is_digested_as_it_is_written() {
        for bytes in [b"".as_slice(), b"field", &[7; 1000]] {
            let mut hash = Sha256::new();
            digest_field(&mut hash, bytes);
            assert_eq!(hash.finalize(), Sha256::digest(Writer::new().field(bytes).finish()));
        }
    }
}
