//! The keys of one transport session and what they wrap. Plaintext material passes through here only inside types
//! that cannot be printed or serialized.

use std::sync::OnceLock;

use aes_kw::{KeyInit, KwpAes256};
use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::CryptoError;
use super::encoding::length;
use super::envelope::SecretEnvelope;
use super::material::KeyMaterial;
use super::oaep::OaepHash;
use super::offer::OfferKey;
use super::opened::{aes, open_gcm, seal_gcm_parts};
use super::verify::encrypt_to;
use crate::model::{JobId, KeySpec, Random};

/// The ephemeral AES key and the secret-value key of one session. Zeroized on drop; no `Debug`.
///
/// Where the offer is that of a token, the ephemeral key reaches the token alone and the value key the process that uses
/// it; what the two sides derive is then derived from the value key.
pub struct TransportKeys {
    /// `None` in a process whose token has it.
    kek: Option<Zeroizing<[u8; 32]>>,
    value_key: Zeroizing<[u8; 32]>,
    /// The value key as the library uses it, made when the first value comes; the library clears it.
    value_cipher: OnceLock<LessSafeKey>,
    split: bool,
}

impl TransportKeys {
    /// Fresh keys.
    #[must_use]
    pub fn generate(random: &dyn Random) -> Self {
        let (mut kek, mut value_key) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        random.fill(kek.as_mut_slice());
        random.fill(value_key.as_mut_slice());
        Self { kek: Some(kek), value_key, value_cipher: OnceLock::new(), split: false }
    }

    /// Wraps both keys for the holder of an offer: (RSA-OAEP-SHA-256 of the ephemeral key, AES-KWP of the value key).
    ///
    /// # Errors
    /// When the offered public key cannot be used.
    pub fn wrap_for(&self, public_der: &[u8]) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        Ok((self.wrap_kek(public_der, OaepHash::Sha256)?, self.wrap(self.value_key.as_slice())?))
    }

    /// Wraps both keys for a token and its process: (RSA-OAEP of the ephemeral key for the token, RSA-OAEP-SHA-256 of the
    /// value key for the process).
    ///
    /// # Errors
    /// When an offered public key cannot be used.
    pub fn wrap_for_token(
        &mut self,
        token: &[u8],
        oaep: OaepHash,
        process: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        self.split = true;
        let value_key = encrypt_to(process, OaepHash::Sha256, self.value_key.as_slice())?;
        Ok((self.wrap_kek(token, oaep)?, value_key))
    }

    /// The ephemeral key for the holder of a key pair.
    ///
    /// # Errors
    /// When the public key cannot be used.
    pub fn wrap_kek(&self, public_der: &[u8], oaep: OaepHash) -> Result<Vec<u8>, CryptoError> {
        encrypt_to(public_der, oaep, self.kek()?)
    }

    /// Opens the value key of [`TransportKeys::wrap_for_token`]; the ephemeral key is the token's.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] when it does not open.
    pub fn unwrap_value_key(offer: &OfferKey, wrapped_value_key: &[u8]) -> Result<Self, CryptoError> {
        let value_key = array(&offer.unwrap(wrapped_value_key)?)?;
        Ok(Self { kek: None, value_key, value_cipher: OnceLock::new(), split: true })
    }

    /// Opens what [`TransportKeys::wrap_for`] made. An RSA operation.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] when it does not open.
    pub fn unwrap(offer: &OfferKey, wrapped_kek: &[u8], wrapped_value_key: &[u8]) -> Result<Self, CryptoError> {
        let kek = array(&offer.unwrap(wrapped_kek)?)?;
        let value_key = array(&unwrap_under(kek.as_slice(), wrapped_value_key)?)?;
        Ok(Self { kek: Some(kek), value_key, value_cipher: OnceLock::new(), split: false })
    }

    /// The job's digest key: HKDF-SHA-256 (RFC 5869) of the ephemeral key, or of the value key where a token has that.
    ///
    /// # Errors
    /// When the library fails.
    pub fn digest_key(&self, job: &JobId) -> Result<DigestKey, CryptoError> {
        let info: [&[u8]; 2] = [b"keyferry digest v1", job.as_str().as_bytes()];
        let mut bytes = Zeroizing::new([0; 32]);
        Salt::new(HKDF_SHA256, &[])
            .extract(if self.split { self.value_key.as_slice() } else { self.kek()? })
            .expand(&info, KeyLength)
            .and_then(|okm| okm.fill(bytes.as_mut_slice()))
            .map_err(|_| CryptoError::Failed("HKDF"))?;
        Ok(DigestKey::new(bytes))
    }

    /// AES-KWP (RFC 5649) of key material.
    ///
    /// # Errors
    /// When the library fails.
    pub fn wrap_material(&self, material: &KeyMaterial) -> Result<Vec<u8>, CryptoError> {
        self.wrap(material.expose())
    }

    /// Opens wrapped key material and checks that it fits its spec.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] when it does not open, [`CryptoError::Malformed`] when it does not fit.
    pub fn unwrap_material(&self, spec: KeySpec, wrapped: &[u8]) -> Result<KeyMaterial, CryptoError> {
        KeyMaterial::from_imported(spec, unwrap_under(self.kek()?, wrapped)?)
    }

    /// AES-256-GCM of a secret envelope under the value key.
    ///
    /// # Errors
    /// When the library fails.
    pub fn seal_envelope(
        &self,
        random: &dyn Random,
        aad: &[u8],
        envelope: &SecretEnvelope,
    ) -> Result<Vec<u8>, CryptoError> {
        let key = self.value_cipher()?;
        envelope.in_parts(|parts| seal_gcm_parts(key, random, aad, &[], parts))
    }

    /// Opens what [`TransportKeys::seal_envelope`] made.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] when it does not open, [`CryptoError::Malformed`] when it is no envelope.
    pub fn open_envelope(&self, aad: &[u8], sealed: &[u8]) -> Result<SecretEnvelope, CryptoError> {
        SecretEnvelope::decode_owned(open_gcm(self.value_cipher()?, aad, sealed)?)
    }

    fn wrap(&self, bytes: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let mut room = vec![0; bytes.len().saturating_add(16)];
        let length = kwp(self.kek()?)?.wrap_key(bytes, &mut room).map_err(|_| CryptoError::Failed("AES-KWP"))?.len();
        room.truncate(length);
        Ok(room)
    }

    fn value_cipher(&self) -> Result<&LessSafeKey, CryptoError> {
        if let Some(key) = self.value_cipher.get() {
            return Ok(key);
        }
        let key = aes(&AES_256_GCM, self.value_key.as_slice())?;
        Ok(self.value_cipher.get_or_init(|| key))
    }

    fn kek(&self) -> Result<&[u8], CryptoError> {
        self.kek.as_ref().map(|kek| kek.as_slice()).ok_or(CryptoError::Unsuitable("the token has it"))
    }
}

