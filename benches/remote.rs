//! What the hop to an instance elsewhere costs: each operation directly and over mutual TLS on this machine, in one run.
//!
//! `cargo bench --bench remote`; the medians and the difference, in microseconds. One caller at a time, one connection kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "../src/keystore/remote/tests/papers.rs"]
#[allow(dead_code)]
mod papers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyferry::crypto::envelope::SecretEnvelope;
use keyferry::crypto::material::SignAlgorithm;
use keyferry::crypto::sealing::RootKey;
use keyferry::keystore::remote::server::InstanceServer;
use keyferry::keystore::remote::{Hosted, Link, RemoteKeystore, Timeouts};
use keyferry::keystore::software::SoftwareKeystore;
use keyferry::keystore::software::slots::memory::MemorySlots;
use keyferry::keystore::{Keystore, Label, Place};
use keyferry::model::*;
use keyferry::store::memory::MemoryStore;
use papers::{Authority, Desk};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

const WARM_UP: usize = 300;
const ROUNDS: usize = 3000;
/// The aim of issue 5.
const AIM: Duration = Duration::from_micros(500);

#[tokio::main]
async fn main() {
    let id: InstanceId = "kst-far1".parse().unwrap();
    let root = RootKey::new(Zeroizing::new([1; 32])).unwrap();
    let (clock, random) = (Arc::new(SystemClock::default()), Arc::new(SystemRandom));
    let (store, slots) = (Arc::new(MemoryStore::new()), Arc::new(MemorySlots::default()));
    let opened = SoftwareKeystore::open(KeystoreId::Instance(id.clone()), store, slots, Some(root), clock, random);
    let here = Arc::new(opened.await.unwrap());
    let desk = Desk::new();
    let papers = desk.papers(&Authority::new("instances"), "localhost", None);
    let hosted: Arc<dyn Hosted> = Arc::<SoftwareKeystore>::clone(&here);
    let address = "127.0.0.1:0".parse().unwrap();
    let server = InstanceServer::bind(address, papers, id.clone(), hosted, Arc::new(SystemRandom)).await.unwrap();
    let link = Link { endpoint: format!("https://localhost:{}", server.address().port()), ..desk.link() };
    tokio::spawn(server.run(CancellationToken::new()));
    let pinned = Some(here.public_identity());
    let far = Arc::new(RemoteKeystore::new(id, link, Timeouts::default(), pinned, Arc::new(SystemRandom)));

    let aes = make(&here, Some(KeySpec::Aes256)).await;
    let ec = make(&here, Some(KeySpec::EcP256)).await;
    let secret = make(&here, None).await;
    let blob = here.seal(&aes, b"aad", &[7; 256]).await.unwrap().value;
    println!("{:<22}{:>12}{:>12}{:>12}", "median, µs", "direct", "remote", "added");
    let mut worst = Duration::ZERO;
    let (h, f): (Arc<dyn Keystore>, Arc<dyn Keystore>) = (here, far);
    macro_rules! row {
        ($name:literal, $call:expr) => {{
            let direct = median(&h, $call).await;
            let remote = median(&f, $call).await;
            let added = remote.saturating_sub(direct);
            worst = worst.max(added);
            let us = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e6);
            println!("{:<22}{:>12}{:>12}{:>12}", $name, us(direct), us(remote), us(added));
        }};
    }
    row!("seal 256 bytes", async |k: &dyn Keystore| drop(k.seal(&aes, b"aad", &[7; 256]).await.unwrap()));
    row!("open 256 bytes", async |k: &dyn Keystore| drop(k.open(&aes, b"aad", &blob).await.unwrap()));
    row!("sign EC_P256", async |k: &dyn Keystore| drop(
        k.sign(&ec, SignAlgorithm::EcdsaSha256, &[3; 32]).await.unwrap()
    ));
    row!("read a secret of 4 KiB", async |k: &dyn Keystore| drop(k.read_value(&secret).await.unwrap()));
    println!("worst median added: {:.1} µs (aim: below {} µs)", worst.as_secs_f64() * 1e6, AIM.as_micros());
}

async fn median(keystore: &Arc<dyn Keystore>, call: impl AsyncFn(&dyn Keystore)) -> Duration {
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..WARM_UP + ROUNDS {
        let begun = Instant::now();
        call(keystore.as_ref()).await;
        if round >= WARM_UP {
            times.push(begun.elapsed());
        }
    }
    times.sort_unstable();
    times[ROUNDS / 2]
}

async fn make(keystore: &SoftwareKeystore, spec: Option<KeySpec>) -> Place {
    let bytes = || {
        let mut bytes = [0; 16];
        SystemRandom.fill(&mut bytes);
        bytes
    };
    let place = Place { incarnation: Incarnation::from_bytes(bytes()), version: MaterialId::from_bytes(bytes()) };
    let scope = Scope { region: "cn-hangzhou".parse().unwrap(), account: "1000000000000001".parse().unwrap() };
    let incarnation = place.incarnation.clone();
    let name = MaterialId::from_bytes(bytes());
    match spec {
        Some(_) => {
            let resource = ResourceId::Key(name.as_str().parse().unwrap());
            keystore.generate(&Label { scope, resource, incarnation, spec }, &place).await.unwrap();
        }
        None => {
            let resource = ResourceId::Secret(name.as_str().parse().unwrap());
            let envelope = SecretEnvelope::System { value: Zeroizing::new(vec![7; 4096]) };
            keystore.put_value(&Label { scope, resource, incarnation, spec }, &place, &envelope).await.unwrap();
        }
    }
    place
}
