//! Key material of each spec, as it is stored and carried, and the algorithms it serves.
//!
//! AES and HMAC material is the raw key; RSA and elliptic-curve material is a PKCS#8 document (RFC 5208, DER). Using material
//! means opening it first ([`KeyMaterial::open`]): parsing and checking a private key costs more than using it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use k256::pkcs8::EncodePrivateKey;
use zeroize::Zeroizing;

use super::CryptoError;
use super::oaep::OaepHash;
pub use super::opened::OpenedMaterial;
use crate::model::{KeySpec, Random};

/// Secret key material of one key version. Zeroized on drop; has neither `Debug` nor serialization.
#[derive(Clone)]
pub struct KeyMaterial {
    spec: KeySpec,
    bytes: Zeroizing<Vec<u8>>,
}

impl KeyMaterial {
    /// Generates material. RSA takes tens to hundreds of milliseconds: call it off the async threads.
    ///
    /// # Errors
    /// When the library fails.
    pub fn generate(spec: KeySpec, random: &dyn Random) -> Result<Self, CryptoError> {
        let failed = |_| CryptoError::Failed("key generation");
        let bytes = match spec {
            KeySpec::Aes256
            | KeySpec::Aes192
            | KeySpec::Aes128
            | KeySpec::HmacSha224
            | KeySpec::HmacSha256
            | KeySpec::HmacSha384
            | KeySpec::HmacSha512 => {
                let mut bytes = Zeroizing::new(vec![0; spec.raw_len().unwrap_or(64)]);
                random.fill(&mut bytes);
                bytes
            }
            KeySpec::Rsa2048 => rsa_pkcs8(KeySize::Rsa2048)?,
            KeySpec::Rsa3072 => rsa_pkcs8(KeySize::Rsa3072)?,
            KeySpec::Rsa4096 => rsa_pkcs8(KeySize::Rsa4096)?,
            KeySpec::EcP256 => {
                let rng = aws_lc_rs::rand::SystemRandom::new();
                let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &rng).map_err(failed)?;
                Zeroizing::new(document.as_ref().to_vec())
            }
            KeySpec::EcP256k => secp256k1_pkcs8(random)?,
        };
        Ok(Self { spec, bytes })
    }

    /// Takes material made elsewhere: a raw key, or a PKCS#8 document that fits the spec.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] when it does not fit the spec.
    pub fn from_imported(spec: KeySpec, bytes: Zeroizing<Vec<u8>>) -> Result<Self, CryptoError> {
        let material = Self { spec, bytes };
        material.open().map_err(|_| CryptoError::Malformed("key material"))?;
        Ok(material)
    }

    /// The spec it is material of.
    #[must_use]
    pub const fn spec(&self) -> KeySpec {
        self.spec
    }

    /// Parses and checks it, ready for use.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] when it does not fit its spec.
    pub fn open(&self) -> Result<OpenedMaterial, CryptoError> {
        OpenedMaterial::parse(self.spec, &self.bytes)
    }

    /// The bytes, for sealing and wrapping inside this crate only.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.bytes
    }

    /// Material read back from a record that proved itself by its tag; checked when it is opened.
    pub(crate) const fn from_sealed(spec: KeySpec, bytes: Zeroizing<Vec<u8>>) -> Self {
        Self { spec, bytes }
    }
}

/// Signature algorithms of the API (operation AsymmetricSign). All take a SHA-256 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignAlgorithm {
    /// RSASSA-PSS, MGF1 with SHA-256, salt of 32 bytes (RFC 8017).
    RsaPssSha256,
    /// RSASSA-PKCS1-v1_5 (RFC 8017).
    RsaPkcs1Sha256,
    /// ECDSA; the value is the DER of `Ecdsa-Sig-Value` (ANSI X9.62).
    EcdsaSha256,
}

impl SignAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::RsaPssSha256, Self::RsaPkcs1Sha256, Self::EcdsaSha256];

    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RsaPssSha256 => "RSA_PSS_SHA_256",
            Self::RsaPkcs1Sha256 => "RSA_PKCS1_SHA_256",
            Self::EcdsaSha256 => "ECDSA_SHA_256",
        }
    }

    /// Whether keys of this spec can use it.
    #[must_use]
    pub const fn fits(self, spec: KeySpec) -> bool {
        match self {
            Self::RsaPssSha256 | Self::RsaPkcs1Sha256 => is_rsa(spec),
            Self::EcdsaSha256 => matches!(spec, KeySpec::EcP256 | KeySpec::EcP256k),
        }
    }

    /// The algorithm a proof uses for a spec; `None` for one that does not sign.
    #[must_use]
    pub const fn for_proof(spec: KeySpec) -> Option<Self> {
        match spec {
            KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 => Some(Self::RsaPssSha256),
            KeySpec::EcP256 | KeySpec::EcP256k => Some(Self::EcdsaSha256),
            _ => None,
        }
    }
}

/// Asymmetric encryption algorithms of the API (operations AsymmetricEncrypt and AsymmetricDecrypt).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DecryptAlgorithm {
    /// RSAES-OAEP, hash and MGF1 with SHA-256, empty label (RFC 8017).
    OaepSha256,
    /// RSAES-OAEP, hash and MGF1 with SHA-1, empty label (RFC 8017).
    OaepSha1,
}

impl DecryptAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 2] = [Self::OaepSha256, Self::OaepSha1];

    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OaepSha256 => "RSAES_OAEP_SHA_256",
            Self::OaepSha1 => "RSAES_OAEP_SHA_1",
        }
    }

    /// Whether keys of this spec can use it.
    #[must_use]
    pub const fn fits(self, spec: KeySpec) -> bool {
        is_rsa(spec)
    }

    /// The longest plaintext for a modulus of `modulus` bytes.
    #[must_use]
    pub const fn max_plaintext(self, modulus: usize) -> usize {
        self.oaep().max_plaintext(modulus)
    }

    /// Its hash.
    #[must_use]
    pub const fn oaep(self) -> OaepHash {
        match self {
            Self::OaepSha256 => OaepHash::Sha256,
            Self::OaepSha1 => OaepHash::Sha1,
        }
    }
}

impl From<DecryptAlgorithm> for OaepHash {
    fn from(algorithm: DecryptAlgorithm) -> Self {
        algorithm.oaep()
    }
}

macro_rules! api_names {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text).ok_or(())
            }
        }
    };
}
api_names!(SignAlgorithm);
api_names!(DecryptAlgorithm);

const fn is_rsa(spec: KeySpec) -> bool {
    matches!(spec, KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096)
}

pub(super) fn rsa_pkcs8(size: KeySize) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let pair = RsaKeyPair::generate(size).map_err(|_| CryptoError::Failed("RSA key generation"))?;
    let document = pair.as_der().map_err(|_| CryptoError::Failed("RSA key encoding"))?;
    Ok(Zeroizing::new(document.as_ref().to_vec()))
}

fn secp256k1_pkcs8(random: &dyn Random) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    // Rejection sampling (FIPS 186-5, A.2.2): a draw outside the group order is as good as impossible.
    for _ in 0..64 {
        let mut scalar = Zeroizing::new([0_u8; 32]);
        random.fill(scalar.as_mut_slice());
        if let Ok(key) = k256::SecretKey::from_slice(scalar.as_slice()) {
            let document = key.to_pkcs8_der().map_err(|_| CryptoError::Failed("secp256k1 key encoding"))?;
            return Ok(Zeroizing::new(document.as_bytes().to_vec()));
        }
    }
    Err(CryptoError::Failed("secp256k1 key generation"))
}

#[cfg(test)]
#[path = "material_tests.rs"]
mod tests;
