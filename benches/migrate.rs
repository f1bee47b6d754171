//! A migration end to end on disk, against a floor measured in the same run.
//!
//! `cargo bench --bench migrate [-- KEYS SECRETS]` (default 1000 and 10000, each with two versions; values of 1 KiB).
//! The floor writes the same number of bytes in the same transactions' size through the same engine with the same
//! durability, and does the bare cryptography: unwrap, seal and prove each version once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyferry::catalogue::{Catalogue, KeyOrAlias};
use keyferry::crypto::sealing::RootKey;
use keyferry::keystore::software::SoftwareKeystore;
use keyferry::keystore::{SharedSource, SharedTarget};
use keyferry::kms::secrets::{NewSecret, NewValue, RotationOrder};
use keyferry::kms::{Caller, InstanceFacts, Keystores, NewKey, RegionFacts, Service};
use keyferry::migration::{Migrations, Order, Settings};
use keyferry::model::*;
use keyferry::store::prefixed::Prefixed;
use keyferry::store::sled::{Options, SledStore};
use keyferry::store::{SharedStore, Transaction};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

const REGION: &str = "cn-hangzhou";
const ACCOUNT: &str = "1000000000000001";
const INSTANCE: &str = "kst-bench";
const VALUE: usize = 1024;

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let (keys, secrets) = (*numbers.first().unwrap_or(&1000), *numbers.get(1).unwrap_or(&10_000));
    println!("small: 50 keys and 50 secrets, hand-picked size");
    let small = run(50, 50).await;
    println!("  management blocked for {:.3} s (aim: under 1 s)", small.blocked.as_secs_f64());
    println!("large: {keys} keys and {secrets} secrets, two versions each, values of {VALUE} bytes");
    let large = run(keys, secrets).await;
    let floor = floor(keys * 2, secrets * 2).await;
    println!("  filled through the service in   {:8.2} s", large.fill.as_secs_f64());
    println!("  migrated, order to complete, in {:8.2} s", large.total.as_secs_f64());
    println!("  management blocked for          {:8.2} s", large.blocked.as_secs_f64());
    println!("  floor (same bytes, same store)  {:8.2} s", floor.as_secs_f64());
    println!(
        "  speed against the floor         {:8.2}   (aim: at least 0.5)",
        floor.as_secs_f64() / large.total.as_secs_f64()
    );
    println!("  data plane idle                 {:8.0} calls/s", large.idle);
    println!("  data plane during the migration {:8.0} calls/s", large.during);
    println!("  ratio                           {:8.2}   (aim: at least 0.7)", large.during / large.idle);
    println!("  failed data-plane calls         {:8}", large.failed);
    println!("  peak memory of the process      {:8} KiB", peak_memory());
}

struct Figures {
    fill: Duration,
    total: Duration,
    blocked: Duration,
    idle: f64,
    during: f64,
    failed: u64,
}

async fn run(keys: usize, secrets: usize) -> Figures {
    let dir = tempfile::tempdir().unwrap();
    let migrations = open(dir.path()).await;
    let service = migrations.service().clone();
    let start = Instant::now();
    let (ids, names) = populate(&service, keys, secrets).await;
    let filled = start.elapsed();

    let load = Load::start(&service, &ids, &names);
    let idle = load.rate(Duration::from_secs(2)).await;
    // The migration alone is timed without load; the data plane is measured in a second migration of the same size.
    load.stop().await;
    let stop = CancellationToken::new();
    let runner = tokio::spawn({
        let (migrations, stop) = (migrations.clone(), stop.clone());
        async move { migrations.run(stop).await }
    });
    let (job, total) = migrate(&migrations).await;
    stop.cancel();
    runner.await.unwrap();
    let blocked = job.unlocked_at.unwrap().duration_since(job.locked_at.unwrap()).unsigned_abs();

    let second = tempfile::tempdir().unwrap();
    let migrations = open(second.path()).await;
    let service = migrations.service().clone();
    let (ids, names) = populate(&service, keys, secrets).await;
    let stop = CancellationToken::new();
    let runner = tokio::spawn({
        let (migrations, stop) = (migrations.clone(), stop.clone());
        async move { migrations.run(stop).await }
    });
    let load = Load::start(&service, &ids, &names);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = load.done.load(Ordering::Relaxed);
    let (_, loaded) = migrate(&migrations).await;
    let during = (load.done.load(Ordering::Relaxed) - before) as f64 / loaded.as_secs_f64();
    let failed = load.failed.load(Ordering::Relaxed);
    load.stop().await;
    stop.cancel();
    runner.await.unwrap();
    Figures { fill: filled, total, blocked, idle, during, failed }
}

