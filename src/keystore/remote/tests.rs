//! A gateway's client and an instance's server in one process, over real mutual TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod daily;
mod papers;
mod strangers;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::server::{InstanceServer, Papers};
use super::*;
use crate::crypto::parcel::PublicIdentity;
use crate::crypto::sealing::RootKey;
use crate::keystore::software::SoftwareKeystore;
use crate::keystore::software::slots::memory::MemorySlots;
use crate::keystore::{Label, Place};
use crate::model::*;
use crate::store::memory::MemoryStore;
use papers::{Authority, Desk};

const INSTANCE: &str = "kst-far1";

async fn keystore(id: KeystoreId, root: u8) -> Arc<SoftwareKeystore> {
    let root = RootKey::new(Zeroizing::new([root; 32])).unwrap();
    let (clock, random) = (Arc::new(SystemClock::default()), Arc::new(SystemRandom));
    let slots = Arc::new(MemorySlots::default());
    Arc::new(SoftwareKeystore::open(id, Arc::new(MemoryStore::new()), slots, Some(root), clock, random).await.unwrap())
}

async fn instance(root: u8) -> Arc<SoftwareKeystore> {
    keystore(KeystoreId::Instance(INSTANCE.parse().unwrap()), root).await
}

/// An instance that is served until dropped.
struct Served {
    server: Arc<InstanceServer>,
    stop: CancellationToken,
}

impl Served {
    async fn new(keystore: &Arc<SoftwareKeystore>, papers: Papers) -> Self {
        Self::speaking(keystore, papers, Protocols::SPOKEN).await
    }

    async fn speaking(keystore: &Arc<SoftwareKeystore>, papers: Papers, protocols: Protocols) -> Self {
        let hosted: Arc<dyn Hosted> = Arc::<SoftwareKeystore>::clone(keystore);
        let (address, id) = ("127.0.0.1:0".parse().unwrap(), INSTANCE.parse().unwrap());
        let server = InstanceServer::bind(address, papers, id, hosted, Arc::new(SystemRandom)).await.unwrap();
        let server = server.speaking(protocols).unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(Arc::clone(&server).run(stop.clone()));
        Self { server, stop }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn client(desk: &Desk, served: &Served, pinned: Option<PublicIdentity>) -> RemoteKeystore {
    let link = Link { endpoint: format!("https://localhost:{}", served.server.address().port()), ..desk.link() };
    // Hundreds of connections at once take their time where many tests run.
    let long = Duration::from_secs(60);
    let timeouts = Timeouts { connect: long, quick: long, slow: long };
    RemoteKeystore::new(INSTANCE.parse().unwrap(), link, timeouts, pinned, Arc::new(SystemRandom))
}

fn scope() -> Scope {
    Scope { region: "cn-hangzhou".parse().unwrap(), account: "1000000000000001".parse().unwrap() }
}

fn fresh<T>(from: fn([u8; 16]) -> T) -> T {
    let mut bytes = [0; 16];
    SystemRandom.fill(&mut bytes);
    from(bytes)
}

fn new_key(spec: KeySpec) -> (Label, Place) {
    let incarnation: Incarnation = fresh(Incarnation::from_bytes);
    let place = Place { incarnation: incarnation.clone(), version: fresh(MaterialId::from_bytes) };
    let id: KeyId = fresh(MaterialId::from_bytes).as_str().parse().unwrap();
    (Label { scope: scope(), resource: ResourceId::Key(id), incarnation, spec: Some(spec) }, place)
}

fn new_secret(name: &str) -> (Label, Place) {
    let incarnation: Incarnation = fresh(Incarnation::from_bytes);
    let place = Place { incarnation: incarnation.clone(), version: fresh(MaterialId::from_bytes) };
    (Label { scope: scope(), resource: ResourceId::Secret(name.parse().unwrap()), incarnation, spec: None }, place)
}

/// The certificate of the instance for tests that want none in particular.
fn usual(desk: &Desk) -> Papers {
    desk.papers(&Authority::new("instances"), "localhost", None)
}
