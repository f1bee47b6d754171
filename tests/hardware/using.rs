//! Keys in the token: what they make opens elsewhere, what was made elsewhere opens here.

use keyferry::crypto::blob;
use keyferry::crypto::material::{DecryptAlgorithm, KeyMaterial, SignAlgorithm};
use keyferry::crypto::oaep::OaepHash;
use keyferry::crypto::transport::TransportKeys;
use keyferry::crypto::verify::{encrypt_to, verify};
use keyferry::keystore::hardware::{Deed, ObjectId, TokenError};
use keyferry::model::{KeySpec, SystemRandom};
use zeroize::Zeroizing;

use super::hsm::{PIN, SECOND, hsm};

const AAD: &[u8] = b"additional data";

#[tokio::test]
async fn an_imported_key_is_the_same_key_and_stays_in_the_token() {
    let Some(hsm) = hsm("using::an_imported_key_is_the_same_key_and_stays_in_the_token") else { return };
    let token = hsm.token();
    for spec in [KeySpec::Aes256, KeySpec::Aes192, KeySpec::Aes128] {
        let material = KeyMaterial::generate(spec, &SystemRandom).unwrap();
        let outside = material.open().unwrap();
        let id = ObjectId::generate(&SystemRandom);
        token.import(id, material).await.unwrap();
        let sealed = outside.seal(&SystemRandom, AAD, b"made before").unwrap();
        let (iv, text) = sealed.split_first_chunk::<12>().unwrap();
        assert_eq!(token.open(id, *iv, AAD, text).await.unwrap().as_slice(), b"made before");
        // Bit for bit what the other implementation makes.
        assert_eq!(token.seal(id, *iv, AAD, b"made before").await.unwrap(), text);
        for (aad, text) in [
            (b"another context".as_slice(), text.to_vec()),
            (AAD, text.iter().map(|byte| byte ^ 1).collect()),
            (AAD, text[..text.len() - 1].to_vec()),
            (AAD, Vec::new()),
        ] {
            assert_eq!(token.open(id, *iv, aad, &text).await.unwrap_err(), TokenError::Rejected);
        }
        assert_eq!(token.open(id, *iv, AAD, text).await.unwrap().as_slice(), b"made before", "still works");
    }
    let objects = hsm.objects();
    assert_eq!(objects.len(), 3, "{objects:?}");
    for object in &objects {
        assert!(object.contains("sensitive") && !object.contains(" extractable"), "{object}");
        assert!(!object.contains("always sensitive") && !object.contains("local"), "{object}");
        assert!(object.contains("keyferry kst-hzz1"), "{object}");
    }
}

#[tokio::test]
async fn keys_come_in_under_the_strongest_hash() {
    let Some(hsm) = hsm("using::keys_come_in_under_the_strongest_hash") else { return };
    // CKM_SHA512 and so on, and the MGF1 of each.
    let tries = ["0x270 4", "0x260 3", "0x250 2", "0x220 1"];
    for (n, hash) in OaepHash::ALL.into_iter().enumerate() {
        let (number, _) = tries[n].split_once(' ').unwrap();
        hsm.order(&format!("oaep {number}"));
        let before = hsm.oaep().len();
        let token = hsm.token();
        let offer = token.offer().await.unwrap();
        assert_eq!(offer.oaep(), hash);
        let tried = hsm.oaep();
        // Tried once a session, from the strongest down to the one that it takes.
        assert_eq!(tried[before..], tries[..=n]);
        token.ready().await.unwrap();
        assert_eq!(hsm.oaep(), tried);
        let keys = TransportKeys::generate(&SystemRandom);
        let kek = token.take_kek(&offer, &keys.wrap_kek(offer.public_der(), hash).unwrap()).await.unwrap();
        let material = KeyMaterial::generate(KeySpec::Aes256, &SystemRandom).unwrap();
        let sealed = material.open().unwrap().seal(&SystemRandom, AAD, b"made before").unwrap();
        let wrapped = keys.wrap_material(&material).unwrap();
        let id = ObjectId::generate(&SystemRandom);
        token.unwrap(kek, id, KeySpec::Aes256, &wrapped).await.unwrap();
        let (iv, text) = sealed.split_first_chunk::<12>().unwrap();
        assert_eq!(token.open(id, *iv, AAD, text).await.unwrap().as_slice(), b"made before");
        // What was wrapped with another hash does not come in.
        let other = if hash == OaepHash::Sha1 { OaepHash::Sha256 } else { OaepHash::Sha1 };
        let wrapped = keys.wrap_kek(offer.public_der(), other).unwrap();
        assert_eq!(token.take_kek(&offer, &wrapped).await.unwrap_err(), TokenError::Rejected);
    }
}

