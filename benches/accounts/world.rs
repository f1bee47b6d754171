//! A deployment on disk with many accounts, clients of all of them, and one migration of all as a group.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::stream::{StreamExt, TryStreamExt, iter};
use keyferry::catalogue::{Catalogue, KeyOrAlias};
use keyferry::crypto::sealing::RootKey;
use keyferry::keystore::software::SoftwareKeystore;
use keyferry::keystore::software::slots::files::FileSlots;
use keyferry::keystore::{SharedSource, SharedTarget};
use keyferry::kms::secrets::{NewSecret, RotationOrder};
use keyferry::kms::{Caller, InstanceFacts, Keystores, NewKey, RegionFacts, Service};
use keyferry::migration::{Migrations, Order, Settings, in_background};
use keyferry::model::*;
use keyferry::store::prefixed::Prefixed;
use keyferry::store::sled::{Options, SledStore};
use keyferry::store::{SharedStore, Transaction};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

const REGION: &str = "cn-hangzhou";
const INSTANCE: &str = "kst-accounts";
const FILLERS: usize = 32;
/// For how long the clients are measured before the migration.
const BEFORE: Duration = Duration::from_millis(1500);

/// What a run came to.
pub(crate) struct Figures {
    pub fill: Duration,
    /// From the order to the end of the last job.
    pub total: Duration,
    pub resources: usize,
    /// How long management was blocked, by account.
    pub blocked: Vec<Duration>,
    /// Calls a second before, and during the migration.
    pub idle: f64,
    pub during: f64,
    pub slowest: Duration,
    pub calls: u64,
    /// Every call that failed or answered something else than what was stored.
    pub failures: Vec<String>,
}

impl Figures {
    pub(crate) fn rate(&self) -> f64 {
        self.resources as f64 / self.total.as_secs_f64()
    }
}

/// What an account has.
struct Tenant {
    account: AccountId,
    /// Each key with a ciphertext made under it.
    keys: Vec<(KeyId, Vec<u8>)>,
    secrets: Vec<SecretName>,
}

/// Fills so many accounts, starts `clients` of them in turn, and migrates all accounts as one group.
pub(crate) async fn run(accounts: usize, keys: usize, secrets: usize, clients: usize) -> Figures {
    let dir = tempfile::tempdir().unwrap();
    let ids: Vec<AccountId> = (1..=accounts).map(|n| format!("{:016}", 1_000_000 + n).parse().unwrap()).collect();
    let migrations = open(dir.path(), &ids).await;
    let service = migrations.service().clone();
    let start = Instant::now();
    let mut tenants = Vec::new();
    for account in &ids {
        tenants.push(Arc::new(fill(&service, account, keys, secrets).await));
    }
    let filled = start.elapsed();

    let stop = CancellationToken::new();
    let runner = in_background({
        let (migrations, stop) = (migrations.clone(), stop.clone());
        async move { migrations.run(stop).await }
    });
    let load = Load::start(&service, &tenants, clients);
    tokio::time::sleep(BEFORE).await;
    let before = load.done.load(Ordering::Relaxed);
    load.slowest.store(0, Ordering::Relaxed);
    let start = Instant::now();
    let jobs = migrate(&migrations, &ids).await;
    let total = start.elapsed();
    let calls = load.done.load(Ordering::Relaxed) - before;
    let slowest = Duration::from_micros(load.slowest.load(Ordering::Relaxed));
    let failures = load.stop().await;
    stop.cancel();
    runner.unwrap().await.unwrap();

    check_moved(&service, &tenants).await;
    let blocked = |job: &Job| job.unlocked_at.unwrap().duration_since(job.locked_at.unwrap()).unsigned_abs();
    Figures {
        fill: filled,
        total,
        resources: accounts * (keys + secrets),
        blocked: jobs.iter().map(blocked).collect(),
        idle: before as f64 / BEFORE.as_secs_f64(),
        during: calls as f64 / total.as_secs_f64(),
        slowest,
        calls,
        failures,
    }
}

