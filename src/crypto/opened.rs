//! Material in the form the libraries use: parsed and checked once.

use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::{
    KeyPair as RsaKeyPair, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
};
use k256::ecdsa::signature::hazmat::PrehashSigner;
use k256::pkcs8::{DecodePrivateKey, EncodePublicKey};
use zeroize::Zeroizing;

use super::CryptoError;
use super::mac::MacAlgorithm;
use super::material::{DecryptAlgorithm, SignAlgorithm};
use crate::model::{KeySpec, Random};

/// Bytes of the IV in front of a sealed text.
pub(super) const IV_LEN: usize = 12;
/// Bytes of the tag behind a sealed text.
pub(super) const TAG_LEN: usize = 16;

/// Material ready for use. The libraries clear their copies when it is dropped. No `Debug`.
pub struct OpenedMaterial {
    spec: KeySpec,
    form: Form,
}

enum Form {
    Aes(LessSafeKey),
    Hmac(Box<hmac::Key>),
    Rsa { sign: Box<RsaKeyPair>, decrypt: Box<OaepPrivateDecryptingKey>, public: Vec<u8> },
    P256(Box<EcdsaKeyPair>),
    P256k(Box<k256::ecdsa::SigningKey>),
}

impl OpenedMaterial {
    pub(super) fn parse(spec: KeySpec, bytes: &[u8]) -> Result<Self, CryptoError> {
        let malformed = CryptoError::Malformed("key material");
        let form = match spec {
            KeySpec::Aes256 => Form::Aes(aes(&AES_256_GCM, bytes)?),
            KeySpec::Aes192 => Form::Aes(aes(&AES_192_GCM, bytes)?),
            KeySpec::Aes128 => Form::Aes(aes(&AES_128_GCM, bytes)?),
            KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 => {
                let sign = RsaKeyPair::from_pkcs8(bytes).map_err(|_| malformed)?;
                let decrypt = PrivateDecryptingKey::from_pkcs8(bytes).map_err(|_| malformed)?;
                let bits = match spec {
                    KeySpec::Rsa2048 => 2048,
                    KeySpec::Rsa3072 => 3072,
                    _ => 4096,
                };
                if decrypt.key_size_bits() != bits {
                    return Err(malformed);
                }
                let public: PublicKeyX509Der<'_> = sign.public_key().as_der().map_err(|_| malformed)?;
                let public = public.as_ref().to_vec();
                let decrypt = OaepPrivateDecryptingKey::new(decrypt).map_err(|_| malformed)?;
                Form::Rsa { sign: Box::new(sign), decrypt: Box::new(decrypt), public }
            }
            KeySpec::EcP256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, bytes).map_err(|_| malformed)?;
                Form::P256(Box::new(pair))
            }
            KeySpec::EcP256k => {
                let key = k256::ecdsa::SigningKey::from_pkcs8_der(bytes).map_err(|_| malformed)?;
                Form::P256k(Box::new(key))
            }
            KeySpec::HmacSha224 | KeySpec::HmacSha256 | KeySpec::HmacSha384 | KeySpec::HmacSha512 => {
                let algorithm = MacAlgorithm::of(spec).filter(|_| spec.raw_len() == Some(bytes.len()));
                Form::Hmac(Box::new(hmac::Key::new(algorithm.ok_or(malformed)?.hash(), bytes)))
            }
        };
        Ok(Self { spec, form })
    }

    /// The spec it is material of.
    #[must_use]
    pub const fn spec(&self) -> KeySpec {
        self.spec
    }

    /// True when a private operation takes long enough (RSA) to keep it off the async threads.
    #[must_use]
    pub const fn is_slow(&self) -> bool {
        matches!(self.form, Form::Rsa { .. })
    }

    /// AES-GCM (NIST SP 800-38D) with a random IV: returns `IV (12) || ciphertext || tag (16)`.
    ///
    /// # Errors
    /// [`CryptoError::Unsuitable`] for asymmetric material.
    pub fn seal(&self, random: &dyn Random, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let Form::Aes(key) = &self.form else {
            return Err(CryptoError::Unsuitable("it is not symmetric"));
        };
        seal_gcm(key, random, aad, plaintext)
    }

    /// Opens what [`OpenedMaterial::seal`] made.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] when it does not open, [`CryptoError::Unsuitable`] for asymmetric material.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let Form::Aes(key) = &self.form else {
            return Err(CryptoError::Unsuitable("it is not symmetric"));
        };
        open_gcm(key, aad, sealed)
    }

    /// The message authentication code of a message.
    ///
    /// # Errors
    /// [`CryptoError::Unsuitable`] when the algorithm does not fit the spec.
    pub fn mac(&self, algorithm: MacAlgorithm, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        match &self.form {
            Form::Hmac(key) if algorithm.fits(self.spec) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            _ => Err(CryptoError::Unsuitable("the algorithm does not fit its spec")),
        }
    }

    /// Signs a 32-byte SHA-256 digest.
    ///
    /// # Errors
    /// [`CryptoError::Unsuitable`] when the algorithm does not fit the spec or the digest is not 32 bytes.
    pub fn sign(&self, algorithm: SignAlgorithm, digest: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let failed = |_| CryptoError::Failed("signature");
        let imported = Digest::import_less_safe(digest, &SHA256)
            .map_err(|_| CryptoError::Unsuitable("the digest is not 32 bytes of SHA-256"))?;
        match (&self.form, algorithm) {
            (Form::Rsa { sign, .. }, SignAlgorithm::RsaPssSha256 | SignAlgorithm::RsaPkcs1Sha256) => {
                let mut signature = vec![0; sign.public_modulus_len()];
                if algorithm == SignAlgorithm::RsaPssSha256 {
                    sign.sign_digest(&RSA_PSS_SHA256, &imported, &mut signature).map_err(failed)?;
                } else {
                    sign.sign_digest(&RSA_PKCS1_SHA256, &imported, &mut signature).map_err(failed)?;
                }
                Ok(signature)
            }
            (Form::P256(pair), SignAlgorithm::EcdsaSha256) => {
                Ok(pair.sign_digest(&imported).map_err(failed)?.as_ref().to_vec())
            }
            (Form::P256k(key), SignAlgorithm::EcdsaSha256) => {
                let signature: k256::ecdsa::Signature =
                    key.sign_prehash(digest).map_err(|_| CryptoError::Failed("signature"))?;
                Ok(signature.to_der().as_bytes().to_vec())
            }
            _ => Err(CryptoError::Unsuitable("the signature algorithm does not fit its spec")),
        }
    }

    /// Decrypts an RSA-OAEP ciphertext.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] when it does not open, [`CryptoError::Unsuitable`] when it is not RSA.
    pub fn decrypt(&self, algorithm: DecryptAlgorithm, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let Form::Rsa { decrypt, .. } = &self.form else {
            return Err(CryptoError::Unsuitable("the decryption algorithm does not fit its spec"));
        };
        let oaep = match algorithm {
            DecryptAlgorithm::OaepSha256 => &OAEP_SHA256_MGF1SHA256,
            DecryptAlgorithm::OaepSha1 => &OAEP_SHA1_MGF1SHA1,
        };
        let mut room = Zeroizing::new(vec![0; decrypt.min_output_size()]);
        let plaintext = decrypt.decrypt(oaep, ciphertext, &mut room, None).map_err(|_| CryptoError::Rejected)?;
        Ok(Zeroizing::new(plaintext.to_vec()))
    }

    /// The public key as DER SubjectPublicKeyInfo (RFC 5280).
    ///
    /// # Errors
    /// [`CryptoError::Unsuitable`] for symmetric material.
    pub fn public_key_der(&self) -> Result<Vec<u8>, CryptoError> {
        let failed = CryptoError::Failed("public key encoding");
        match &self.form {
            Form::Aes(_) | Form::Hmac(_) => Err(CryptoError::Unsuitable("it has no public key")),
            Form::Rsa { public, .. } => Ok(public.clone()),
            Form::P256(pair) => {
                let der: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| failed)?;
                Ok(der.as_ref().to_vec())
            }
            Form::P256k(key) => Ok(key.verifying_key().to_public_key_der().map_err(|_| failed)?.as_bytes().to_vec()),
        }
    }
}

