//! The daemon as a service: how long it takes to start and to stop, and the memory it holds while nobody asks it anything,
//! with many resources and, as the baseline in the same run, with none.
//!
//! `cargo bench --bench service [-- RESOURCES]` (default 100000: one key in a hundred, the rest secrets of 64 bytes).
//! Beside it the floor of a start: reading the files of the stores once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{StreamExt, TryStreamExt, iter};
use keyferry::catalogue::{Catalogue, KeyOrAlias};
use keyferry::keystore::SharedSource;
use keyferry::keystore::software::SoftwareKeystore;
use keyferry::keystore::software::rootkey::{RootKeySource, load};
use keyferry::keystore::software::slots::files::FileSlots;
use keyferry::kms::secrets::{NewSecret, RotationOrder};
use keyferry::kms::{Caller, InstanceFacts, Keystores, NewKey, RegionFacts, Service};
use keyferry::model::*;
use keyferry::store::SharedStore;
use keyferry::store::prefixed::Prefixed;
use keyferry::store::sled::{Options, SledStore};
use zeroize::Zeroizing;

const REGION: &str = "cn-hangzhou";
const ACCOUNT: &str = "1000000000000001";
const INSTANCE: &str = "kst-bench";
const FILLERS: usize = 256;
/// What is not used for ten seconds is given back to the system, in steps.
const QUIET: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let wanted = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(100_000);
    let dir = tempfile::tempdir().unwrap();
    let config = configure(dir.path());
    // The first start makes the root keys and is not counted.
    measure(&config);
    let empty = measure(&config);
    println!("no resource");
    empty.print();
    let begun = Instant::now();
    populate(&dir.path().join("state"), wanted).await;
    println!("{wanted} resources (made in {:.0} s)", begun.elapsed().as_secs_f64());
    // Not counted either: it chains what the filling put into the audit trail, which a daemon does meanwhile.
    measure(&config);
    let full = measure(&config);
    full.print();
    println!("  reading the files once {:8.3} s", read_once(&dir.path().join("state")).as_secs_f64());
    for (what, value, aim) in [
        ("start", full.start.as_secs_f64(), 1.0),
        ("idle memory, MiB", full.memory as f64 / 1024.0, 64.0),
        ("stop", full.stop.as_secs_f64(), 5.0),
    ] {
        println!("{what:<18} {value:8.2}   aim: under {aim}   {}", if value < aim { "held" } else { "MISSED" });
    }
}

struct Figures {
    start: Duration,
    /// KiB.
    memory: u64,
    stop: Duration,
}

impl Figures {
    fn print(&self) {
        println!("  start to daemon.started {:7.3} s", self.start.as_secs_f64());
        println!("  idle memory (VmRSS)     {:7} KiB", self.memory);
        println!("  SIGTERM to exit         {:7.3} s", self.stop.as_secs_f64());
    }
}

fn measure(config: &Path) -> Figures {
    let begun = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyferry"));
    let command = command.arg("--config").arg(config).arg("run").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let started = log.any(|line| line.is_ok_and(|line| line.contains("\"daemon.started\"")));
    let start = begun.elapsed();
    assert!(started, "the daemon did not start");
    // Nobody may wait for the reader of the log.
    let reading = std::thread::spawn(move || log.map_while(Result::ok).count());
    std::thread::sleep(QUIET);
    let memory = memory(&child);
    let begun = Instant::now();
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    let stop = begun.elapsed();
    reading.join().unwrap();
    Figures { start, memory, stop }
}

fn memory(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn read_once(directory: &Path) -> Duration {
    let begun = Instant::now();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.is_file() {
                std::hint::black_box(std::fs::read(path).unwrap());
            }
        }
    }
    begun.elapsed()
}

