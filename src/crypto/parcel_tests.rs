#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::crypto::envelope::SecretEnvelope;
use crate::crypto::material::KeyMaterial;
use crate::crypto::offer::{Offer, OfferKey, WRAPPING};
use crate::crypto::transport::TransportKeys;
use crate::model::SystemRandom;

fn parcel(keys: &TransportKeys) -> Parcel {
    let mut parcel = Parcel {
        job: "job-00000000000000000001".parse().unwrap(),
        source: "shared:cn-hangzhou".parse().unwrap(),
        target: "kst-a".parse().unwrap(),
        token: 7,
        offer: [3; 32],
        wrapped_kek: vec![1, 2, 3],
        wrapped_value_key: vec![4, 5, 6],
        items: vec![Item {
            scope: Scope { region: "cn-hangzhou".parse().unwrap(), account: "1000000000000001".parse().unwrap() },
            resource: ResourceId::Secret("db/password".parse().unwrap()),
            incarnation: "11111111-1111-4111-8111-111111111111".parse().unwrap(),
            spec: None,
            versions: Vec::new(),
        }],
        signature: Vec::new(),
    };
    let version: MaterialId = "22222222-2222-4222-8222-222222222222".parse().unwrap();
    let envelope = SecretEnvelope::System { value: Zeroizing::new(b"value".to_vec()) };
    let aad = value_aad(&parcel, &parcel.items[0], &version);
    let ciphertext = keys.seal_envelope(&SystemRandom, &aad, &envelope).unwrap();
    parcel.items[0].versions.push(ItemVersion { version, ciphertext });
    parcel
}

#[test]
fn transport_keys_arrive_only_at_the_holder_of_the_offer() {
    let holder = OfferKey::generate(&SystemRandom).unwrap();
    let stranger = OfferKey::generate(&SystemRandom).unwrap();
    let keys = TransportKeys::generate(&SystemRandom);
    let job = "job-00000000000000000001".parse().unwrap();
    let (kek, value_key) = keys.wrap_for(holder.public_der()).unwrap();
    assert!(TransportKeys::unwrap(&stranger, &kek, &value_key).is_err());
    let arrived = TransportKeys::unwrap(&holder, &kek, &value_key).unwrap();
    let mac = |keys: &TransportKeys, job: &JobId| keys.digest_key(job).unwrap().bytes(b"x");
    assert_eq!(mac(&keys, &job), mac(&arrived, &job));
    assert_ne!(mac(&keys, &job), mac(&keys, &"job-00000000000000000002".parse().unwrap()), "one key a job");

    for spec in KeySpec::ALL {
        let material = KeyMaterial::generate(spec, &SystemRandom).unwrap();
        let mut wrapped = keys.wrap_material(&material).unwrap();
        assert!(arrived.unwrap_material(spec, &wrapped).unwrap().expose() == material.expose());
        wrapped[3] ^= 1;
        assert_eq!(arrived.unwrap_material(spec, &wrapped).err(), Some(CryptoError::Rejected));
    }
}

#[test]
fn a_value_does_not_open_as_another_version() {
    let keys = TransportKeys::generate(&SystemRandom);
    let parcel = parcel(&keys);
    let item = &parcel.items[0];
    let sealed = &item.versions[0];
    assert!(keys.open_envelope(&value_aad(&parcel, item, &sealed.version), &sealed.ciphertext).is_ok());
    let other = "22222222-2222-4222-8222-222222222223".parse().unwrap();
    assert!(keys.open_envelope(&value_aad(&parcel, item, &other), &sealed.ciphertext).is_err());
}

