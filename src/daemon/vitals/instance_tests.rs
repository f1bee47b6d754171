#![allow(clippy::unwrap_used)]

use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use zeroize::Zeroizing;

use super::*;
use crate::crypto::sealing::RootKey;
use crate::keystore::hardware::{Pin, Token, TokenAddress};
use crate::keystore::remote::server::{Hosted, Papers};
use crate::keystore::software::slots::memory::MemorySlots;
use crate::model::{InstanceId, KeystoreId, SystemClock, SystemRandom};
use crate::observe::heartbeat::Heart;
use crate::store::memory::MemoryStore;

fn id() -> InstanceId {
    "kst-vital1".parse().unwrap()
}

/// A certificate that vouches for itself.
fn papers(directory: &Path) -> Papers {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.not_after = rcgen::date_time_ymd(2131, 5, 17);
    let certificate = parameters.self_signed(&key).unwrap().pem();
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    Papers {
        certificate: write("instance.pem", &certificate),
        private_key: write("instance.key", &key.serialize_pem()),
        client_ca: write("gateway-ca.pem", &certificate),
    }
}

/// The vitals of an instance, and the heart of its store.
async fn vitals(directory: &Path, token: Option<Arc<Token>>) -> (InstanceVitals, Heart) {
    let root = RootKey::new(Zeroizing::new([7; 32])).unwrap();
    let (clock, random) = (Arc::new(SystemClock::default()), Arc::new(SystemRandom));
    let (store, slots) = (Arc::new(MemoryStore::new()), Arc::new(MemorySlots::default()));
    let place = KeystoreId::Instance(id());
    let opened = SoftwareKeystore::open(place, store, slots, Some(root), clock, random).await.unwrap();
    let keystore = Arc::new(match token {
        Some(token) => opened.with_token(token),
        None => opened,
    });
    let hosted: Arc<dyn Hosted> = Arc::<SoftwareKeystore>::clone(&keystore);
    let address = "127.0.0.1:0".parse().unwrap();
    let bound = InstanceServer::bind(address, papers(directory), id(), hosted, Arc::new(SystemRandom)).await;
    let hearts = Heartbeats::default();
    let heart = hearts.begin("the store");
    let vitals = InstanceVitals {
        server: bound.unwrap(),
        keystore,
        expires: None,
        hearts,
        clock: Arc::new(SystemClock::default()),
        begun: Duration::ZERO,
        stop: CancellationToken::new(),
    };
    (vitals, heart)
}

#[tokio::test]
async fn it_is_ready_until_it_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let (vitals, _heart) = vitals(directory.path(), None).await;
    assert_eq!((vitals.ready().await, vitals.live()), (Ok(()), Ok(())));
    vitals.stop.cancel();
    assert_eq!(vitals.ready().await, Err("the instance is leaving".to_owned()));
}

#[tokio::test]
async fn a_token_that_is_away_is_named_and_does_not_end_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let address = TokenAddress { module: "/no/such/module.so".into(), label: "t".to_owned(), instance: id() };
    let token = Token::new(address, Pin::new(Zeroizing::new("1234".to_owned()))).unwrap();
    let (vitals, _heart) = vitals(directory.path(), Some(Arc::new(token))).await;
    let why = vitals.ready().await.unwrap_err();
    assert!(why.contains("the token") && why.contains("/no/such/module.so"), "{why}");
    assert_eq!(vitals.live(), Ok(()));
    // Its errors are those of a hardware instance.
    let text = vitals.metrics().await.unwrap();
    assert!(text.contains("keyferry_keystore_errors_total{keystore=\"hardware\"}"), "{text}");
}

#[tokio::test]
async fn a_store_that_is_silent_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (vitals, heart) = vitals(directory.path(), None).await;
    tokio::time::pause();
    tokio::time::advance(pulse::patience()).await;
    let why = vitals.live().unwrap_err();
    assert!(why.starts_with("the store has made no progress for"), "{why}");
    heart.beat();
    assert_eq!(vitals.live(), Ok(()));
}

#[tokio::test]
async fn what_it_presents_and_its_contract_have_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (mut vitals, _heart) = vitals(directory.path(), None).await;
    let text = vitals.metrics().await.unwrap();
    let of = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
        line.map(|seconds| seconds / 86_400.0)
    };
    let presented = of(&text, "keyferry_certificate_expiry_seconds").unwrap();
    assert!(presented > 30_000.0, "a hundred years: {presented}");
    assert_eq!(of(&text, "keyferry_instance_expiry_seconds"), None, "it has no end");
    vitals.expires = Some("2000-01-01T00:00:00Z".parse().unwrap());
    let text = vitals.metrics().await.unwrap();
    assert!(of(&text, "keyferry_instance_expiry_seconds").is_some_and(|days| days < -9000.0), "{text}");
    // Nothing of an API that it does not have.
    assert!(!text.contains("keyferry_requests_") && !text.contains("keyferry_jobs"), "{text}");
}
