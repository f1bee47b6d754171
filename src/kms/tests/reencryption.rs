//! ReEncrypt, and data keys for a caller's public key.

use super::*;
use crate::crypto::material::KeyMaterial;
use crate::model::SystemRandom;

fn context(value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("a".to_owned(), value.to_owned())])
}

#[tokio::test]
async fn a_blob_goes_to_another_key_and_context_and_opens_only_there() {
    let kms = Kms::new().await;
    let service = &kms.service;
    let (from, to) = (kms.key(&me(), NewKey::default()).await, kms.key(&me(), NewKey::default()).await);
    let sealed = service.encrypt(&me(), &by_id(&from), b"text", &context("1")).await.unwrap();
    let origin = Origin::Symmetric { context: context("1") };
    let again = service.re_encrypt(&me(), &sealed.blob, &origin, &by_id(&to), &context("2")).await.unwrap();
    assert_eq!(again.key, to);
    assert_eq!(service.decrypt(&me(), &again.blob, &context("2")).await.unwrap().plaintext.as_slice(), b"text");
    assert!(service.decrypt(&me(), &again.blob, &context("1")).await.is_err());
    let wrong = Origin::Symmetric { context: context("3") };
    let refused = service.re_encrypt(&me(), &sealed.blob, &wrong, &by_id(&to), &context("2")).await;
    assert!(matches!(refused, Err(KmsError::InvalidParameter("CiphertextBlob"))));
    let foreign = service.re_encrypt(&caller(STRANGER), &sealed.blob, &origin, &by_id(&to), &context("2")).await;
    assert!(matches!(foreign, Err(KmsError::InvalidParameter("CiphertextBlob"))));
    service.disable_key(&me(), &to).await.unwrap();
    let refused = service.re_encrypt(&me(), &sealed.blob, &origin, &by_id(&to), &context("2")).await;
    assert!(matches!(refused, Err(KmsError::KeyState("Disabled"))));
}

#[tokio::test]
async fn an_asymmetric_ciphertext_becomes_a_blob_but_never_the_other_way() {
    let kms = Kms::new().await;
    let service = &kms.service;
    let rsa = NewKey { spec: KeySpec::Rsa2048, usage: Some(KeyUsage::EncryptDecrypt), ..NewKey::default() };
    let view = service.create_key(&me(), rsa).await.unwrap();
    let (rsa, version) = (view.key.id.clone(), view.key.primary_version.clone().unwrap().to_string());
    let aes = kms.key(&me(), NewKey::default()).await;
    let algorithm = DecryptAlgorithm::OaepSha256;
    let wrapped = service.asymmetric_encrypt(&me(), &by_id(&rsa), &version, algorithm, b"text").await.unwrap();
    let origin = Origin::Asymmetric { key: by_id(&rsa), version, algorithm };
    let blob = service.re_encrypt(&me(), &wrapped.value, &origin, &by_id(&aes), &context("1")).await.unwrap();
    assert_eq!(service.decrypt(&me(), &blob.blob, &context("1")).await.unwrap().plaintext.as_slice(), b"text");
    let back = Origin::Symmetric { context: context("1") };
    let refused = service.re_encrypt(&me(), &blob.blob, &back, &by_id(&rsa), &context("1")).await;
    assert!(matches!(refused, Err(KmsError::UnsupportedOperation(_))));
}

#[tokio::test]
async fn data_keys_reach_the_holder_of_the_private_key_and_nobody_else() {
    let kms = Kms::new().await;
    let service = &kms.service;
    let id = kms.key(&me(), NewKey::default()).await;
    let private = KeyMaterial::generate(KeySpec::Rsa2048, &SystemRandom).unwrap().open().unwrap();
    for algorithm in DecryptAlgorithm::ALL {
        let to = Recipient { public_key: private.public_key_der().unwrap(), algorithm };
        let (wrapped, sealed) =
            service.generate_and_export_data_key(&me(), &by_id(&id), 32, &context("1"), &to).await.unwrap();
        let opened = service.decrypt(&me(), &sealed.blob, &context("1")).await.unwrap().plaintext;
        assert_eq!((opened.len(), private.decrypt(algorithm, &wrapped).unwrap()), (32, opened.clone()));
        let exported = service.export_data_key(&me(), &sealed.blob, &context("1"), &to).await.unwrap();
        assert_eq!((exported.key, private.decrypt(algorithm, &exported.blob).unwrap()), (id.clone(), opened));
        // Too long for the public key: refused before anything is made.
        let long = service.generate_and_export_data_key(&me(), &by_id(&id), 215, &context("1"), &to).await;
        assert!(matches!(long, Err(KmsError::InvalidParameterBecause { name: "NumberOfBytes", .. })));
        let long = service.encrypt(&me(), &by_id(&id), &[1; 215], &context("1")).await.unwrap();
        let long = service.export_data_key(&me(), &long.blob, &context("1"), &to).await;
        assert!(matches!(long, Err(KmsError::InvalidParameterBecause { name: "CiphertextBlob", .. })));
    }
    let larger = KeyMaterial::generate(KeySpec::Rsa3072, &SystemRandom).unwrap().open().unwrap();
    let curve = KeyMaterial::generate(KeySpec::EcP256, &SystemRandom).unwrap().open().unwrap();
    for public_key in [larger.public_key_der().unwrap(), curve.public_key_der().unwrap(), b"nonsense".to_vec()] {
        let to = Recipient { public_key, algorithm: DecryptAlgorithm::OaepSha256 };
        let refused = service.generate_and_export_data_key(&me(), &by_id(&id), 32, &context("1"), &to).await;
        assert!(matches!(refused, Err(KmsError::InvalidParameterBecause { name: "PublicKeyBlob", .. })));
    }
}