async fn migrate(migrations: &Migrations, accounts: &[AccountId]) -> Vec<Job> {
    let order = Order {
        region: REGION.parse().unwrap(),
        accounts: accounts.to_vec(),
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
    let ids = migrations.submit(order, Transaction::new()).await.unwrap();
    let mut jobs = Vec::new();
    for id in ids {
        loop {
            let job = migrations.service().catalogue.job_summary(&id).await.unwrap().unwrap();
            if job.state.is_final() {
                assert_eq!(job.state, JobState::Complete, "{:?}", job.failure);
                jobs.push(job.into_value());
                break;
            }
            changes.changed().await.unwrap();
        }
    }
    jobs
}

/// Each account's resources are in the instance, and counted as its own.
async fn check_moved(service: &Service, tenants: &[Arc<Tenant>]) {
    let instance: InstanceId = INSTANCE.parse().unwrap();
    let held = service.catalogue.usage_by_account(&instance).await.unwrap();
    let quota = service.catalogue.quota(&instance).await.unwrap();
    for tenant in tenants {
        let used = held[&tenant.account];
        assert_eq!((used.keys, used.secrets), (tenant.keys.len() as u64, tenant.secrets.len() as u64));
        for key in service.catalogue.keys(&caller(&tenant.account).scope()).await.unwrap() {
            assert_eq!(key.keystore.instance(), Some(&instance));
        }
    }
    assert_eq!(quota.used.keys, held.values().map(|used| used.keys).sum::<u64>());
    assert_eq!(quota.used.secrets, held.values().map(|used| used.secrets).sum::<u64>());
    assert!(quota.reserved.is_empty());
}

/// Clients that encrypt, open ciphertexts made before, and read secrets, over all resources of their account.
struct Load {
    done: Arc<AtomicU64>,
    /// In microseconds.
    slowest: Arc<AtomicU64>,
    failures: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(service: &Service, tenants: &[Arc<Tenant>], clients: usize) -> Self {
        let mut load = Self {
            done: Arc::default(),
            slowest: Arc::default(),
            failures: Arc::default(),
            over: Arc::default(),
            clients: Vec::new(),
        };
        for n in 0..clients {
            let tenant = Arc::clone(&tenants[n % tenants.len()]);
            let (service, done, slowest) = (service.clone(), Arc::clone(&load.done), Arc::clone(&load.slowest));
            let (failures, over) = (Arc::clone(&load.failures), Arc::clone(&load.over));
            load.clients.push(tokio::spawn(async move {
                let caller = caller(&tenant.account);
                let mut round = n;
                while !over.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    if let Err(why) = call(&service, &caller, &tenant, round).await {
                        failures.lock().unwrap().push(format!("{}: {why}", tenant.account));
                    }
                    slowest.fetch_max(u64::try_from(start.elapsed().as_micros()).unwrap(), Ordering::Relaxed);
                    done.fetch_add(1, Ordering::Relaxed);
                    round += 1;
                    tokio::task::yield_now().await;
                }
            }));
        }
        load
    }

    async fn stop(self) -> Vec<String> {
        self.over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        std::mem::take(&mut self.failures.lock().unwrap())
    }
}

/// One call, another kind each time.
async fn call(service: &Service, caller: &Caller, tenant: &Tenant, round: usize) -> Result<(), String> {
    let told = |error: keyferry::kms::KmsError| error.to_string();
    let nothing = BTreeMap::new();
    let (key, blob) = &tenant.keys[round % tenant.keys.len()];
    match round % 3 {
        0 => drop(service.encrypt(caller, &KeyOrAlias::Id(key.clone()), b"anew", &nothing).await.map_err(told)?),
        1 => {
            let opened = service.decrypt(caller, blob, &nothing).await.map_err(told)?;
            if opened.plaintext.as_slice() != text(&tenant.account, key.as_str()).as_bytes() {
                return Err(format!("{key} opened to something else"));
            }
        }
        _ => {
            let name = &tenant.secrets[round % tenant.secrets.len()];
            let read = service.get_secret_value(caller, name, &Default::default()).await.map_err(told)?;
            if read.value.as_slice() != text(&tenant.account, name.as_str()).as_bytes() {
                return Err(format!("{name} reads as something else"));
            }
        }
    }
    Ok(())
}

/// What is stored under a name; every account has secrets of the same names.
fn text(account: &AccountId, name: &str) -> String {
    format!("{account}'s {name}")
}

