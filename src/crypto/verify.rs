//! Public-key operations in an implementation of their own (RustCrypto), so that a fault of the serving library cannot
//! prove itself right.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::pkcs8::DecodePublicKey;
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, PublicKey};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use super::CryptoError;
use super::material::SignAlgorithm;
use super::oaep::OaepHash;
use crate::model::KeySpec;

/// Verifies a signature over a 32-byte SHA-256 digest. `public_der` is a SubjectPublicKeyInfo.
///
/// # Errors
/// [`CryptoError::Rejected`] when it does not verify, [`CryptoError::Unsuitable`] when algorithm and spec do not fit,
/// [`CryptoError::Malformed`] when the public key cannot be read.
pub fn verify(
    public_der: &[u8],
    spec: KeySpec,
    algorithm: SignAlgorithm,
    digest: &[u8],
    signature: &[u8],
) -> Result<(), CryptoError> {
    if !algorithm.fits(spec) {
        return Err(CryptoError::Unsuitable("the signature algorithm does not fit its spec"));
    }
    if digest.len() != 32 {
        return Err(CryptoError::Unsuitable("the digest is not 32 bytes of SHA-256"));
    }
    match (spec, algorithm) {
        (KeySpec::EcP256, _) => {
            let key = p256::ecdsa::VerifyingKey::from_public_key_der(public_der).map_err(malformed)?;
            let signature = p256::ecdsa::Signature::from_der(signature).map_err(rejected)?;
            key.verify_prehash(digest, &signature).map_err(rejected)
        }
        (KeySpec::EcP256k, _) => {
            let key = k256::ecdsa::VerifyingKey::from_public_key_der(public_der).map_err(malformed)?;
            // The other of the two values s, n - s is as valid (X9.62), but k256 accepts only the lower.
            let signature = k256::ecdsa::Signature::from_der(signature).map_err(rejected)?.normalize_s();
            key.verify_prehash(digest, &signature).map_err(rejected)
        }
        (_, SignAlgorithm::RsaPssSha256) => {
            rsa_key(public_der)?.pss_verify_prehash::<Sha256>(digest, signature).map_err(rejected)
        }
        _ => verify_pkcs1(&rsa_key(public_der)?, digest, signature),
    }
}

/// Encrypts to a public RSA key by RSAES-OAEP.
///
/// # Errors
/// [`CryptoError::Unsuitable`] when the plaintext is too long, [`CryptoError::Malformed`] when the key cannot be read.
pub fn encrypt_to(public_der: &[u8], oaep: impl Into<OaepHash>, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let (key, oaep) = (rsa_key(public_der)?, oaep.into());
    if plaintext.len() > oaep.max_plaintext(key.size()) {
        return Err(CryptoError::Unsuitable("the plaintext is too long for it"));
    }
    match oaep {
        OaepHash::Sha512 => key.oaep_encrypt::<Sha512>(plaintext),
        OaepHash::Sha384 => key.oaep_encrypt::<Sha384>(plaintext),
        OaepHash::Sha256 => key.oaep_encrypt::<Sha256>(plaintext),
        OaepHash::Sha1 => key.oaep_encrypt::<Sha1>(plaintext),
    }
    .map_err(|_| CryptoError::Failed("RSA-OAEP"))
}

/// Bytes of the modulus of a public RSA key.
///
/// # Errors
/// [`CryptoError::Malformed`] when the key cannot be read.
pub fn rsa_modulus_len(public_der: &[u8]) -> Result<usize, CryptoError> {
    Ok(rsa_key(public_der)?.size())
}

/// A SubjectPublicKeyInfo as PEM (RFC 7468), with a newline at the end.
#[must_use]
pub fn public_pem(der: &[u8]) -> String {
    let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
    let text = STANDARD.encode(der);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at_checked(64).unwrap_or((rest, ""));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str("-----END PUBLIC KEY-----\n");
    pem
}

fn rsa_key(public_der: &[u8]) -> Result<PublicKey, CryptoError> {
    PublicKey::from_public_key_der(public_der).map_err(malformed)
}

/// RSASSA-PKCS1-v1_5 verification by comparison of the encoded message (RFC 8017, 8.2.2); public values only, so it
/// need not be fast or constant in time.
fn verify_pkcs1(key: &PublicKey, digest: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
    /// DER of `DigestInfo` for SHA-256 up to the digest (RFC 8017, 9.2, note 1).
    const PREFIX: [u8; 19] = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04,
        0x20,
    ];
    let size = key.size();
    if signature.len() != size {
        return Err(CryptoError::Rejected);
    }
    let n = key.n();
    let base = BoxedUint::from_be_slice(signature, n.bits_precision()).map_err(rejected)?;
    if base >= *n.as_ref() {
        return Err(CryptoError::Rejected);
    }
    let mut power = BoxedUint::one_with_precision(n.bits_precision());
    let exponent = key.e().to_be_bytes();
    for bit in exponent.iter().flat_map(|byte| (0..8).rev().map(move |n| byte >> n & 1)).skip_while(|bit| *bit == 0) {
        power = power.square_mod(n);
        if bit == 1 {
            power = power.mul_mod(&base, n);
        }
    }
    let padding = size.saturating_sub(PREFIX.len().saturating_add(digest.len()).saturating_add(3));
    let mut expected = vec![0x00, 0x01];
    expected.resize(padding.saturating_add(2), 0xff);
    expected.push(0x00);
    expected.extend_from_slice(&PREFIX);
    expected.extend_from_slice(digest);
    let found = power.to_be_bytes();
    let found = found.get(found.len().saturating_sub(size)..).unwrap_or_default();
    if bool::from(found.ct_eq(&expected)) { Ok(()) } else { Err(CryptoError::Rejected) }
}

fn malformed<E>(_: E) -> CryptoError {
    CryptoError::Malformed("public key")
}

fn rejected<E>(_: E) -> CryptoError {
    CryptoError::Rejected
}
