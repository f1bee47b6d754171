//! What outlives a process, and a process over it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use keyferry::audit::Ticket;
use keyferry::catalogue::Catalogue;
use keyferry::crypto::offer::OfferKey;
use keyferry::crypto::sealing::RootKey;
use keyferry::keystore::faulty::{FaultPlan, Faulty};
use keyferry::keystore::software::SoftwareKeystore;
use keyferry::keystore::software::slots::memory::MemorySlots;
use keyferry::keystore::{SharedSource, SharedTarget};
use keyferry::kms::{Caller, InstanceFacts, Keystores, RegionFacts, Service};
use keyferry::migration::{Migrations, Order, Settings};
use keyferry::model::{
    Clock, InstanceId, KeystoreId, Method, NonceClaim, Random, RegionId, Scope, Selection, SystemRandom,
};
use keyferry::store::SharedStore;
use keyferry::store::memory::MemoryStore;
use keyferry::store::prefixed::Prefixed;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::chance::{Chance, SimulatedClock};
use crate::disk::{Disk, Life, Weather};

const REGION: &str = "cn-hangzhou";
const ACCOUNT: &str = "1000000000000001";
const INSTANCE: &str = "kst-hzz1";

/// What outlives a process.
pub(crate) struct Deployment {
    pub(crate) chance: Arc<Chance>,
    pub(crate) weather: Arc<Weather>,
    pub(crate) plan: Arc<FaultPlan>,
    pub(crate) control: SharedStore,
    pub(crate) instance: SharedStore,
    clock: Arc<SimulatedClock>,
    slots: [Arc<MemorySlots>; 2],
    lives: AtomicU64,
    settings: Settings,
}

/// One process.
pub(crate) struct Process {
    pub(crate) migrations: Migrations,
    pub(crate) life: Arc<Life>,
    runner: JoinHandle<()>,
}

/// Some keys for all stories: a new RSA key for each offer would take most of the time.
fn offer_key(chance: &Chance) -> Arc<OfferKey> {
    static KEYS: OnceLock<Vec<Arc<OfferKey>>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| (0..4).map(|_| Arc::new(OfferKey::generate(&SystemRandom).unwrap())).collect());
    Arc::clone(&keys[usize::try_from(chance.below(4)).unwrap()])
}

pub(crate) fn scope() -> Scope {
    Scope { region: REGION.parse().unwrap(), account: ACCOUNT.parse().unwrap() }
}

pub(crate) fn instance_id() -> InstanceId {
    INSTANCE.parse().unwrap()
}

impl Deployment {
    pub(crate) fn new(seed: u64) -> Self {
        let chance = Arc::new(Chance::new(seed));
        let weather = Weather {
            chance: Arc::clone(&chance),
            stormy: AtomicBool::new(false),
            rate: chance.one_of(&[0, 5, 20, 60]),
            trace: std::sync::Mutex::default(),
            commits: AtomicU64::new(0),
        };
        let settings = Settings { workers: usize::try_from(1 + chance.below(4)).unwrap(), ..Settings::default() };
        Self {
            weather: Arc::new(weather),
            plan: Arc::default(),
            control: Arc::new(MemoryStore::new()),
            instance: Arc::new(MemoryStore::new()),
            clock: Arc::new(SimulatedClock::new()),
            slots: [Arc::default(), Arc::default()],
            lives: AtomicU64::new(0),
            settings,
            chance,
        }
    }

    /// What all commits so far come to.
    pub(crate) fn trace(&self) -> u64 {
        self.weather.trace.lock().unwrap().finish()
    }