#[tokio::test]
async fn keys_made_in_the_token_serve_the_algorithms_of_the_api() {
    let Some(hsm) = hsm("using::keys_made_in_the_token_serve_the_algorithms_of_the_api") else { return };
    let token = hsm.token();
    let digest = [7; 32];
    for spec in [KeySpec::Rsa2048, KeySpec::EcP256, KeySpec::EcP256k] {
        let deed = token.generate(ObjectId::generate(&SystemRandom), spec).await.unwrap();
        assert_eq!(Deed::decode(&deed.encode()).unwrap(), deed);
        for algorithm in SignAlgorithm::ALL {
            let signed = token.sign(&deed, algorithm, &digest).await;
            if algorithm.fits(spec) {
                verify(&deed.public, spec, algorithm, &digest, &signed.unwrap()).unwrap();
            } else {
                assert!(matches!(signed, Err(TokenError::Unsuitable(_))), "{spec} {algorithm:?}");
            }
        }
    }
    let rsa = token.generate(ObjectId::generate(&SystemRandom), KeySpec::Rsa2048).await.unwrap();
    let sealed = encrypt_to(&rsa.public, DecryptAlgorithm::OaepSha1, b"text").unwrap();
    assert_eq!(token.decrypt(&rsa, DecryptAlgorithm::OaepSha1, &sealed).await.unwrap().as_slice(), b"text");
    let other = token.generate(ObjectId::generate(&SystemRandom), KeySpec::Rsa2048).await.unwrap();
    assert_eq!(token.decrypt(&other, DecryptAlgorithm::OaepSha1, &sealed).await.unwrap_err(), TokenError::Rejected);
    // SoftHSM2 does not take OAEP with SHA-256: that is said, not taken for a damaged ciphertext.
    let sealed = encrypt_to(&rsa.public, DecryptAlgorithm::OaepSha256, b"text").unwrap();
    let refused = token.decrypt(&rsa, DecryptAlgorithm::OaepSha256, &sealed).await;
    assert!(matches!(refused, Err(TokenError::Unsuitable(_))), "{refused:?}");
    let aes = token.generate(ObjectId::generate(&SystemRandom), KeySpec::Aes256).await.unwrap();
    let sealed = token.seal(aes.object, [1; 12], AAD, b"text").await.unwrap();
    assert_eq!(token.open(aes.object, [1; 12], AAD, &sealed).await.unwrap().as_slice(), b"text");
    let mac = token.generate(ObjectId::generate(&SystemRandom), KeySpec::HmacSha256).await;
    assert!(matches!(mac, Err(TokenError::Unsuitable(_))));
    // Nothing but private and secret keys is kept.
    assert_eq!(hsm.objects().len(), 6);
    token.destroy(vec![aes.object, rsa.object, other.object]).await.unwrap();
    token.destroy(vec![aes.object]).await.unwrap();
    assert_eq!(hsm.objects().len(), 3);
    assert_eq!(token.prove(&aes).await.unwrap_err(), TokenError::Missing(aes.object.to_string()));
}

/// One thread a token, one module: what one token does leaves the other alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tokens_of_one_module_work_side_by_side() {
    let Some(hsm) = hsm("using::two_tokens_of_one_module_work_side_by_side") else { return };
    let tokens = [hsm.token(), hsm.token_named(SECOND, PIN)];
    let mut lanes = tokio::task::JoinSet::new();
    for lane in 0..8_usize {
        let token = std::sync::Arc::clone(&tokens[lane % 2]);
        lanes.spawn(async move {
            for round in 0..40_u8 {
                let id = ObjectId::generate(&SystemRandom);
                let deed = token.generate(id, KeySpec::Aes256).await.unwrap();
                for n in 0..20_u8 {
                    let sealed = token.seal(id, [n; 12], AAD, &[round; 100]).await.unwrap();
                    assert_eq!(token.open(id, [n; 12], AAD, &sealed).await.unwrap().as_slice(), [round; 100]);
                }
                token.destroy(vec![deed.object]).await.unwrap();
            }
        });
    }
    while let Some(done) = lanes.join_next().await {
        done.unwrap();
    }
    assert!(hsm.objects().is_empty());
}

/// Blobs of the first release open for ever.
#[tokio::test]
async fn golden_blobs_open_in_the_token() {
    let Some(hsm) = hsm("using::golden_blobs_open_in_the_token") else { return };
    let token = hsm.token();
    for (spec, material, context, blob) in GOLDEN {
        let id = ObjectId::generate(&SystemRandom);
        let material = Zeroizing::new(hex::decode(material).unwrap());
        token.import(id, KeyMaterial::from_imported(spec, material).unwrap()).await.unwrap();
        let blob = hex::decode(blob).unwrap();
        let (header, sealed) = blob::parse(&blob).unwrap();
        let (iv, text) = sealed.split_first_chunk::<12>().unwrap();
        let context = context.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let opened = token.open(id, *iv, &blob::aad(&header, &context), text).await.unwrap();
        assert_eq!(opened.as_slice(), b"keyferry golden plaintext");
    }
}

type Golden = (KeySpec, &'static str, &'static [(&'static str, &'static str)], &'static str);

/// As in src/crypto/blob_tests.rs.
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