fn unwrap_under(kek: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let mut room = Zeroizing::new(vec![0; wrapped.len()]);
    let length = kwp(kek)?.unwrap_key(wrapped, &mut room).map_err(|_| CryptoError::Rejected)?.len();
    room.truncate(length);
    Ok(room)
}

fn kwp(kek: &[u8]) -> Result<KwpAes256, CryptoError> {
    KwpAes256::new_from_slice(kek).map_err(|_| CryptoError::Failed("AES-KWP"))
}

/// The key under which the two keystores of a job compare what they hold. Zeroized on drop; no `Debug`.
#[derive(Clone)]
pub struct DigestKey {
    bytes: Zeroizing<[u8; 32]>,
    /// As the library uses it; the library clears it. In a box, so that moving it leaves nothing behind.
    key: Box<hmac::Key>,
}

impl DigestKey {
    fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        let key = Box::new(hmac::Key::new(hmac::HMAC_SHA256, bytes.as_slice()));
        Self { bytes, key }
    }

    /// A stored digest key.
    ///
    /// # Errors
    /// When it is not 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, CryptoError> {
        array(bytes).map(Self::new)
    }

    /// HMAC-SHA-256 of an envelope's binary form.
    #[must_use]
    pub fn envelope(&self, envelope: &SecretEnvelope) -> [u8; 32] {
        envelope.in_parts(|parts| self.mac("envelope", parts))
    }

    /// HMAC-SHA-256 of key material.
    #[must_use]
    pub fn material(&self, material: &KeyMaterial) -> [u8; 32] {
        self.mac(material.spec().as_str(), &[material.expose()])
    }

    /// HMAC-SHA-256 of public bytes, such as a list of the digests above.
    #[must_use]
    pub fn bytes(&self, bytes: &[u8]) -> [u8; 32] {
        self.mac("bytes", &[bytes])
    }

    /// The bytes, to be sealed, or compared in constant time.
    pub(crate) fn expose(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    fn mac(&self, kind: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&length(kind.len()));
        context.update(kind.as_bytes());
        parts.iter().for_each(|part| context.update(part));
        context.sign().as_ref().try_into().unwrap_or_default()
    }
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        32
    }
}

fn array(bytes: &[u8]) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
    bytes.try_into().map(Zeroizing::new).map_err(|_| CryptoError::Malformed("transport key"))
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