/// Two releases that differ here would refuse each other's parcels and values.
#[test]
fn the_digest_and_the_additional_data_are_over_fields_in_their_order() {
    let mut parcel = parcel(&TransportKeys::generate(&SystemRandom));
    let mut key = parcel.items[0].clone();
    (key.resource, key.spec) = (ResourceId::Key("key-abc".parse().unwrap()), Some(KeySpec::Aes256));
    key.versions.push(ItemVersion { ciphertext: vec![9; 5000], ..key.versions[0].clone() });
    parcel.items.push(key);

    let mut writer = Writer::new();
    writer.text("job-00000000000000000001").text("shared:cn-hangzhou").text("kst-a").u64(7).raw(&[3; 32]);
    writer.field(&[1, 2, 3]).field(&[4, 5, 6]).count(2);
    for (kind, name, spec, item) in
        [("secret", "db/password", "", &parcel.items[0]), ("key", "key-abc", "Aliyun_AES_256", &parcel.items[1])]
    {
        writer.text("1000000000000001").text("cn-hangzhou").text(kind).text(name);
        writer.text("11111111-1111-4111-8111-111111111111").text(spec).count(item.versions.len());
        for version in &item.versions {
            writer.text("22222222-2222-4222-8222-222222222222").field(&version.ciphertext);
        }
    }
    assert_eq!(parcel.digest(), <[u8; 32]>::from(Sha256::digest(writer.finish())));

    writer.text("keyferry parcel value v1").text("job-00000000000000000001").text("shared:cn-hangzhou").text("kst-a");
    writer.text("1000000000000001").text("cn-hangzhou").text("secret").text("db/password");
    writer.text("11111111-1111-4111-8111-111111111111").text("").text("22222222-2222-4222-8222-222222222222");
    let item = &parcel.items[0];
    assert_eq!(value_aad(&parcel, item, &item.versions[0].version), writer.finish());
}

#[test]
fn every_term_of_an_offer_is_signed() {
    let target = Identity::generate(&SystemRandom).unwrap();
    let offer = Offer {
        target: "kst-a".parse().unwrap(),
        job: "job-00000000000000000001".parse().unwrap(),
        token: 7,
        public_key: vec![1, 2, 3],
        value_public_key: None,
        algorithms: vec![WRAPPING.to_owned()],
        expires_at: "2026-12-01T02:00:00Z".parse().unwrap(),
        nonce: [9; 32],
    };
    let signed = SignedOffer::sign(offer, &target);
    signed.verify(&target.public()).unwrap();
    assert!(signed.verify(&Identity::generate(&SystemRandom).unwrap().public()).is_err());
    let again: SignedOffer = serde_json::from_str(&serde_json::to_string(&signed).unwrap()).unwrap();
    assert_eq!(again, signed);
    let changes: [fn(&mut Offer); 7] = [
        |o| o.target = "kst-b".parse().unwrap(),
        |o| o.job = "job-00000000000000000002".parse().unwrap(),
        |o| o.token = 8,
        |o| o.public_key.push(0),
        |o| o.algorithms.clear(),
        |o| o.expires_at = "2027-12-01T02:00:00Z".parse().unwrap(),
        |o| o.nonce[0] ^= 1,
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut forged = signed.clone();
        change(&mut forged.offer);
        assert!(forged.verify(&target.public()).is_err(), "change {n}");
        assert_ne!(forged.offer.digest(), signed.offer.digest(), "change {n}");
    }
}

#[test]
fn a_signature_serves_one_purpose() {
    let identity = Identity::generate(&SystemRandom).unwrap();
    let signature = identity.sign("one", b"message");
    assert!(identity.public().verify("one", b"message", &signature).is_ok());
    assert!(identity.public().verify("two", b"message", &signature).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Works on the JSON, as a remote instance would receive it: whatever still reads as a parcel must be the same one,
    /// or its signature does not verify.
    #[test]
    fn any_changed_byte_of_a_parcel_is_refused(at: prop::sample::Index, byte: u8) {
        let source = Identity::from_seed(Zeroizing::new([5; 32])).unwrap();
        let mut parcel = parcel(&TransportKeys::generate(&SystemRandom));
        parcel.sign(&source);
        let mut json = serde_json::to_vec(&parcel).unwrap();
        let at = at.index(json.len());
        json[at] = byte;
        if let Ok(found) = serde_json::from_slice::<Parcel>(&json) {
            prop_assert_eq!(found.verify(&source.public()).is_ok(), found == parcel);
        }
    }
}
