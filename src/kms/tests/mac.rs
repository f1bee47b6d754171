//! HMAC keys, and the other specs that only instances have.

use super::*;
use crate::crypto::mac::MacAlgorithm;

fn there(spec: KeySpec) -> NewKey {
    NewKey { spec, instance: Some(INSTANCE.parse().unwrap()), ..NewKey::default() }
}

#[tokio::test]
async fn codes_hold_for_their_message_key_and_algorithm_alone() {
    let kms = Kms::new().await;
    let service = &kms.service;
    for algorithm in MacAlgorithm::ALL {
        let (id, other) =
            (kms.key(&me(), there(algorithm.spec())).await, kms.key(&me(), there(algorithm.spec())).await);
        let (key, code) = service.generate_mac(&me(), &by_id(&id), algorithm, b"message").await.unwrap();
        assert_eq!((key, code.len()), (id.clone(), algorithm.spec().raw_len().unwrap()));
        let holds = |id: KeyId, message: &'static [u8], code: Vec<u8>| async move {
            service.verify_mac(&me(), &by_id(&id), algorithm, message, &code).await.unwrap().1
        };
        assert!(holds(id.clone(), b"message", code.clone()).await);
        assert!(!holds(id.clone(), b"messagf", code.clone()).await);
        assert!(!holds(other, b"message", code.clone()).await);
        assert!(!holds(id.clone(), b"message", code[1..].to_vec()).await);
        assert!(!holds(id.clone(), b"message", Vec::new()).await);
        let wrong = if algorithm == MacAlgorithm::Sha256 { MacAlgorithm::Sha512 } else { MacAlgorithm::Sha256 };
        let refused = service.generate_mac(&me(), &by_id(&id), wrong, b"message").await;
        assert!(matches!(refused, Err(KmsError::InvalidParameter("Algorithm"))));
        // It is good for nothing else.
        let view = service.describe_key(&me(), &by_id(&id)).await.unwrap();
        assert_eq!(view.key.usage, KeyUsage::GenerateVerifyMac);
        let version = view.key.primary_version.unwrap().to_string();
        let refused = [
            service.encrypt(&me(), &by_id(&id), b"x", &BTreeMap::new()).await.map(|_| ()),
            service.get_public_key(&me(), &by_id(&id), &version).await.map(|_| ()),
            service.create_key_version(&me(), &by_id(&id)).await.map(|_| ()),
            service.update_rotation_policy(&me(), &id, true, Some(DAY * 7)).await,
        ];
        assert!(refused.iter().all(|r| matches!(r, Err(KmsError::UnsupportedOperation(_)))), "{refused:?}");
        service.disable_key(&me(), &id).await.unwrap();
        let refused = service.generate_mac(&me(), &by_id(&id), algorithm, b"message").await;
        assert!(matches!(refused, Err(KmsError::KeyState("Disabled"))));
    }
    let aes = kms.key(&me(), there(KeySpec::Aes192)).await;
    let refused = service.generate_mac(&me(), &by_id(&aes), MacAlgorithm::Sha256, b"message").await;
    assert!(matches!(refused, Err(KmsError::UnsupportedOperation(_))));
    let sealed = service.encrypt(&me(), &by_id(&aes), b"text", &BTreeMap::new()).await.unwrap();
    assert_eq!(service.decrypt(&me(), &sealed.blob, &BTreeMap::new()).await.unwrap().plaintext.as_slice(), b"text");
}

#[tokio::test]
async fn instances_have_specs_that_the_shared_kms_does_not() {
    let kms = Kms::new().await;
    for spec in KeySpec::ALL {
        let shared = kms.service.create_key(&me(), NewKey { spec, ..NewKey::default() }).await;
        match shared {
            Ok(_) => assert!(!spec.is_of_instances(), "{spec}"),
            Err(error) => {
                assert!(matches!(error, KmsError::InvalidParameterBecause { name: "KeySpec", .. }), "{error}");
                assert!(spec.is_of_instances(), "{spec}");
            }
        }
        kms.key(&me(), there(spec)).await;
    }
    let usage = NewKey { usage: Some(KeyUsage::SignVerify), ..there(KeySpec::HmacSha256) };
    let refused = kms.service.create_key(&me(), usage).await;
    assert!(matches!(refused, Err(KmsError::InvalidParameterBecause { name: "KeyUsage", .. })));
    let external = NewKey { origin: KeyOrigin::External, ..there(KeySpec::HmacSha256) };
    assert!(matches!(kms.service.create_key(&me(), external).await, Err(KmsError::UnsupportedOrigin)));
}
