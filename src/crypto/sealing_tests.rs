#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;
use crate::model::SystemRandom;

struct Parts {
    keystore: KeystoreId,
    scope: Scope,
    resource: ResourceId,
    incarnation: Incarnation,
    version: MaterialId,
}

fn parts() -> Parts {
    Parts {
        keystore: "shared:cn-hangzhou".parse().unwrap(),
        scope: Scope { region: "cn-hangzhou".parse().unwrap(), account: "1000000000000001".parse().unwrap() },
        resource: ResourceId::Secret("db/password".parse().unwrap()),
        incarnation: "11111111-1111-4111-8111-111111111111".parse().unwrap(),
        version: "22222222-2222-4222-8222-222222222222".parse().unwrap(),
    }
}

impl Parts {
    fn address(&self, field: &'static str) -> Address<'_> {
        Address {
            keystore: &self.keystore,
            scope: Some(&self.scope),
            resource: Some(&self.resource),
            incarnation: Some(&self.incarnation),
            version: Some(&self.version),
            field,
            beside: b"",
        }
    }
}

#[test]
fn a_record_opens_only_where_it_was_sealed() {
    let key = SealingKey::generate(&SystemRandom).unwrap();
    let here = parts();
    let record = key.seal(&SystemRandom, &here.address("value"), b"text").unwrap();
    assert_eq!(key.open(&here.address("value"), &record).unwrap().as_slice(), b"text");
    let elsewhere = [
        Parts { keystore: "kst-a".parse().unwrap(), ..parts() },
        Parts { scope: Scope { account: "1000000000000002".parse().unwrap(), ..parts().scope }, ..parts() },
        Parts { scope: Scope { region: "cn-beijing".parse().unwrap(), ..parts().scope }, ..parts() },
        Parts { resource: ResourceId::Secret("db/other".parse().unwrap()), ..parts() },
        Parts { incarnation: "11111111-1111-4111-8111-111111111112".parse().unwrap(), ..parts() },
        Parts { version: "22222222-2222-4222-8222-222222222223".parse().unwrap(), ..parts() },
    ];
    for other in elsewhere {
        assert_eq!(key.open(&other.address("value"), &record).unwrap_err(), CryptoError::Rejected);
    }
    assert!(key.open(&here.address("material"), &record).is_err());
    assert!(key.open(&Address { beside: b"x", ..here.address("value") }, &record).is_err());
    assert!(key.open(&Address { version: None, ..here.address("value") }, &record).is_err());
    assert!(SealingKey::generate(&SystemRandom).unwrap().open(&here.address("value"), &record).is_err());
}

/// What lies in stores opens only under the same address.
#[test]
fn an_address_is_fields_in_their_order() {
    let here = parts();
    let mut writer = Writer::new();
    writer.text("keyferry sealed v1").text("shared:cn-hangzhou").text("1000000000000001").text("cn-hangzhou");
    writer.text("secret").text("db/password").text("11111111-1111-4111-8111-111111111111");
    writer.text("22222222-2222-4222-8222-222222222222").text("value").field(b"beside");
    assert_eq!(Address { beside: b"beside", ..here.address("value") }.encode(), writer.finish());
    writer.text("keyferry sealed v1").text("kst-a").text("").text("").text("").text("").text("").text("");
    assert_eq!(Address::of(&"kst-a".parse().unwrap(), "check").encode(), writer.text("check").text("").finish());
}

#[test]
fn a_text_in_parts_is_sealed_as_one() {
    let key = SealingKey::generate(&SystemRandom).unwrap();
    let here = parts();
    let record = key.seal_parts(&SystemRandom, &here.address("value"), &[b"te", b"", b"xt"]).unwrap();
    assert_eq!((record[0], record.len()), (FORMAT, 1 + 12 + 4 + 16));
    assert_eq!(key.open(&here.address("value"), &record).unwrap().as_slice(), b"text");
    let empty = key.seal_parts(&SystemRandom, &here.address("value"), &[]).unwrap();
    assert!(key.open(&here.address("value"), &empty).unwrap().is_empty());
}

#[test]
fn the_root_key_knows_its_own_check_record() {
    let keystore = parts().keystore;
    let root = RootKey::new(Zeroizing::new([7; 32])).unwrap();
    // A fixed value: the ID lies in every store.
    assert_eq!(root.id(), "06588be6410a26a9");
    let check = root.check_record(&SystemRandom, &keystore).unwrap();
    assert!(root.opens_check(&keystore, &check));
    assert!(!root.opens_check(&"kst-a".parse().unwrap(), &check));
    let other = RootKey::new(Zeroizing::new([8; 32])).unwrap();
    assert_ne!(other.id(), root.id());
    assert!(!other.opens_check(&keystore, &check));
}

#[test]
fn a_wrapped_key_unwraps_to_itself() {
    let here = parts();
    let root = RootKey::new(Zeroizing::new([7; 32])).unwrap();
    let kek = SealingKey::generate(&SystemRandom).unwrap();
    let wrapped = root.sealing().wrap(&SystemRandom, &here.address("kek"), &kek).unwrap();
    let again = root.sealing().unwrap(&here.address("kek"), &wrapped).unwrap();
    let record = kek.seal(&SystemRandom, &here.address("value"), b"text").unwrap();
    assert_eq!(again.open(&here.address("value"), &record).unwrap().as_slice(), b"text");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_changed_byte_is_refused(text: Vec<u8>, at: prop::sample::Index, flip in 1_u8..) {
        let key = SealingKey::generate(&SystemRandom).unwrap();
        let here = parts();
        let mut record = key.seal(&SystemRandom, &here.address("value"), &text).unwrap();
        let at = at.index(record.len());
        record[at] ^= flip;
        prop_assert!(key.open(&here.address("value"), &record).is_err());
    }
}
