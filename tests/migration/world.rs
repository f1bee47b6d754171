//! A deployment in memory: one region, an account, a shared keystore and an instance, filled with every kind of resource.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keyferry::catalogue::{Catalogue, Change};
use keyferry::crypto::envelope::SecretEnvelope;
use keyferry::crypto::sealing::RootKey;
use keyferry::keystore::faulty::{FaultPlan, Faulty};
use keyferry::keystore::hardware::Token;
use keyferry::keystore::software::SoftwareKeystore;
use keyferry::keystore::software::slots::memory::MemorySlots;
use keyferry::keystore::{Answer, Keystore, Label, Place, SharedSource, SharedTarget};
use keyferry::kms::{InstanceFacts, Keystores, RegionFacts, Service};
use keyferry::migration::{Migrations, Order, Settings};
use keyferry::model::*;
use keyferry::store::memory::MemoryStore;
use keyferry::store::prefixed::Prefixed;
use keyferry::store::{SharedStore, Store};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::halting::{Halt, Halting};
use super::rewinding::Rewinding;

pub const REGION: &str = "cn-hangzhou";
pub const ACCOUNT: &str = "1000000000000001";
pub const INSTANCE: &str = "kst-hzz1";
const AAD: &[u8] = b"a test";

/// What outlives a process.
pub struct Disks {
    pub control: SharedStore,
    pub instance: Arc<Rewinding>,
    pub source_slots: Arc<MemorySlots>,
    pub instance_slots: Arc<MemorySlots>,
    pub halt: Arc<Halt>,
    pub plan: Arc<FaultPlan>,
    pub free_bytes: Arc<std::sync::atomic::AtomicU64>,
    /// With one the instance is a hardware instance.
    pub token: Option<Arc<Token>>,
}

/// One process over the disks.
pub struct World {
    pub migrations: Migrations,
    pub source: Arc<SoftwareKeystore>,
    pub instance: Arc<SoftwareKeystore>,
    pub stop: CancellationToken,
}

/// What a test remembers of a resource before the migration.
pub struct Remembered {
    pub key: KeyRecord,
    pub places: Vec<(Place, Vec<u8>)>,
}

impl Default for Disks {
    fn default() -> Self {
        Self {
            control: Arc::new(MemoryStore::new()),
            instance: Arc::default(),
            source_slots: Arc::default(),
            instance_slots: Arc::default(),
            halt: Arc::default(),
            plan: Arc::default(),
            free_bytes: Arc::new(std::sync::atomic::AtomicU64::new(u64::MAX)),
            token: None,
        }
    }
}

pub fn scope() -> Scope {
    Scope { region: REGION.parse().unwrap(), account: ACCOUNT.parse().unwrap() }
}

pub fn instance_id() -> InstanceId {
    INSTANCE.parse().unwrap()
}

fn root(byte: u8) -> RootKey {
    RootKey::new(Zeroizing::new([byte; 32])).unwrap()
}

impl Disks {
    /// The same disks as another process sees them, with troubles of its own.
    pub fn of_another_process(&self) -> Self {
        Self {
            control: Arc::clone(&self.control),
            instance: Arc::clone(&self.instance),
            source_slots: Arc::clone(&self.source_slots),
            instance_slots: Arc::clone(&self.instance_slots),
            halt: Arc::default(),
            plan: Arc::default(),
            free_bytes: Arc::clone(&self.free_bytes),
            token: self.token.clone(),
        }
    }
}

impl World {
    /// One process that excludes others.
    pub async fn open(disks: &Disks) -> Self {
        Self::open_as(disks, "test", Settings::default()).await
    }

    pub async fn open_as(disks: &Disks, worker: &str, settings: Settings) -> Self {
        let plan = Arc::clone(&disks.plan);
        let between = async move |instance: Arc<SoftwareKeystore>| {
            let target: SharedTarget = Arc::new(Faulty::new(instance, plan));
            target
        };
        Self::open_behind(disks, worker, settings, between).await
    }

