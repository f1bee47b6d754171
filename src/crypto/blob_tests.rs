#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::crypto::material::{KeyMaterial, OpenedMaterial};
use crate::model::{KeySpec, SystemRandom};

/// Spec, material, context, blob.
type Golden = (KeySpec, &'static str, &'static [(&'static str, &'static str)], &'static str);

/// Blobs that were handed out. They must open for ever; add, never change.
const GOLDEN: [Golden; 2] = [
    (
        KeySpec::Aes256,
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        &[],
        "4b465259012437626631613363322d306134652d346632622d396435352d30313233343536373839616200112233445546778899aabbccddeeff\
         1dab4116253fd2a4c973ec9715902be3545b5b0ca1a2d90309dc5fff77bce39e525930cb71e9984f8c16893cbc2e6fdb5c9c84de6e",
    ),
    (
        KeySpec::Aes128,
        "000102030405060708090a0b0c0d0e0f",
        &[("a", "b"), ("c", "")],
        "4b465259012437626631613363322d306134652d346632622d396435352d30313233343536373839616200112233445546778899aabbccddeeff\
         9b371ea418d6e45ccb240b80ed4e24548ca5486389c11ce34ee161ce197990ab5987626394a18844adf20be61a7d1fd5c4883d42e4",
    ),
];

fn context(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn key(spec: KeySpec, hex_bytes: &str) -> OpenedMaterial {
    let bytes = Zeroizing::new(hex::decode(hex_bytes).unwrap());
    KeyMaterial::from_imported(spec, bytes).unwrap().open().unwrap()
}

fn header() -> Header {
    Header {
        key_id: "7bf1a3c2-0a4e-4f2b-9d55-0123456789ab".parse().unwrap(),
        version: "00112233-4455-4677-8899-aabbccddeeff".parse().unwrap(),
    }
}

#[test]
fn golden_blobs_open() {
    for (spec, material, pairs, blob) in GOLDEN {
        let blob = hex::decode(blob).unwrap();
        let (found, sealed) = parse(&blob).unwrap();
        assert_eq!(found, header());
        let plaintext = key(spec, material).open(&aad(&found, &context(pairs)), sealed).unwrap();
        assert_eq!(plaintext.as_slice(), b"keyferry golden plaintext");
    }
}

#[test]
fn contexts_are_told_apart_and_empty_means_absent() {
    let all = [
        context(&[]),
        context(&[("a", "")]),
        context(&[("", "a")]),
        context(&[("a", "b")]),
        context(&[("ab", "")]),
        context(&[("a", "b"), ("c", "d")]),
        context(&[("a", "bc"), ("d", "")]),
    ];
    let data: Vec<Vec<u8>> = all.iter().map(|context| aad(&header(), context)).collect();
    for (n, one) in data.iter().enumerate() {
        assert!(!one.is_empty());
        assert!(data.iter().enumerate().all(|(m, other)| m == n || other != one), "context {n}");
    }
    assert_eq!(aad(&header(), &BTreeMap::new()), data[0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_changed_byte_is_refused(text: Vec<u8>, at: prop::sample::Index, flip in 1_u8..) {
        let key = key(KeySpec::Aes256, GOLDEN[0].1);
        let none = BTreeMap::new();
        let mut blob = assemble(&header(), &key.seal(&SystemRandom, &aad(&header(), &none), &text).unwrap());
        let (found, sealed) = parse(&blob).unwrap();
        let opened = key.open(&aad(&found, &none), sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), text.as_slice());
        let at = at.index(blob.len());
        blob[at] ^= flip;
        let opened = parse(&blob).and_then(|(found, sealed)| key.open(&aad(&found, &none), sealed));
        prop_assert!(opened.is_err());
    }

    #[test]
    fn any_bytes_can_be_parsed(bytes: Vec<u8>) {
        let _ = parse(&bytes);
        let mut blob = header().encode();
        blob.extend_from_slice(&bytes);
        prop_assert_eq!(parse(&blob).is_ok(), bytes.len() >= 28);
    }
}

#[test]
#[ignore = "prints new golden blobs"]
fn print_golden() {
    for (spec, material, pairs, _) in GOLDEN {
        let sealed =
            key(spec, material).seal(&SystemRandom, &aad(&header(), &context(pairs)), b"keyferry golden plaintext");
        println!("{}", hex::encode(assemble(&header(), &sealed.unwrap())));
    }
}