async fn fill(service: &Service, account: &AccountId, keys: usize, secrets: usize) -> Tenant {
    let caller = &caller(account);
    let keys: Vec<(KeyId, Vec<u8>)> = iter(0..keys)
        .map(async |_| {
            let id = service.create_key(caller, NewKey::default()).await?.key.id.clone();
            let plain = text(account, id.as_str());
            let name = KeyOrAlias::Id(id.clone());
            let sealed = service.encrypt(caller, &name, plain.as_bytes(), &BTreeMap::new()).await?;
            Ok::<_, keyferry::kms::KmsError>((id, sealed.blob))
        })
        .buffered(FILLERS)
        .try_collect()
        .await
        .unwrap();
    let names = iter(0..secrets)
        .map(async |n| {
            let name: SecretName = format!("app/{n}").parse().unwrap();
            let order = NewSecret {
                name: name.as_str().to_owned(),
                secret_type: SecretType::Generic,
                value: Zeroizing::new(text(account, name.as_str()).into_bytes()),
                binary: false,
                version: "v1".parse().unwrap(),
                description: String::new(),
                encryption_key: Some(KeyOrAlias::Id(keys[n % keys.len()].0.clone())),
                instance: None,
                extended_config: None,
                rotation: RotationOrder::default(),
                tags: TagMap::new(),
                policy: None,
            };
            service.create_secret(caller, &order).await.unwrap();
            name
        })
        .buffered(FILLERS)
        .collect()
        .await;
    Tenant { account: account.clone(), keys, secrets: names }
}

async fn open(dir: &Path, accounts: &[AccountId]) -> Migrations {
    let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) = (Arc::new(SystemClock::default()), Arc::new(SystemRandom));
    let control = sled(&dir.join("control"));
    let region: RegionId = REGION.parse().unwrap();
    let instance: InstanceId = INSTANCE.parse().unwrap();
    let shared: SharedStore = Arc::new(Prefixed::new(Arc::clone(&control), format!("ks/{REGION}/")));
    let root = |byte| Some(RootKey::new(Zeroizing::new([byte; 32])).unwrap());
    let slots = |name: &str| Arc::new(FileSlots::open(&dir.join("slots").join(name), Arc::clone(&random)).unwrap());
    let id = KeystoreId::Shared(region.clone());
    let source = SoftwareKeystore::open(id, shared, slots(REGION), root(1), Arc::clone(&clock), Arc::clone(&random))
        .await
        .unwrap();
    let (id, store) = (KeystoreId::Instance(instance.clone()), sled(&dir.join("instance")));
    let target = SoftwareKeystore::open(id, store, slots(INSTANCE), root(2), Arc::clone(&clock), Arc::clone(&random))
        .await
        .unwrap();
    let identity = target.public_identity();
    let facts = InstanceFacts {
        id: instance.clone(),
        region: region.clone(),
        owner: accounts[0].clone(),
        hardware: false,
        key_quota: 1_000_000,
        secret_quota: 1_000_000,
        expires: None,
        auto_renew: true,
        shared_with: accounts[1..].iter().cloned().collect::<BTreeSet<_>>(),
        enabled: true,
    };
    let keystores = Keystores::new(
        BTreeMap::from([(region.clone(), Arc::new(source) as SharedSource)]),
        BTreeMap::from([(instance.clone(), Arc::new(target) as SharedTarget)]),
        vec![facts],
        vec![RegionFacts { id: region, service_keys: Vec::new() }],
    );
    let entity = Entity { name: "Group".to_owned(), verified: true, accounts: accounts.to_vec() };
    keystores.set_directories(Directories(vec![Directory { id: "rd".to_owned(), entities: vec![entity] }]));
    let catalogue = Catalogue::new(control);
    catalogue.pin_identity(&instance, &identity).await.unwrap();
    let service = Service {
        catalogue,
        keystores: Arc::new(keystores),
        rotators: Arc::default(),
        clock,
        random,
        worker: "accounts".into(),
    };
    Migrations::new(service, Settings::default())
}

fn sled(dir: &Path) -> SharedStore {
    Arc::new(SledStore::open(dir, &Options::default()).unwrap().store)
}

fn caller(account: &AccountId) -> Caller {
    Caller {
        account: account.clone(),
        region: REGION.parse().unwrap(),
        access_key_id: "accounts".to_owned(),
        request_id: String::new(),
        nonce: None,
        source: std::net::IpAddr::from([127, 0, 0, 1]),
        ticket: keyferry::audit::Ticket::default(),
        acting: keyferry::kms::Acting::default(),
    }
}