async fn migrate(migrations: &Migrations) -> (Job, Duration) {
    let start = Instant::now();
    let order = Order {
        region: REGION.parse().unwrap(),
        accounts: vec![ACCOUNT.parse().unwrap()],
        instance: INSTANCE.parse().unwrap(),
        selection: Selection::All,
        rehearsal: false,
        acknowledged: true,
        method: Method::Manual,
        schedule: None,
        scheduled_for: migrations.service().clock.now(),
        window: Duration::from_secs(7200),
        queue: false,
        soak: Duration::ZERO,
    };
    let mut changes = migrations.changes();
    let id = migrations.submit(order, Transaction::new()).await.unwrap().remove(0);
    loop {
        let job = migrations.service().catalogue.job(&id).await.unwrap().unwrap();
        if job.state.is_final() {
            assert_eq!(job.state, JobState::Complete, "{:?}", job.failure);
            return (job.into_value(), start.elapsed());
        }
        changes.changed().await.unwrap();
    }
}

/// Eight callers that encrypt, decrypt and read secrets without a pause.
struct Load {
    done: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    callers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(service: &Service, keys: &[KeyId], secrets: &[SecretName]) -> Self {
        let (done, failed, over): (Arc<AtomicU64>, Arc<AtomicU64>, Arc<AtomicBool>) = Default::default();
        let callers = (0..8_usize)
            .map(|n| {
                let (service, done, failed, over) = (service.clone(), done.clone(), failed.clone(), over.clone());
                let key = KeyOrAlias::Id(keys[n % keys.len()].clone());
                let secret = secrets[n % secrets.len()].clone();
                tokio::spawn(async move {
                    let caller = caller();
                    let context = BTreeMap::new();
                    while !over.load(Ordering::Relaxed) {
                        let sealed = service.encrypt(&caller, &key, b"payload", &context).await;
                        let opened = match &sealed {
                            Ok(sealed) => service.decrypt(&caller, &sealed.blob, &context).await.is_ok(),
                            Err(_) => false,
                        };
                        let read = service.get_secret_value(&caller, &secret, &Default::default()).await.is_ok();
                        let wrong = u64::from(sealed.is_err()) + u64::from(!opened) + u64::from(!read);
                        failed.fetch_add(wrong, Ordering::Relaxed);
                        done.fetch_add(3, Ordering::Relaxed);
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        Self { done, failed, over, callers }
    }

    async fn rate(&self, time: Duration) -> f64 {
        let (start, before) = (Instant::now(), self.done.load(Ordering::Relaxed));
        tokio::time::sleep(time).await;
        (self.done.load(Ordering::Relaxed) - before) as f64 / start.elapsed().as_secs_f64()
    }

    async fn stop(self) {
        self.over.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.unwrap();
        }
    }
}

async fn populate(service: &Service, keys: usize, secrets: usize) -> (Vec<KeyId>, Vec<SecretName>) {
    let mut ids = Vec::new();
    for _ in 0..keys {
        let key = service.create_key(&caller(), NewKey::default()).await.unwrap().key;
        service.create_key_version(&caller(), &KeyOrAlias::Id(key.id.clone())).await.unwrap();
        ids.push(key.id);
    }
    let mut names: Vec<SecretName> = Vec::new();
    for n in 0..secrets {
        let name: SecretName = format!("bench/{n}").parse().unwrap();
        let order = NewSecret {
            name: name.as_str().to_owned(),
            secret_type: SecretType::Generic,
            value: Zeroizing::new(vec![b'1'; VALUE]),
            binary: false,
            version: "v1".parse().unwrap(),
            description: String::new(),
            encryption_key: Some(KeyOrAlias::Id(ids[n % ids.len()].clone())),
            instance: None,
            extended_config: None,
            rotation: RotationOrder::default(),
            tags: TagMap::new(),
            policy: None,
        };
        service.create_secret(&caller(), &order).await.unwrap();
        let second = NewValue {
            name: name.clone(),
            version: "v2".parse().unwrap(),
            value: Zeroizing::new(vec![b'2'; VALUE]),
            binary: false,
            stages: None,
        };
        service.put_secret_value(&caller(), &second).await.unwrap();
        names.push(name);
    }
    (ids, names)
}

async fn open(dir: &Path) -> Migrations {
    let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) = (Arc::new(SystemClock::default()), Arc::new(SystemRandom));
    let control = sled(&dir.join("control"));
    let region: RegionId = REGION.parse().unwrap();
    let instance: InstanceId = INSTANCE.parse().unwrap();
    let shared: SharedStore = Arc::new(Prefixed::new(Arc::clone(&control), format!("ks/{REGION}/")));
    let root = |byte| Some(RootKey::new(Zeroizing::new([byte; 32])).unwrap());
    let id = KeystoreId::Shared(region.clone());
    let source = SoftwareKeystore::open(id, shared, root(1), Arc::clone(&clock), Arc::clone(&random)).await.unwrap();
    let id = KeystoreId::Instance(instance.clone());
    let store = sled(&dir.join("instance"));
    let target = SoftwareKeystore::open(id, store, root(2), Arc::clone(&clock), Arc::clone(&random)).await.unwrap();
    let identity = target.public_identity();
    let facts = InstanceFacts {
        id: instance.clone(),
        region: region.clone(),
        owner: ACCOUNT.parse().unwrap(),
        hardware: false,
        key_quota: 1_000_000,
        secret_quota: 1_000_000,
        expires: None,
        auto_renew: true,
        shared_with: BTreeSet::new(),
    };
    let keystores = Keystores::new(
        BTreeMap::from([(region.clone(), Arc::new(source) as SharedSource)]),
        BTreeMap::from([(instance.clone(), Arc::new(target) as SharedTarget)]),
        vec![facts],
        vec![RegionFacts { id: region, service_keys: Vec::new() }],
    );
    let catalogue = Catalogue::new(control);
    catalogue.pin_identity(&instance, &identity).await.unwrap();
    let service = Service { catalogue, keystores: Arc::new(keystores), clock, random, worker: "bench".into() };
    Migrations::new(service, Settings::default())
}

fn sled(dir: &Path) -> SharedStore {
    Arc::new(SledStore::open(dir, &Options::default()).unwrap().store)
}

/// Writes what has to be written at least (each version's sealed bytes once) and does what has to be computed at least:
/// opens each version at the source, seals it for the way, opens it there, seals it for the target, and proves it.
async fn floor(key_versions: usize, secret_versions: usize) -> Duration {
    use aes_gcm::aead::{Aead, KeyInit};
    let dir = tempfile::tempdir().unwrap();
    let store = sled(&dir.path().join("floor"));
    let cipher = aes_gcm::Aes256Gcm::new_from_slice(&[7; 32]).unwrap();
    let start = Instant::now();
    let mut number = 0_u64;
    for (count, size) in [(key_versions, 32), (secret_versions, VALUE)] {
        let mut left = count;
        while left > 0 {
            let batch = left.min(50);
            left -= batch;
            let mut transaction = Transaction::new();
            for _ in 0..batch {
                number += 1;
                let mut nonce = [0_u8; 12];
                nonce[..8].copy_from_slice(&number.to_be_bytes());
                let nonce = aes_gcm::Nonce::from(nonce);
                let mut bytes = vec![0_u8; size];
                SystemRandom.fill(&mut bytes);
                let sealed = cipher.encrypt(&nonce, bytes.as_slice()).unwrap();
                for _ in 0..2 {
                    let opened = cipher.decrypt(&nonce, sealed.as_slice()).unwrap();
                    assert_eq!(opened, bytes);
                    assert_eq!(cipher.encrypt(&nonce, opened.as_slice()).unwrap(), sealed);
                }
                transaction.put(format!("floor/{number:012}"), sealed);
            }
            assert!(matches!(store.commit(transaction).await.unwrap(), keyferry::store::Outcome::Committed(_)));
        }
    }
    start.elapsed()
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
    }
}

/// The kernel's high-water mark of this process's memory.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