    /// With something between the gateway and the instance.
    pub async fn open_behind(
        disks: &Disks,
        worker: &str,
        settings: Settings,
        between: impl AsyncFnOnce(Arc<SoftwareKeystore>) -> SharedTarget,
    ) -> Self {
        let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) =
            (Arc::new(SystemClock::default()), Arc::new(SystemRandom));
        let halting = |inner: &SharedStore| -> SharedStore {
            Arc::new(Halting { inner: Arc::clone(inner), halt: Arc::clone(&disks.halt) })
        };
        let control = halting(&disks.control);
        let shared: SharedStore = Arc::new(Prefixed::new(Arc::clone(&control), format!("ks/{REGION}/")));
        let region: RegionId = REGION.parse().unwrap();
        let source = SoftwareKeystore::open(
            KeystoreId::Shared(region.clone()),
            shared,
            Arc::<MemorySlots>::clone(&disks.source_slots),
            Some(root(1)),
            Arc::clone(&clock),
            Arc::clone(&random),
        );
        let source = Arc::new(source.await.unwrap());
        let instance = SoftwareKeystore::open(
            KeystoreId::Instance(instance_id()),
            halting(&(Arc::clone(&disks.instance) as SharedStore)),
            Arc::<MemorySlots>::clone(&disks.instance_slots),
            Some(root(2)),
            Arc::clone(&clock),
            Arc::clone(&random),
        );
        let space = Arc::clone(&disks.free_bytes);
        let probe = Box::new(move || Some(space.load(std::sync::atomic::Ordering::SeqCst)));
        let instance = instance.await.unwrap().with_free_space(probe);
        let instance = Arc::new(match &disks.token {
            Some(token) => instance.with_token(Arc::clone(token)),
            None => instance,
        });
        let target = between(Arc::clone(&instance)).await;
        let facts = InstanceFacts {
            id: instance_id(),
            region: region.clone(),
            owner: ACCOUNT.parse().unwrap(),
            hardware: disks.token.is_some(),
            enabled: true,
            key_quota: 1000,
            secret_quota: 1000,
            expires: None,
            auto_renew: false,
            shared_with: BTreeSet::new(),
        };
        let keystores = Keystores::new(
            BTreeMap::from([(region.clone(), Arc::clone(&source) as SharedSource)]),
            BTreeMap::from([(instance_id(), target)]),
            vec![facts],
            vec![RegionFacts { id: region, service_keys: Vec::new() }],
        );
        let catalogue = Catalogue::new(control);
        catalogue.pin_identity(&instance_id(), &instance.public_identity()).await.unwrap();
        let service = Service {
            catalogue,
            keystores: Arc::new(keystores),
            rotators: Arc::default(),
            clock,
            random,
            worker: worker.into(),
        };
        let migrations = Migrations::new(service, Settings { first_pause: Duration::from_millis(5), ..settings });
        Self { migrations, source, instance, stop: CancellationToken::new() }
    }

    pub fn catalogue(&self) -> &Catalogue {
        &self.migrations.service().catalogue
    }

    /// Three keys of different kinds, one with two versions and rotation on, and a secret of two versions under it.
    pub async fn fill(&self) -> Vec<Remembered> {
        self.fill_with(&[(KeySpec::Aes256, 2, true), (KeySpec::EcP256, 1, false), (KeySpec::EcP256k, 1, false)]).await
    }

    /// Keys by spec, number of versions and whether they rotate; a secret under the first, and one under the system key.
    pub async fn fill_with(&self, keys: &[(KeySpec, u32, bool)]) -> Vec<Remembered> {
        let mut remembered = Vec::new();
        for (spec, versions, rotates) in keys.iter().copied() {
            let key = self.create_key(spec, versions, rotates).await;
            let mut places = Vec::new();
            for version in self.catalogue().key_versions(&key.incarnation).await.unwrap() {
                let place = Place { incarnation: key.incarnation.clone(), version: version.id.clone() };
                let before = if spec.is_symmetric() {
                    self.source.seal(&place, AAD, b"before").await.unwrap().value
                } else {
                    self.source.public_key(&place).await.unwrap().value
                };
                places.push((place, before));
            }
            remembered.push(Remembered { key, places });
        }
        self.create_secret("db/password", Some(&remembered[0].key)).await;
        self.create_secret("plain", None).await;
        remembered
    }

    async fn create_key(&self, spec: KeySpec, versions: u32, rotates: bool) -> KeyRecord {
        let service = self.migrations.service();
        let mut record = key_record(spec, service.clock.now());
        record.rotation = Rotation {
            enabled: rotates,
            interval: Some(Duration::from_secs(7 * 86400)),
            last: Some(record.created_at),
            ..Rotation::default()
        };
        record.version_count = versions;
        let label = Label {
            scope: scope(),
            resource: ResourceId::Key(record.id.clone()),
            incarnation: record.incarnation.clone(),
            spec: Some(spec),
        };
        let guarded = service.catalogue.guard(&scope()).await.unwrap();
        let mut change = Change::guarded(&guarded);
        for number in 1..=versions {
            let id = fresh_material();
            self.source
                .generate(&label, &Place { incarnation: record.incarnation.clone(), version: id.clone() })
                .await
                .unwrap();
            record.primary_version = Some(id.clone());
            let version = KeyVersionRecord { key: record.id.clone(), id, number, created_at: record.created_at };
            change.create_key_version(&record, &version).unwrap();
        }
        change.create_key(&record).unwrap();
        service.catalogue.commit(change).await.unwrap();
        record
    }

    async fn create_secret(&self, name: &str, key: Option<&KeyRecord>) {
        let service = self.migrations.service();
        let record = secret_record(name, key.map(|k| k.id.clone()), service.clock.now());
        let label = Label {
            scope: scope(),
            resource: ResourceId::Secret(record.name.clone()),
            incarnation: record.incarnation.clone(),
            spec: None,
        };
        let guarded = service.catalogue.guard(&scope()).await.unwrap();
        let mut change = Change::guarded(&guarded);
        for number in 1..=2_u32 {
            let material = fresh_material();
            let place = Place { incarnation: record.incarnation.clone(), version: material.clone() };
            let envelope =
                SecretEnvelope::System { value: Zeroizing::new(format!("{name} value {number}").into_bytes()) };
            self.source.put_value(&label, &place, &envelope).await.unwrap();
            let version = SecretVersionRecord {
                id: format!("v{number}").parse().unwrap(),
                material,
                number,
                created_at: record.created_at,
                binary: false,
                stages: BTreeSet::from([if number == 2 { "ACSCurrent".into() } else { "ACSPrevious".into() }]),
                encryption_key: record.encryption_key.clone(),
            };
            change.create_secret_version(&record, &version).unwrap();
        }
        let stored = match key {
            Some(key) => service.catalogue.key(&key.region, &key.id).await.unwrap(),
            None => None,
        };
        change.create_secret(&record, stored.as_ref()).unwrap();
        service.catalogue.commit(change).await.unwrap();
    }

    pub fn order(&self) -> Order {
        Order {
            region: REGION.parse().unwrap(),
            accounts: vec![ACCOUNT.parse().unwrap()],
            instance: instance_id(),
            selection: Selection::All,
            rehearsal: false,
            acknowledged: true,
            method: Method::Manual,
            schedule: None,
            scheduled_for: self.migrations.service().clock.now(),
            window: Duration::from_secs(3600),
            queue: false,
            soak: Duration::ZERO,
        }
    }

    pub async fn submit(&self, order: Order) -> JobId {
        self.migrations.submit(order, keyferry::store::Transaction::new()).await.unwrap().remove(0)
    }

    /// Starts the runner.
    pub fn start(&self) -> tokio::task::JoinHandle<()> {
        let (migrations, stop) = (self.migrations.clone(), self.stop.clone());
        tokio::spawn(async move {
            migrations.recover().await.unwrap();
            migrations.run(stop).await;
        })
    }

    /// Runs until the job has ended and clean-ups are done.
    pub async fn finish(&self, id: &JobId) -> Job {
        let runner = self.start();
        let mut changes = self.migrations.changes();
        let job = loop {
            let job = self.catalogue().job(id).await.unwrap().unwrap();
            if job.state.is_final() {
                break job.into_value();
            }
            tokio::time::timeout(Duration::from_secs(60), changes.changed()).await.expect("the job moves").unwrap();
        };
        self.stop.cancel();
        runner.await.unwrap();
        self.migrations.tend().await.unwrap();
        job
    }

    /// Everything was moved: entries, material and secrets; nothing is left in the source; rotation is on.
    pub async fn assert_moved(&self, remembered: &[Remembered]) {
        for known in remembered {
            let key = self.catalogue().key(&known.key.region, &known.key.id).await.unwrap().unwrap();
            assert_eq!(key.keystore, KeystoreId::Instance(instance_id()));
            let hsm = self.migrations.service().keystores.instance(&instance_id()).unwrap().hardware;
            let level = if hsm { ProtectionLevel::Hsm } else { ProtectionLevel::Software };
            assert_eq!(key.protection_level, level);
            assert!(key.policy.as_deref().is_some_and(|p| p.contains("kms default key policy")));
            assert_eq!(key.rotation, known.key.rotation);
            for (place, before) in &known.places {
                let served = self.instance.as_ref();
                if key.spec.is_symmetric() {
                    let opened: Answer<Zeroizing<Vec<u8>>> = served.open(place, AAD, before).await.unwrap();
                    assert_eq!(opened.value.as_slice(), b"before");
                    assert!(!opened.provisional, "the job is settled");
                } else {
                    assert_eq!(&served.public_key(place).await.unwrap().value, before);
                }
                assert!(self.source.public_key(place).await.is_err(), "the source still holds {place:?}");
            }
        }
        for secret in self.catalogue().secrets(&scope()).await.unwrap() {
            assert_eq!(secret.keystore, KeystoreId::Instance(instance_id()));
            for version in self.catalogue().secret_versions(&secret.incarnation).await.unwrap() {
                let place = Place { incarnation: secret.incarnation.clone(), version: version.material.clone() };
                let SecretEnvelope::System { value } = self.instance.read_value(&place).await.unwrap().value else {
                    panic!("a system secret")
                };
                assert_eq!(value.as_slice(), format!("{} value {}", secret.name, version.number).as_bytes());
            }
        }
        self.assert_free().await;
    }

    /// Everything is as before the job: entries byte for byte, material in the source, nothing of the job in the target.
    pub async fn assert_untouched(
        &self,
        remembered: &[Remembered],
        before: &BTreeMap<Vec<u8>, Vec<u8>>,
        disks: &Disks,
    ) {
        assert_eq!(&entries(disks).await, before);
        for known in remembered {
            for (place, sealed) in &known.places {
                if known.key.spec.is_symmetric() {
                    assert_eq!(self.source.open(place, AAD, sealed).await.unwrap().value.as_slice(), b"before");
                }
                assert!(self.instance.public_key(place).await.is_err(), "the target still holds {place:?}");
            }
        }
        let staged = disks.instance.scan(b"m/", Some(b"m0"), 10).await.unwrap();
        assert!(staged.entries.is_empty(), "the target keeps copies of a rolled-back job");
        self.assert_free().await;
    }

    async fn assert_free(&self) {
        assert!(self.catalogue().gate(&scope()).await.unwrap().is_none(), "the gate is still up");
        assert!(self.catalogue().lock_of(&scope()).await.unwrap().is_none(), "the lock is still there");
        assert!(self.catalogue().instance_gate(&instance_id()).await.unwrap().is_none());
        assert!(self.catalogue().all_marks().await.unwrap().is_empty(), "rotation was left off");
        assert!(self.catalogue().clean_ups().await.unwrap().is_empty(), "a clean-up is left");
        assert!(self.catalogue().quota(&instance_id()).await.unwrap().reserved.is_empty());
    }
}