/// An AES key for GCM.
pub(super) fn aes(algorithm: &'static aws_lc_rs::aead::Algorithm, bytes: &[u8]) -> Result<LessSafeKey, CryptoError> {
    let key = UnboundKey::new(algorithm, bytes).map_err(|_| CryptoError::Malformed("key material"))?;
    Ok(LessSafeKey::new(key))
}

pub(super) fn seal_gcm(
    key: &LessSafeKey,
    random: &dyn Random,
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    seal_gcm_parts(key, random, aad, &[], &[plaintext])
}

/// As [`seal_gcm`], for a plaintext in parts and behind a front that stays in the clear.
pub(super) fn seal_gcm_parts(
    key: &LessSafeKey,
    random: &dyn Random,
    aad: &[u8],
    front: &[u8],
    parts: &[&[u8]],
) -> Result<Vec<u8>, CryptoError> {
    let mut iv = [0; IV_LEN];
    random.fill(&mut iv);
    // The exact size up front: growing would leave copies of the plaintext behind.
    let length = parts.iter().fold(front.len(), |sum, part| sum.saturating_add(part.len()));
    let mut sealed = Vec::with_capacity(length.saturating_add(IV_LEN + TAG_LEN));
    sealed.extend_from_slice(front);
    sealed.extend_from_slice(&iv);
    parts.iter().for_each(|part| sealed.extend_from_slice(part));
    let text = sealed.get_mut(front.len().saturating_add(IV_LEN)..).unwrap_or_default();
    let tag = key
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(iv), Aad::from(aad), text)
        .map_err(|_| CryptoError::Failed("AES-GCM"))?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

pub(super) fn open_gcm(key: &LessSafeKey, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let (iv, text) = sealed.split_first_chunk::<IV_LEN>().ok_or(CryptoError::Rejected)?;
    let mut room = Zeroizing::new(text.to_vec());
    let length = key
        .open_in_place(Nonce::assume_unique_for_key(*iv), Aad::from(aad), &mut room)
        .map_err(|_| CryptoError::Rejected)?
        .len();
    room.truncate(length);
    Ok(room)
}
