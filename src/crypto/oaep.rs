//! RSAES-OAEP (RFC 8017) by its hash.

/// The hash of an RSAES-OAEP with an empty label; its MGF1 uses the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OaepHash {
    /// SHA-512.
    Sha512,
    /// SHA-384.
    Sha384,
    /// SHA-256.
    Sha256,
    /// SHA-1.
    Sha1,
}

impl OaepHash {
    /// Every one, strongest first.
    pub const ALL: [Self; 4] = [Self::Sha512, Self::Sha384, Self::Sha256, Self::Sha1];

    /// The longest plaintext for a modulus of `modulus` bytes.
    #[must_use]
    pub const fn max_plaintext(self, modulus: usize) -> usize {
        // Two digests and two bytes more.
        modulus.saturating_sub(match self {
            Self::Sha512 => 130,
            Self::Sha384 => 98,
            Self::Sha256 => 66,
            Self::Sha1 => 42,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use aws_lc_rs::rsa::{
        OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512,
        OaepPrivateDecryptingKey, PrivateDecryptingKey,
    };

    use super::*;
    use crate::crypto::CryptoError;
    use crate::crypto::material::KeyMaterial;
    use crate::crypto::verify::encrypt_to;
    use crate::model::{KeySpec, SystemRandom};

    #[test]
    fn what_is_encrypted_with_a_hash_opens_with_that_hash_alone() {
        let material = KeyMaterial::generate(KeySpec::Rsa2048, &SystemRandom).unwrap();
        let public = material.open().unwrap().public_key_der().unwrap();
        let private = PrivateDecryptingKey::from_pkcs8(material.expose()).unwrap();
        let private = OaepPrivateDecryptingKey::new(private).unwrap();
        let others = [&OAEP_SHA512_MGF1SHA512, &OAEP_SHA384_MGF1SHA384, &OAEP_SHA256_MGF1SHA256, &OAEP_SHA1_MGF1SHA1];
        for (n, hash) in OaepHash::ALL.into_iter().enumerate() {
            let longest = vec![7; hash.max_plaintext(256)];
            let ciphertext = encrypt_to(&public, hash, &longest).unwrap();
            for (m, other) in others.into_iter().enumerate() {
                let mut room = vec![0; private.min_output_size()];
                let opened = private.decrypt(other, &ciphertext, &mut room, None);
                assert_eq!(opened.ok().map(|text| text.to_vec()), (n == m).then(|| longest.clone()), "{hash:?} {m}");
            }
            let too_long = vec![7; longest.len() + 1];
            assert!(matches!(encrypt_to(&public, hash, &too_long), Err(CryptoError::Unsuitable(_))));
        }
    }
}