/// All catalogue entries, as bytes.
pub async fn entries(disks: &Disks) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let page = disks.control.scan(b"c/", Some(b"c0"), 10_000).await.unwrap();
    page.entries.into_iter().map(|(key, value)| (key, value.value)).collect()
}

fn fresh_material() -> MaterialId {
    let mut bytes = [0; 16];
    SystemRandom.fill(&mut bytes);
    MaterialId::from_bytes(bytes)
}

fn fresh_incarnation() -> Incarnation {
    let mut bytes = [0; 16];
    SystemRandom.fill(&mut bytes);
    Incarnation::from_bytes(bytes)
}

fn key_record(spec: KeySpec, now: Timestamp) -> KeyRecord {
    KeyRecord {
        id: fresh_material().as_str().parse().unwrap(),
        account: ACCOUNT.parse().unwrap(),
        region: REGION.parse().unwrap(),
        incarnation: fresh_incarnation(),
        keystore: KeystoreId::Shared(REGION.parse().unwrap()),
        spec,
        usage: spec.usages()[0],
        origin: KeyOrigin::Kms,
        protection_level: ProtectionLevel::Software,
        state: KeyState::Enabled,
        description: "a key".into(),
        creator: ACCOUNT.into(),
        service: None,
        created_at: now,
        primary_version: None,
        version_count: 0,
        rotation: Rotation::default(),
        deletion_protection: true,
        deletion_protection_description: "keep".into(),
        aliases: BTreeSet::new(),
        tags: TagMap::from([("team".into(), "payments".into())]),
        policy: None,
        imported: None,
        placement: None,
    }
}

fn secret_record(name: &str, encryption_key: Option<KeyId>, now: Timestamp) -> SecretRecord {
    SecretRecord {
        name: name.parse().unwrap(),
        account: ACCOUNT.parse().unwrap(),
        region: REGION.parse().unwrap(),
        incarnation: fresh_incarnation(),
        keystore: KeystoreId::Shared(REGION.parse().unwrap()),
        secret_type: SecretType::Generic,
        encryption_key,
        description: String::new(),
        extended_config: String::new(),
        created_at: now,
        updated_at: now,
        planned_delete_at: None,
        rotation: Rotation::default(),
        tags: TagMap::new(),
        policy: None,
        version_count: 2,
        placement: None,
    }
}
