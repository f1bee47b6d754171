//! Cryptography in the token, on its owner's thread.

use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use zeroize::Zeroizing;

use super::connection::Link;
use super::error::NOT_OFFERED;
use super::public::ecdsa_der;
use super::{Deed, ObjectId, TokenError};
use crate::crypto::material::{DecryptAlgorithm, SignAlgorithm};
use crate::crypto::oaep::OaepHash;
use crate::model::KeySpec;

/// Bytes of an IV and of a tag of AES-GCM.
pub(super) const IV: usize = 12;
const TAG: usize = 16;
const TAG_BITS: u64 = 128;

/// DigestInfo of SHA-256 (RFC 8017, section 9.2, note 1) up to the digest.
const DIGEST_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

impl Link {
    /// AES-GCM: `ciphertext || tag`.
    pub(super) fn seal(
        &mut self,
        id: ObjectId,
        iv: [u8; IV],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, TokenError> {
        if aad.is_empty() {
            // Modules have crashed at it; nothing of ours has none.
            return Err(TokenError::Unsuitable("additional data is needed"));
        }
        Ok(self.with_key(id, |session, key| gcm(iv, aad, |mechanism| session.encrypt(mechanism, key, plaintext)))?)
    }

    /// Opens what [`Link::seal`] made.
    pub(super) fn open(
        &mut self,
        id: ObjectId,
        iv: [u8; IV],
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        if aad.is_empty() || sealed.len() < TAG {
            return Err(TokenError::Rejected);
        }
        let opened =
            self.with_key(id, |session, key| gcm(iv, aad, |mechanism| session.decrypt(mechanism, key, sealed)));
        match opened {
            Ok(plaintext) => Ok(Zeroizing::new(plaintext)),
            Err(error) if error.is_vague() => {
                // Some tokens say so of a tag that does not fit. A token that still does its work meant just that.
                let text = error.text();
                let probe = self.seal(id, [0; IV], PROBE, PROBE).and_then(|sealed| {
                    let plain = self.with_key(id, |session, key| {
                        gcm([0; IV], PROBE, |mechanism| session.decrypt(mechanism, key, &sealed))
                    });
                    Ok(plain? == PROBE)
                });
                match probe {
                    Ok(true) => Err(TokenError::Rejected),
                    Ok(false) => Err(TokenError::Failed(text)),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Signs a SHA-256 digest; DER for ECDSA.
    pub(super) fn sign(&mut self, deed: &Deed, algorithm: SignAlgorithm, digest: &[u8]) -> Result<Vec<u8>, TokenError> {
        if digest.len() != 32 {
            return Err(TokenError::Unsuitable("the digest is not 32 bytes of SHA-256"));
        }
        if !algorithm.fits(deed.spec) {
            return Err(TokenError::Unsuitable("the signature algorithm does not fit its spec"));
        }
        let input = match algorithm {
            SignAlgorithm::RsaPkcs1Sha256 => [DIGEST_INFO.as_slice(), digest].concat(),
            SignAlgorithm::RsaPssSha256 | SignAlgorithm::EcdsaSha256 => digest.to_vec(),
        };
        let signature = self.with_key(deed.object, |session, key| {
            let mechanism = match algorithm {
                SignAlgorithm::RsaPkcs1Sha256 => Mechanism::RsaPkcs,
                SignAlgorithm::EcdsaSha256 => Mechanism::Ecdsa,
                SignAlgorithm::RsaPssSha256 => Mechanism::RsaPkcsPss(PkcsPssParams {
                    hash_alg: MechanismType::SHA256,
                    mgf: PkcsMgfType::MGF1_SHA256,
                    s_len: 32.into(),
                }),
            };
            session.sign(&mechanism, key, &input)
        })?;
        match deed.spec {
            KeySpec::EcP256 | KeySpec::EcP256k => ecdsa_der(deed.spec, &signature),
            _ => Ok(signature),
        }
    }

    /// Opens an RSA-OAEP ciphertext.
    pub(super) fn decrypt(
        &mut self,
        deed: &Deed,
        algorithm: DecryptAlgorithm,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        if !algorithm.fits(deed.spec) {
            return Err(TokenError::Unsuitable("the decryption algorithm does not fit its spec"));
        }
        let opened = self.with_key(deed.object, |session, key| {
            session.decrypt(&Mechanism::RsaPkcsOaep(oaep(algorithm)), key, ciphertext)
        });
        match opened {
            Ok(plaintext) => Ok(Zeroizing::new(plaintext)),
            // As with AES-GCM; a raw signature shows whether the key still works.
            Err(error) if error.is_vague() => {
                let works = self.with_key(deed.object, |session, key| session.sign(&Mechanism::RsaPkcs, key, PROBE));
                Err(if works.is_ok() { TokenError::Rejected } else { error.into() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether an object works.
    pub(super) fn prove(&mut self, deed: &Deed) -> Result<(), TokenError> {
        if deed.spec.is_symmetric() {
            return self.seal(deed.object, [0; IV], PROBE, PROBE).map(drop);
        }
        let algorithm = SignAlgorithm::for_proof(deed.spec).ok_or(TokenError::Unsuitable(NOT_OFFERED))?;
        self.sign(deed, algorithm, &[0; 32]).map(drop)
    }
}

/// Parameters of OAEP with one hash for both its uses.
pub(super) fn oaep(hash: impl Into<OaepHash>) -> PkcsOaepParams<'static> {
    let (hash, mgf) = match hash.into() {
        OaepHash::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512),
        OaepHash::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384),
        OaepHash::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
        OaepHash::Sha1 => (MechanismType::SHA1, PkcsMgfType::MGF1_SHA1),
    };
    PkcsOaepParams::new(hash, mgf, PkcsOaepSource::empty())
}

fn gcm<T>(
    mut iv: [u8; IV],
    aad: &[u8],
    call: impl FnOnce(&Mechanism<'_>) -> Result<T, cryptoki::error::Error>,
) -> Result<T, cryptoki::error::Error> {
    call(&Mechanism::AesGcm(GcmParams::new(&mut iv, aad, TAG_BITS.into())?))
}

const PROBE: &[u8] = b"keyferry probe v1";
