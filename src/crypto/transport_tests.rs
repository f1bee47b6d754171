#![allow(clippy::unwrap_used)]

use super::*;
use crate::crypto::Writer;
use crate::model::SystemRandom;

fn envelopes() -> [SecretEnvelope; 3] {
    [
        SecretEnvelope::System { value: Zeroizing::new(b"value".to_vec()) },
        SecretEnvelope::System { value: Zeroizing::new(Vec::new()) },
        SecretEnvelope::Cmk { key_id: "key-abc".parse().unwrap(), blob: vec![7; 300], sealed_value: vec![8; 40] },
    ]
}

/// HMAC-SHA-256 of another library over the kind as a field and the bytes.
fn independent(key: &[u8], kind: &str, bytes: &[u8]) -> [u8; 32] {
    use ::hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(&Writer::new().text(kind).raw(bytes).finish());
    mac.finalize().into_bytes().into()
}

/// Both keystores of a job must come to the same digests, whatever their releases.
#[test]
fn digests_are_over_the_kind_and_the_canonical_bytes() {
    let key = DigestKey::from_slice(&[5; 32]).unwrap();
    for envelope in envelopes() {
        let expected = independent(&[5; 32], "envelope", &envelope.encode());
        assert_eq!(key.envelope(&envelope), expected);
        assert_eq!(key.clone().envelope(&envelope), expected, "using the key does not change it");
    }
    assert_eq!(key.bytes(b"public"), independent(&[5; 32], "bytes", b"public"));
    let material = KeyMaterial::generate(KeySpec::Aes256, &SystemRandom).unwrap();
    assert_eq!(key.material(&material), independent(&[5; 32], "Aliyun_AES_256", material.expose()));
}

#[test]
fn envelopes_are_sealed_in_their_binary_form() {
    let keys = TransportKeys::generate(&SystemRandom);
    let key = aes(&AES_256_GCM, keys.value_key.as_slice()).unwrap();
    for envelope in envelopes() {
        let sealed = keys.seal_envelope(&SystemRandom, b"aad", &envelope).unwrap();
        assert_eq!(open_gcm(&key, b"aad", &sealed).unwrap().as_slice(), envelope.encode().as_slice());
        let opened = keys.open_envelope(b"aad", &sealed).unwrap();
        assert_eq!(opened.encode().as_slice(), envelope.encode().as_slice());
        assert!(keys.open_envelope(b"other", &sealed).is_err());
        assert!(TransportKeys::generate(&SystemRandom).open_envelope(b"aad", &sealed).is_err());
    }
}
