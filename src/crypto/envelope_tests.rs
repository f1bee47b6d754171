#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;
use crate::model::SystemRandom;

#[test]
fn a_value_opens_only_for_its_version() {
    let (account, region) = ("1000000000000001".parse().unwrap(), "cn-hangzhou".parse().unwrap());
    let (name, other) = ("db/password".parse().unwrap(), "db/other".parse().unwrap());
    let incarnation = "11111111-1111-4111-8111-111111111111".parse().unwrap();
    let version = "22222222-2222-4222-8222-222222222222".parse().unwrap();
    let address =
        ValueAddress { account: &account, region: &region, name: &name, incarnation: &incarnation, version: &version };
    let sealed = seal_value(&[1; 32], &address, &SystemRandom, b"value").unwrap();
    assert_eq!(open_value(&[1; 32], &address, &sealed).unwrap().as_slice(), b"value");
    assert!(open_value(&[2; 32], &address, &sealed).is_err());
    assert!(open_value(&[1; 32], &ValueAddress { name: &other, ..address }, &sealed).is_err());
}

#[test]
fn the_binary_form_is_the_documented_one() {
    let system = SecretEnvelope::System { value: Zeroizing::new(b"value".to_vec()) };
    assert_eq!(system.encode().as_slice(), b"\x01\x01value");
    let (blob, sealed_value) = (vec![7; 300], vec![8; 40]);
    let cmk = SecretEnvelope::Cmk {
        key_id: "key-abc".parse().unwrap(),
        blob: blob.clone(),
        sealed_value: sealed_value.clone(),
    };
    let written = Writer::new().u8(1).u8(2).text("key-abc").field(&blob).field(&sealed_value).finish();
    assert_eq!(cmk.encode().as_slice(), written);
    assert_eq!(cmk.encode().capacity(), written.len(), "nothing grew");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn envelopes_read_back(value: Vec<u8>, blob: Vec<u8>, sealed_value: Vec<u8>) {
        let system = SecretEnvelope::System { value: Zeroizing::new(value.clone()) };
        let SecretEnvelope::System { value: again } = SecretEnvelope::decode(&system.encode()).unwrap() else {
            return Err(TestCaseError::fail("another kind"));
        };
        prop_assert_eq!(again.as_slice(), value.as_slice());
        let SecretEnvelope::System { value: again } = SecretEnvelope::decode_owned(system.encode()).unwrap() else {
            return Err(TestCaseError::fail("another kind"));
        };
        prop_assert_eq!(again.as_slice(), value.as_slice());
        let cmk = SecretEnvelope::Cmk { key_id: "key-abc".parse().unwrap(), blob, sealed_value };
        let encoded = cmk.encode();
        let again = SecretEnvelope::decode(&encoded).unwrap();
        prop_assert_eq!(again.key_id().unwrap().as_str(), "key-abc");
        prop_assert!(again.encode() == encoded);
        prop_assert!(SecretEnvelope::decode_owned(encoded.clone()).unwrap().encode() == encoded);
        prop_assert!(SecretEnvelope::decode(&encoded[..encoded.len() - 1]).is_err());
        prop_assert!(encoded.capacity() >= encoded.len());
    }

    #[test]
    fn nothing_panics(bytes: Vec<u8>) {
        let read = SecretEnvelope::decode(&bytes);
        let owned = SecretEnvelope::decode_owned(Zeroizing::new(bytes.clone()));
        prop_assert_eq!(owned.as_ref().err(), read.as_ref().err());
        if let Ok(read) = read {
            let again = read.encode();
            prop_assert_eq!(again.as_slice(), bytes.as_slice());
        }
    }
}
