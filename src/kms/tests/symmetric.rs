//! Ciphertext blobs through the service.

use super::*;

fn context(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[tokio::test]
async fn blobs_open_with_their_context_only_and_damage_is_not_told_apart() {
    let kms = Kms::new().await;
    let service = &kms.service;
    for spec in [KeySpec::Aes256, KeySpec::Aes128] {
        let id = kms.key(&me(), NewKey { spec, ..NewKey::default() }).await;
        let bound = context(&[("a", "1"), ("b", "2")]);
        let sealed = service.encrypt(&me(), &by_id(&id), b"text", &bound).await.unwrap();
        assert_eq!(service.decrypt(&me(), &sealed.blob, &bound).await.unwrap().plaintext.as_slice(), b"text");
        for other in [context(&[]), context(&[("a", "1")]), context(&[("a", "12"), ("b", "")])] {
            let refused = service.decrypt(&me(), &sealed.blob, &other).await;
            assert!(matches!(refused, Err(KmsError::InvalidParameter("CiphertextBlob"))));
        }
        for at in 0..sealed.blob.len() {
            let mut damaged = sealed.blob.clone();
            damaged[at] ^= 1;
            let refused = service.decrypt(&me(), &damaged, &bound).await;
            assert!(matches!(refused, Err(KmsError::InvalidParameter("CiphertextBlob"))), "byte {at}");
        }
        let foreign = service.decrypt(&caller(STRANGER), &sealed.blob, &bound).await;
        assert!(matches!(foreign, Err(KmsError::InvalidParameter("CiphertextBlob"))));
    }
}

#[tokio::test]
async fn a_key_is_used_in_the_state_enabled_only() {
    let kms = Kms::new().await;
    let service = &kms.service;
    let (id, none) = (kms.key(&me(), NewKey::default()).await, BTreeMap::new());
    let sealed = service.encrypt(&me(), &by_id(&id), b"text", &none).await.unwrap();
    let both = || async {
        let encrypted = service.encrypt(&me(), &by_id(&id), b"x", &none).await.map(|_| ());
        let decrypted = service.decrypt(&me(), &sealed.blob, &none).await.map(|_| ());
        [encrypted, decrypted]
    };
    service.disable_key(&me(), &id).await.unwrap();
    assert!(both().await.iter().all(|r| matches!(r, Err(KmsError::KeyState("Disabled")))));
    service.schedule_key_deletion(&me(), &id, 7).await.unwrap();
    assert!(both().await.iter().all(|r| matches!(r, Err(KmsError::KeyState("PendingDeletion")))));
    service.cancel_key_deletion(&me(), &id).await.unwrap();
    assert!(both().await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn data_keys_have_the_length_asked_for_and_open() {
    let kms = Kms::new().await;
    let id = kms.key(&me(), NewKey::default()).await;
    for length in [1, 16, 32, 1024] {
        let (plain, sealed) =
            kms.service.generate_data_key(&me(), &by_id(&id), length, &context(&[("a", "b")])).await.unwrap();
        let opened = kms.service.decrypt(&me(), &sealed.blob, &context(&[("a", "b")])).await.unwrap();
        assert_eq!((plain.len(), opened.plaintext.as_slice()), (length, plain.as_slice()));
    }
}

#[tokio::test]
async fn an_asymmetric_key_makes_no_blobs() {
    let kms = Kms::new().await;
    let id = kms.key(&me(), NewKey { spec: KeySpec::EcP256, ..NewKey::default() }).await;
    let refused = kms.service.encrypt(&me(), &by_id(&id), b"x", &BTreeMap::new()).await;
    assert!(matches!(refused, Err(KmsError::UnsupportedOperation(_))));
}

/// NIST SP 800-38D, section 8.3: not more than 2^32 messages under one key. A new version goes on.
#[tokio::test]
async fn a_version_is_refused_after_its_last_safe_use_and_a_new_one_goes_on() {
    let kms = Kms::new().await;
    let service = &kms.service;
    let id = kms.key(&me(), NewKey::default()).await;
    let first = service.encrypt(&me(), &by_id(&id), b"first", &context(&[])).await.unwrap();
    let key = service.find(&me().scope(), &by_id(&id)).await.unwrap();
    let place = crate::keystore::Place { incarnation: key.incarnation.clone(), version: first.version.clone() };
    for (used, refused) in [(1 << 31, false), ((1 << 32) - 1, false), (1 << 32, true), (u64::MAX, true)] {
        service.catalogue.set_uses(&key.region, &place, used).await;
        let answer = service.encrypt(&me(), &by_id(&id), b"x", &context(&[])).await;
        assert_eq!(matches!(answer, Err(KmsError::LimitExceeded(_))), refused, "{used}");
        assert_eq!(answer.is_ok(), !refused, "{used}");
    }
    // What was encrypted opens for ever.
    assert!(service.decrypt(&me(), &first.blob, &context(&[])).await.is_ok());
    service.create_key_version(&me(), &by_id(&id)).await.unwrap();
    assert!(service.encrypt(&me(), &by_id(&id), b"x", &context(&[])).await.is_ok());
}
