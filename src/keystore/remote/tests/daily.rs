//! Daily use over the hop answers what the keystore answers.

use super::*;
use crate::crypto::envelope::SecretEnvelope;
use crate::crypto::mac::MacAlgorithm;
use crate::crypto::material::{DecryptAlgorithm, KeyMaterial, SignAlgorithm};
use crate::crypto::verify;
use crate::keystore::{Keystore, KeystoreError, Target};

async fn pair() -> (Desk, Served, Arc<SoftwareKeystore>, RemoteKeystore) {
    let desk = Desk::new();
    let here = instance(1).await;
    let served = Served::new(&here, usual(&desk)).await;
    let far = client(&desk, &served, Some(here.public_identity()));
    (desk, served, here, far)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_answers_as_without_the_hop() {
    let (_desk, _served, here, far) = pair().await;
    assert_eq!(far.state(), InstanceState::Connecting);
    assert!(far.ready().await.is_ok());
    assert_eq!((far.state(), far.identity()), (InstanceState::Connected, here.public_identity()));

    let (label, place) = new_key(KeySpec::Aes256);
    far.generate(&label, &place).await.unwrap();
    assert!(matches!(far.generate(&label, &place).await, Err(KeystoreError::Exists)));
    let sealed = far.seal(&place, b"aad", b"plain").await.unwrap();
    assert!(!sealed.provisional);
    assert_eq!(here.open(&place, b"aad", &sealed.value).await.unwrap().value.as_slice(), b"plain");
    assert_eq!(far.open(&place, b"aad", &sealed.value).await.unwrap().value.as_slice(), b"plain");
    assert!(matches!(far.open(&place, b"other", &sealed.value).await, Err(KeystoreError::Rejected)));
    assert!(matches!(far.public_key(&place).await, Err(KeystoreError::Unsuitable("it has no public key"))));
    // An error of the keystore says nothing about the hop.
    assert_eq!(far.state(), InstanceState::Connected);

    let (label, place) = new_key(KeySpec::EcP256);
    far.generate(&label, &place).await.unwrap();
    let digest = [7; 32];
    let signature = far.sign(&place, SignAlgorithm::EcdsaSha256, &digest).await.unwrap().value;
    let public = far.public_key(&place).await.unwrap().value;
    verify::verify(&public, KeySpec::EcP256, SignAlgorithm::EcdsaSha256, &digest, &signature).unwrap();

    let (label, place) = new_key(KeySpec::Rsa2048);
    far.generate(&label, &place).await.unwrap();
    let public = far.public_key(&place).await.unwrap().value;
    let ciphertext = verify::encrypt_to(&public, DecryptAlgorithm::OaepSha256, b"to an instance").unwrap();
    let opened = far.decrypt(&place, DecryptAlgorithm::OaepSha256, &ciphertext).await.unwrap().value;
    assert_eq!(opened.as_slice(), b"to an instance");

    let (label, place) = new_key(KeySpec::HmacSha256);
    far.generate(&label, &place).await.unwrap();
    let code = far.mac(&place, MacAlgorithm::Sha256, b"message").await.unwrap().value;
    assert_eq!(code, here.mac(&place, MacAlgorithm::Sha256, b"message").await.unwrap().value);

    let (label, place) = new_secret("db/password");
    let envelope = SecretEnvelope::System { value: Zeroizing::new(vec![0, 255, 128]) };
    far.put_value(&label, &place, &envelope).await.unwrap();
    assert_eq!(far.read_value(&place).await.unwrap().value.encode().as_slice(), envelope.encode().as_slice());

    assert_eq!(far.inventory().await.unwrap(), here.inventory().await.unwrap());
    assert_eq!(far.inventory().await.unwrap().len(), 5);
    far.destroy(&label.incarnation, None).await.unwrap();
    far.destroy_orphan(&place).await.unwrap();
    assert!(matches!(far.read_value(&place).await, Err(KeystoreError::Moved(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn imported_material_travels_wrapped_and_also_after_a_restart_of_the_instance() {
    let (desk, served, here, far) = pair().await;
    let import = async |far: &RemoteKeystore, byte: u8| {
        let (label, place) = new_key(KeySpec::Aes256);
        let material = KeyMaterial::from_imported(KeySpec::Aes256, Zeroizing::new(vec![byte; 32])).unwrap();
        far.import(&label, &place, material).await.unwrap();
        place
    };
    let place = import(&far, 9).await;
    let sealed = here.seal(&place, b"", b"under imported material").await.unwrap().value;
    let same = KeyMaterial::from_imported(KeySpec::Aes256, Zeroizing::new(vec![9; 32])).unwrap();
    assert_eq!(same.open().unwrap().open(b"", &sealed).unwrap().as_slice(), b"under imported material");
    // A new process has a new import key.
    drop(served);
    let papers = usual(&desk);
    let again = Served::new(&here, papers).await;
    let far = client(&desk, &again, Some(here.public_identity()));
    import(&far, 8).await;
}

/// More than the pool holds, at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_at_once() {
    let (_desk, _served, _here, far) = pair().await;
    let (label, place) = new_key(KeySpec::Aes256);
    far.generate(&label, &place).await.unwrap();
    let far = Arc::new(far);
    let calls = (0..300_u32).map(|n| {
        let (far, place) = (Arc::clone(&far), place.clone());
        tokio::spawn(async move {
            let text = n.to_string();
            let sealed = far.seal(&place, b"", text.as_bytes()).await.unwrap().value;
            assert_eq!(far.open(&place, b"", &sealed).await.unwrap().value.as_slice(), text.as_bytes());
        })
    });
    for done in futures::future::join_all(calls).await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_goes_and_comes_back_is_noticed() {
    let (desk, served, here, _) = pair().await;
    let far = client(&desk, &served, Some(here.public_identity()));
    assert!(far.probe().await.is_ok());
    let address = served.server.address();
    served.stop.cancel();
    drop(served);
    let away = loop {
        // The listener closes when its task has noticed.
        if let Err(error) = far.probe().await {
            break error;
        }
    };
    assert!(matches!(away, KeystoreError::Unavailable { .. }), "{away}");
    assert_eq!(far.state(), InstanceState::Disconnected);
    let hosted: Arc<dyn Hosted> = Arc::<SoftwareKeystore>::clone(&here);
    let papers = usual(&desk);
    let id = INSTANCE.parse().unwrap();
    let server = InstanceServer::bind(address, papers, id, hosted, Arc::new(SystemRandom)).await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(server.run(stop.clone()));
    // It has a certificate of another authority now.
    far.reload();
    assert_eq!(far.state(), InstanceState::Connecting);
    assert!(far.probe().await.is_ok());
    assert_eq!(far.state(), InstanceState::Connected);
    drop(far);
    stop.cancel();
    running.await.unwrap();
}