fn configure(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("keyferry.toml");
    let text = format!(
        "state_dir = \"state\"\n[api]\nlisten = \"127.0.0.1:0\"\n[[region]]\nid = \"{REGION}\"\n[[account]]\nid = \
         \"{ACCOUNT}\"\n[[instance]]\nid = \"{INSTANCE}\"\nregion = \"{REGION}\"\nowner = \"{ACCOUNT}\"\nkind = \
         \"software\"\nkey_quota = 1000000\nsecret_quota = 1000000\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// Fills the shared keystore through the service, on the stores of a daemon that does not run.
async fn populate(state: &Path, resources: usize) {
    let service = open(state).await;
    let keys = resources.div_ceil(100);
    let ids: Vec<KeyId> = iter(0..keys)
        .map(async |_| Ok::<_, keyferry::kms::KmsError>(service.create_key(&caller(), NewKey::default()).await?.key.id))
        .buffered(FILLERS)
        .try_collect()
        .await
        .unwrap();
    let secrets = iter(0..resources.saturating_sub(keys)).map(|n| fill_secret(&service, n, &ids[n % ids.len()]));
    secrets.buffered(FILLERS).count().await;
    // The stores are closed with the last of those that use them.
    tokio::task::spawn_blocking(move || drop(service)).await.unwrap();
}

async fn fill_secret(service: &Service, n: usize, key: &KeyId) {
    let order = NewSecret {
        name: format!("bench/{n}"),
        secret_type: SecretType::Generic,
        value: Zeroizing::new(vec![b'1'; 64]),
        binary: false,
        version: "v1".parse().unwrap(),
        description: String::new(),
        encryption_key: Some(KeyOrAlias::Id(key.clone())),
        instance: None,
        extended_config: None,
        rotation: RotationOrder::default(),
        tags: TagMap::new(),
        policy: None,
    };
    service.create_secret(&caller(), &order).await.unwrap();
}

async fn open(state: &Path) -> Service {
    let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) = (Arc::new(SystemClock::default()), Arc::new(SystemRandom));
    let (region, instance): (RegionId, InstanceId) = (REGION.parse().unwrap(), INSTANCE.parse().unwrap());
    let opened = SledStore::open(state.join("control"), &Options::default()).unwrap();
    let control: SharedStore = Arc::new(opened.store);
    let shared: SharedStore = Arc::new(Prefixed::new(Arc::clone(&control), format!("ks/{REGION}/")));
    let root = load(&RootKeySource::File(state.join("keys/shared.key")), false, random.as_ref()).unwrap().key;
    let slots = Arc::new(FileSlots::open(&state.join("slots").join(REGION), Arc::clone(&random)).unwrap());
    let id = KeystoreId::Shared(region.clone());
    let source = SoftwareKeystore::open(id, shared, slots, vec![root], Arc::clone(&clock), Arc::clone(&random));
    let source: SharedSource = Arc::new(source.await.unwrap());
    let facts = InstanceFacts {
        id: instance,
        region: region.clone(),
        owner: ACCOUNT.parse().unwrap(),
        hardware: false,
        key_quota: 1_000_000,
        secret_quota: 1_000_000,
        expires: None,
        auto_renew: false,
        shared_with: BTreeSet::new(),
        enabled: true,
    };
    let regions = vec![RegionFacts { id: region.clone(), service_keys: Vec::new() }];
    let keystores = Keystores::new(BTreeMap::from([(region, source)]), BTreeMap::new(), vec![facts], regions);
    Service {
        catalogue: Catalogue::new(control),
        keystores: Arc::new(keystores),
        rotators: Arc::default(),
        clock,
        random,
        worker: "bench".into(),
    }
}

fn caller() -> Caller {
    Caller {
        account: ACCOUNT.parse().unwrap(),
        region: REGION.parse().unwrap(),
        access_key_id: "bench".to_owned(),
        request_id: String::new(),
        nonce: None,
        source: std::net::IpAddr::from([127, 0, 0, 1]),
        ticket: keyferry::audit::Ticket::default(),
        acting: keyferry::kms::Acting::default(),
    }
}
