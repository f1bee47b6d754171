//! Asymmetric keys through the service.

use super::*;

#[tokio::test]
async fn asymmetric_keys_sign_and_decrypt_by_version() {
    let kms = Kms::new().await;
    let service = &kms.service;
    let digest: [u8; 32] = Sha256::digest(b"message").into();
    for (spec, algorithm) in [
        (KeySpec::EcP256, SignAlgorithm::EcdsaSha256),
        (KeySpec::EcP256k, SignAlgorithm::EcdsaSha256),
        (KeySpec::Rsa2048, SignAlgorithm::RsaPssSha256),
        (KeySpec::Rsa2048, SignAlgorithm::RsaPkcs1Sha256),
    ] {
        let key = service.create_key(&me(), NewKey { spec, ..NewKey::default() }).await.unwrap().key;
        let (name, version) = (by_id(&key.id), key.primary_version.unwrap().to_string());
        let signed = service.asymmetric_sign(&me(), &name, &version, algorithm, &digest).await.unwrap();
        let verify = |digest: [u8; 32]| {
            let (name, version, value) = (&name, &version, &signed.value);
            async move { service.asymmetric_verify(&me(), name, version, algorithm, &digest, value).await.unwrap().value }
        };
        assert!(verify(digest).await && !verify([0; 32]).await);
        let short = service.asymmetric_sign(&me(), &name, &version, algorithm, &digest[..31]).await;
        assert!(matches!(short, Err(KmsError::InvalidParameter("Digest"))));
        let pem = service.get_public_key(&me(), &name, &version).await.unwrap().value;
        assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----"));
        let other = service.new_version_id().to_string();
        let unknown = service.get_public_key(&me(), &name, &other).await;
        assert!(matches!(unknown, Err(KmsError::KeyVersionNotFound)));
        let usage = service.asymmetric_encrypt(&me(), &name, &version, DecryptAlgorithm::OaepSha256, b"x").await;
        assert!(matches!(usage, Err(KmsError::UnsupportedOperation(_))));
    }
    let new = NewKey { spec: KeySpec::Rsa2048, usage: Some(KeyUsage::EncryptDecrypt), ..NewKey::default() };
    let key = service.create_key(&me(), new).await.unwrap().key;
    let (name, version) = (by_id(&key.id), key.primary_version.unwrap().to_string());
    for algorithm in DecryptAlgorithm::ALL {
        let mut made = service.asymmetric_encrypt(&me(), &name, &version, algorithm, b"text").await.unwrap();
        let opened = service.asymmetric_decrypt(&me(), &name, &version, algorithm, &made.value).await.unwrap();
        assert_eq!(opened.value.as_slice(), b"text");
        made.value[9] ^= 1;
        let damaged = service.asymmetric_decrypt(&me(), &name, &version, algorithm, &made.value).await;
        assert!(matches!(damaged, Err(KmsError::InvalidParameter("CiphertextBlob"))));
    }
    let long = service.asymmetric_encrypt(&me(), &name, &version, DecryptAlgorithm::OaepSha256, &[0; 191]).await;
    assert!(matches!(long, Err(KmsError::InvalidParameter("Plaintext"))));
}