    /// Starts a process; tries again until it is up.
    pub(crate) async fn start(&self) -> Process {
        for _ in 0..1000 {
            let life = Arc::new(Life::default());
            tokio::select! {
                biased;
                started = self.try_start(&life) => match started {
                    Ok(process) => return process,
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
                () = life.ended() => {}
            }
        }
        panic!("it never starts");
    }

    async fn try_start(&self, life: &Arc<Life>) -> Result<Process, Box<dyn std::error::Error>> {
        let (clock, random) = (Arc::clone(&self.clock) as Arc<dyn Clock>, Arc::clone(&self.chance) as Arc<dyn Random>);
        let disk = |inner: &SharedStore| -> SharedStore {
            Arc::new(Disk { inner: Arc::clone(inner), weather: Arc::clone(&self.weather), life: Arc::clone(life) })
        };
        let region: RegionId = REGION.parse()?;
        let control = disk(&self.control);
        let shared: SharedStore = Arc::new(Prefixed::new(Arc::clone(&control), format!("ks/{REGION}/")));
        let mut keystores = Vec::new();
        let ids = [KeystoreId::Shared(region.clone()), KeystoreId::Instance(instance_id())];
        for (n, (id, store)) in ids.into_iter().zip([shared, disk(&self.instance)]).enumerate() {
            let root = RootKey::new(Zeroizing::new([u8::try_from(n)? + 1; 32]))?;
            let slots = Arc::clone(&self.slots[n]);
            let opened =
                SoftwareKeystore::open(id, store, slots, Some(root), Arc::clone(&clock), Arc::clone(&random)).await?;
            let chance = Arc::clone(&self.chance);
            keystores.push(Arc::new(opened.with_offer_keys(Box::new(move || offer_key(&chance)))));
        }
        let (source, instance) = (Arc::clone(&keystores[0]), Arc::clone(&keystores[1]));
        let target: SharedTarget = Arc::new(Faulty::new(Arc::clone(&instance), Arc::clone(&self.plan)));
        let facts = InstanceFacts {
            id: instance_id(),
            region: region.clone(),
            owner: ACCOUNT.parse()?,
            hardware: false,
            enabled: true,
            key_quota: 1000,
            secret_quota: 1000,
            expires: None,
            auto_renew: false,
            shared_with: BTreeSet::new(),
        };
        let keystores = Keystores::new(
            BTreeMap::from([(region.clone(), source as SharedSource)]),
            BTreeMap::from([(instance_id(), target)]),
            vec![facts],
            vec![RegionFacts { id: region, service_keys: Vec::new() }],
        );
        let catalogue = Catalogue::new(control);
        catalogue.pin_identity(&instance_id(), &instance.public_identity()).await?;
        let worker = format!("life-{}", self.lives.fetch_add(1, Ordering::SeqCst));
        let service = Service {
            catalogue,
            keystores: Arc::new(keystores),
            rotators: Arc::default(),
            clock,
            random,
            worker: worker.into(),
        };
        let migrations = Migrations::new(service, self.settings.clone());
        migrations.recover().await?;
        let runner = tokio::spawn({
            let migrations = migrations.clone();
            async move { migrations.run(CancellationToken::new()).await }
        });
        Ok(Process { migrations, life: Arc::clone(life), runner })
    }

    pub(crate) fn order(&self, process: &Process, window: Duration, soak: Duration) -> Order {
        Order {
            region: REGION.parse().unwrap(),
            accounts: vec![ACCOUNT.parse().unwrap()],
            instance: instance_id(),
            selection: Selection::All,
            rehearsal: false,
            acknowledged: true,
            method: Method::Manual,
            schedule: None,
            scheduled_for: process.migrations.service().clock.now(),
            window,
            queue: false,
            soak,
        }
    }

    /// A caller of the API with a nonce of its own.
    pub(crate) fn caller(&self) -> Caller {
        Caller {
            account: ACCOUNT.parse().unwrap(),
            region: REGION.parse().unwrap(),
            access_key_id: "LTAIsimulated".to_owned(),
            request_id: "request".to_owned(),
            nonce: Some(NonceClaim {
                access_key_id: "LTAIsimulated".to_owned(),
                nonce: self.chance.next().to_string(),
                expires_at: Timestamp::MAX,
            }),
            source: [127, 0, 0, 1].into(),
            ticket: Ticket::default(),
            acting: keyferry::kms::Acting::default(),
        }
    }

    /// Nothing goes wrong from now on.
    pub(crate) fn heal(&self) {
        self.weather.stormy.store(false, Ordering::SeqCst);
        self.plan.mend();
        self.plan.set_unreachable(false);
        self.plan.set_delay(Duration::ZERO);
    }
}

impl Process {
    pub(crate) fn service(&self) -> &Service {
        self.migrations.service()
    }

    /// As `kill -9` does it.
    pub(crate) fn kill(&self) {
        self.life.end();
        self.runner.abort();
    }
}
