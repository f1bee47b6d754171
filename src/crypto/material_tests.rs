#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::crypto::verify::{encrypt_to, public_pem, verify};
use crate::model::SystemRandom;

fn digest(text: &[u8]) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(text).to_vec()
}

fn opened(spec: KeySpec) -> OpenedMaterial {
    KeyMaterial::generate(spec, &SystemRandom).unwrap().open().unwrap()
}

#[test]
fn symmetric_specs_seal_and_open_and_refuse_every_flipped_bit() {
    for spec in [KeySpec::Aes256, KeySpec::Aes192, KeySpec::Aes128] {
        let key = opened(spec);
        let sealed = key.seal(&SystemRandom, b"aad", b"text").unwrap();
        assert_eq!(sealed.len(), 12 + 4 + 16);
        assert_eq!(key.open(b"aad", &sealed).unwrap().as_slice(), b"text");
        assert_eq!(key.open(b"other", &sealed).unwrap_err(), CryptoError::Rejected);
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert_eq!(key.open(b"aad", &bad).unwrap_err(), CryptoError::Rejected, "byte {at}");
        }
        assert_eq!(key.open(b"aad", &sealed[..11]).unwrap_err(), CryptoError::Rejected);
        assert_ne!(sealed, key.seal(&SystemRandom, b"aad", b"text").unwrap(), "the IV is random");
    }
}

#[test]
fn signatures_verify_in_the_independent_implementation() {
    for spec in KeySpec::ALL {
        let key = opened(spec);
        let Some(proof) = SignAlgorithm::for_proof(spec) else {
            assert!(matches!(key.public_key_der(), Err(CryptoError::Unsuitable(_))));
            continue;
        };
        assert!(proof.fits(spec));
        let public = key.public_key_der().unwrap();
        let other = opened(spec).public_key_der().unwrap();
        for algorithm in SignAlgorithm::ALL {
            let signed = key.sign(algorithm, &digest(b"message"));
            if !algorithm.fits(spec) {
                assert!(matches!(signed, Err(CryptoError::Unsuitable(_))), "{spec} {algorithm}");
                continue;
            }
            let signature = signed.unwrap();
            verify(&public, spec, algorithm, &digest(b"message"), &signature).unwrap();
            let rejected = Err(CryptoError::Rejected);
            assert_eq!(verify(&public, spec, algorithm, &digest(b"other"), &signature), rejected, "{spec} {algorithm}");
            assert_eq!(verify(&other, spec, algorithm, &digest(b"message"), &signature), rejected);
            let mut bad = signature.clone();
            *bad.last_mut().unwrap() ^= 1;
            assert_eq!(verify(&public, spec, algorithm, &digest(b"message"), &bad), rejected);
            assert_eq!(verify(&public, spec, algorithm, &digest(b"message"), &signature[1..]), rejected);
        }
        assert!(matches!(key.sign(proof, b"not a digest"), Err(CryptoError::Unsuitable(_))));
    }
}

#[test]
fn rsa_opens_what_the_independent_implementation_encrypts() {
    let key = opened(KeySpec::Rsa2048);
    let public = key.public_key_der().unwrap();
    for algorithm in DecryptAlgorithm::ALL {
        let longest = vec![7; algorithm.max_plaintext(256)];
        let ciphertext = encrypt_to(&public, algorithm, &longest).unwrap();
        assert_eq!(key.decrypt(algorithm, &ciphertext).unwrap().as_slice(), longest);
        let mut bad = ciphertext.clone();
        bad[100] ^= 1;
        assert_eq!(key.decrypt(algorithm, &bad).unwrap_err(), CryptoError::Rejected);
        let too_long = vec![7; longest.len() + 1];
        assert!(matches!(encrypt_to(&public, algorithm, &too_long), Err(CryptoError::Unsuitable(_))));
    }
    let ciphertext = encrypt_to(&public, DecryptAlgorithm::OaepSha1, b"text").unwrap();
    assert_eq!(key.decrypt(DecryptAlgorithm::OaepSha256, &ciphertext).unwrap_err(), CryptoError::Rejected);
    assert!(matches!(
        opened(KeySpec::EcP256).decrypt(DecryptAlgorithm::OaepSha1, &ciphertext),
        Err(CryptoError::Unsuitable(_))
    ));
}

#[test]
fn imported_material_has_to_fit_its_spec() {
    for spec in KeySpec::ALL {
        let material = KeyMaterial::generate(spec, &SystemRandom).unwrap();
        for other in KeySpec::ALL {
            let imported = KeyMaterial::from_imported(other, Zeroizing::new(material.expose().to_vec()));
            let alike = spec.raw_len().is_some() && spec.raw_len() == other.raw_len();
            assert_eq!(imported.is_ok(), other == spec || alike, "{spec} as {other}");
        }
        let cut = Zeroizing::new(material.expose()[1..].to_vec());
        assert!(KeyMaterial::from_imported(spec, cut).is_err());
    }
}

#[test]
fn names_are_those_of_the_api() {
    assert_eq!("RSA_PSS_SHA_256".parse(), Ok(SignAlgorithm::RsaPssSha256));
    assert_eq!("ECDSA_SHA_256".parse(), Ok(SignAlgorithm::EcdsaSha256));
    assert_eq!("RSAES_OAEP_SHA_1".parse(), Ok(DecryptAlgorithm::OaepSha1));
    assert_eq!("RSAES_OAEP".parse::<DecryptAlgorithm>(), Err(()));
    for algorithm in SignAlgorithm::ALL {
        assert_eq!(algorithm.as_str().parse(), Ok(algorithm));
    }
}

#[test]
fn a_public_key_as_pem_reads_back() {
    use p256::pkcs8::DecodePublicKey;
    let der = opened(KeySpec::EcP256).public_key_der().unwrap();
    let pem = public_pem(&der);
    assert!(pem.lines().all(|line| line.len() <= 64), "{pem}");
    let key = p256::PublicKey::from_public_key_pem(&pem).unwrap();
    assert_eq!(key, p256::PublicKey::from_public_key_der(&der).unwrap());
}
