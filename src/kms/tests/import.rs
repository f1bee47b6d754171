//! BYOK: only the same material comes back.

use super::*;
use crate::crypto::verify::encrypt_to;

const A: [u8; 32] = [0xa5; 32];
const B: [u8; 32] = [0x5a; 32];

async fn external(kms: &Kms) -> KeyId {
    kms.key(&me(), NewKey { origin: KeyOrigin::External, ..NewKey::default() }).await
}

async fn import(kms: &Kms, id: &KeyId, material: &[u8], expires_at: Option<jiff::Timestamp>) -> Result<(), KmsError> {
    let algorithm = WrappingAlgorithm::OaepSha256;
    let parameters = kms.service.get_parameters_for_import(&me(), id, algorithm).await.unwrap();
    let wrapped = encrypt_to(&parameters.public_key, DecryptAlgorithm::OaepSha256, material).unwrap();
    kms.service.import_key_material(&me(), id, &parameters.token, &wrapped, expires_at).await
}

#[tokio::test]
async fn only_the_same_material_can_come_back_and_old_ciphertexts_open_again() {
    let kms = Kms::new().await;
    let (service, id, none) = (&kms.service, external(&kms).await, BTreeMap::new());
    assert_eq!(state(&kms, &id).await, "PendingImport");
    let early = service.encrypt(&me(), &by_id(&id), b"x", &none).await;
    assert!(matches!(early, Err(KmsError::KeyState("PendingImport"))));
    assert!(matches!(import(&kms, &id, &A[..31], None).await, Err(KmsError::InvalidKeyMaterial)));
    import(&kms, &id, &A, None).await.unwrap();
    assert_eq!(state(&kms, &id).await, "Enabled");
    let sealed = service.encrypt(&me(), &by_id(&id), b"text", &none).await.unwrap();

    assert!(matches!(import(&kms, &id, &B, None).await, Err(KmsError::InvalidKeyMaterial)));
    import(&kms, &id, &A, None).await.unwrap();

    for _ in 0..2 {
        service.delete_key_material(&me(), &id).await.unwrap();
        assert_eq!(state(&kms, &id).await, "PendingImport");
        let gone = service.decrypt(&me(), &sealed.blob, &none).await;
        assert!(matches!(gone, Err(KmsError::KeyState("PendingImport"))));
        let key = service.find(&me().scope(), &by_id(&id)).await.unwrap();
        for store in kms.stores.values() {
            let all = store.scan(b"", None, 10_000).await.unwrap().entries;
            let version = key.imported.as_ref().unwrap().version.as_str();
            assert!(!all.iter().any(|(path, _)| String::from_utf8_lossy(path).contains(version)));
        }
        assert!(matches!(import(&kms, &id, &B, None).await, Err(KmsError::InvalidKeyMaterial)));
        import(&kms, &id, &A, None).await.unwrap();
        assert_eq!(service.decrypt(&me(), &sealed.blob, &none).await.unwrap().plaintext.as_slice(), b"text");
    }
    let (_, versions) = service.list_key_versions(&me(), &by_id(&id)).await.unwrap();
    assert_eq!(versions.iter().map(|v| &v.id).collect::<Vec<_>>(), [&sealed.version]);
    assert!(service.catalogue.intents().await.unwrap().is_empty());
}

#[tokio::test]
async fn material_expires_at_its_instant_and_goes_when_that_is_due() {
    let kms = Kms::new().await;
    let (service, id, none) = (&kms.service, external(&kms).await, BTreeMap::new());
    let at = service.clock.now() + DAY;
    import(&kms, &id, &A, Some(at)).await.unwrap();
    let sealed = service.encrypt(&me(), &by_id(&id), b"text", &none).await.unwrap();
    kms.clock.advance(DAY);
    // By the stored instant, before anything has run.
    assert_eq!(state(&kms, &id).await, "PendingImport");
    let expired = service.decrypt(&me(), &sealed.blob, &none).await;
    assert!(matches!(expired, Err(KmsError::KeyState("PendingImport"))));
    let report = service.run_due(service.clock.now()).await.unwrap();
    assert_eq!(report, DueReport { expired: 1, ..DueReport::default() });
    assert!(!service.find(&me().scope(), &by_id(&id)).await.unwrap().imported.as_ref().unwrap().present);
    import(&kms, &id, &A, None).await.unwrap();
    assert!(service.decrypt(&me(), &sealed.blob, &none).await.is_ok());
    kms.clock.advance(DAY * 400);
    assert_eq!(service.run_due(service.clock.now()).await.unwrap(), DueReport::default());
}

