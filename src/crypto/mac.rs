//! Message authentication codes of the API (operations GenerateMac and VerifyMac): HMAC (RFC 2104, FIPS 198-1).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::hmac;

use crate::model::KeySpec;

/// HMAC with a hash. A key serves the algorithm of its own spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MacAlgorithm {
    /// SHA-224: 28 bytes.
    Sha224,
    /// SHA-256: 32 bytes.
    Sha256,
    /// SHA-384: 48 bytes.
    Sha384,
    /// SHA-512: 64 bytes.
    Sha512,
}

impl MacAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.spec().as_str()
    }

    /// The spec whose keys serve it; it has the same name.
    #[must_use]
    pub const fn spec(self) -> KeySpec {
        match self {
            Self::Sha224 => KeySpec::HmacSha224,
            Self::Sha256 => KeySpec::HmacSha256,
            Self::Sha384 => KeySpec::HmacSha384,
            Self::Sha512 => KeySpec::HmacSha512,
        }
    }

    /// Whether keys of this spec can use it.
    #[must_use]
    pub fn fits(self, spec: KeySpec) -> bool {
        self.spec() == spec
    }

    /// The algorithm of a spec; `None` for one that makes no codes.
    #[must_use]
    pub fn of(spec: KeySpec) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.fits(spec))
    }

    pub(super) fn hash(self) -> hmac::Algorithm {
        match self {
            Self::Sha224 => hmac::HMAC_SHA224,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

impl fmt::Display for MacAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MacAlgorithm {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text).ok_or(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::crypto::CryptoError;
    use crate::crypto::material::KeyMaterial;

    /// The test vectors of RFC 4231 have keys of other lengths than ours.
    fn independent(algorithm: MacAlgorithm, key: &[u8], message: &[u8]) -> Vec<u8> {
        use ::hmac::{Hmac, KeyInit, Mac};
        macro_rules! code {
            ($hash:ty) => {{
                let mut mac = Hmac::<$hash>::new_from_slice(key).unwrap();
                mac.update(message);
                mac.finalize().into_bytes().to_vec()
            }};
        }
        match algorithm {
            MacAlgorithm::Sha224 => code!(sha2::Sha224),
            MacAlgorithm::Sha256 => code!(sha2::Sha256),
            MacAlgorithm::Sha384 => code!(sha2::Sha384),
            MacAlgorithm::Sha512 => code!(sha2::Sha512),
        }
    }

    #[test]
    fn codes_are_those_of_an_independent_implementation() {
        for algorithm in MacAlgorithm::ALL {
            assert_eq!(algorithm.as_str().parse(), Ok(algorithm));
            let bytes = vec![7; algorithm.spec().raw_len().unwrap()];
            let key = KeyMaterial::from_imported(algorithm.spec(), Zeroizing::new(bytes.clone())).unwrap();
            for message in [b"".as_slice(), b"message", &[1; 6144]] {
                let code = key.open().unwrap().mac(algorithm, message).unwrap();
                assert_eq!(code, independent(algorithm, &bytes, message), "{algorithm}");
            }
            for other in MacAlgorithm::ALL.into_iter().filter(|other| *other != algorithm) {
                assert!(matches!(key.open().unwrap().mac(other, b"m"), Err(CryptoError::Unsuitable(_))));
            }
        }
    }
}