#[tokio::test]
async fn a_token_is_for_one_key_and_a_day_and_survives_a_restart() {
    let kms = Kms::new().await;
    let (service, id, other) = (&kms.service, external(&kms).await, external(&kms).await);
    let parameters = service.get_parameters_for_import(&me(), &id, WrappingAlgorithm::OaepSha1).await.unwrap();
    let wrapped = encrypt_to(&parameters.public_key, DecryptAlgorithm::OaepSha1, &A).unwrap();
    let import = |id: &KeyId, token: Vec<u8>, wrapped: Vec<u8>| {
        let id = id.clone();
        let service = Service { worker: "worker-2".into(), ..kms.service.clone() };
        async move { service.import_key_material(&me(), &id, &token, &wrapped, None).await }
    };
    let token = parameters.token.clone();
    let foreign = import(&other, token.clone(), wrapped.clone()).await;
    assert!(matches!(foreign, Err(KmsError::InvalidImportToken)));
    for at in [0, 20, token.len() - 1] {
        let mut damaged = token.clone();
        damaged[at] ^= 1;
        assert!(matches!(import(&id, damaged, wrapped.clone()).await, Err(KmsError::InvalidImportToken)));
    }
    let mut damaged = wrapped.clone();
    damaged[7] ^= 1;
    assert!(matches!(import(&id, token.clone(), damaged).await, Err(KmsError::InvalidKeyMaterial)));
    kms.clock.advance(DAY);
    assert!(matches!(import(&id, token.clone(), wrapped.clone()).await, Err(KmsError::ExpiredImportToken)));
    let parameters = service.get_parameters_for_import(&me(), &id, WrappingAlgorithm::OaepSha1).await.unwrap();
    let wrapped = encrypt_to(&parameters.public_key, DecryptAlgorithm::OaepSha1, &A).unwrap();
    import(&id, parameters.token, wrapped).await.unwrap();
    // The key that seals tokens is in no tenant's list.
    assert_eq!(service.list_keys(&me(), &KeyFilters::new()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn pkcs1_wrapping_works() {
    let kms = Kms::new().await;
    let id = external(&kms).await;
    let parameters = kms.service.get_parameters_for_import(&me(), &id, WrappingAlgorithm::Pkcs1).await.unwrap();
    let key = aws_lc_rs::rsa::PublicEncryptingKey::from_der(&parameters.public_key).unwrap();
    let key = aws_lc_rs::rsa::Pkcs1PublicEncryptingKey::new(key).unwrap();
    let mut room = vec![0; key.ciphertext_size()];
    let wrapped = key.encrypt(&A, &mut room).unwrap().to_vec();
    kms.service.import_key_material(&me(), &id, &parameters.token, &wrapped, None).await.unwrap();
    assert_eq!(state(&kms, &id).await, "Enabled");
}

#[tokio::test]
async fn cancelling_the_deletion_of_a_key_without_material_waits_for_material() {
    let kms = Kms::new().await;
    let id = external(&kms).await;
    import(&kms, &id, &A, None).await.unwrap();
    kms.service.schedule_key_deletion(&me(), &id, 7).await.unwrap();
    assert!(matches!(import(&kms, &id, &A, None).await, Err(KmsError::KeyState("PendingDeletion"))));
    kms.service.delete_key_material(&me(), &id).await.unwrap();
    assert_eq!(state(&kms, &id).await, "PendingDeletion");
    kms.service.cancel_key_deletion(&me(), &id).await.unwrap();
    assert_eq!(state(&kms, &id).await, "PendingImport");
    let own = kms.key(&me(), NewKey::default()).await;
    let refused = kms.service.get_parameters_for_import(&me(), &own, WrappingAlgorithm::Pkcs1).await;
    assert!(matches!(refused, Err(KmsError::UnsupportedOrigin)));
}
