//! From a configuration to everything that runs on it, without starting anything.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::stores::Opener;
use super::{DaemonError, admin, facts, in_use, remotes};
use crate::access::{AccessKeyTable, SessionKey};
use crate::api::Regions;
use crate::api::gateway::Gateway;
use crate::api::nonces::NonceMemory;
use crate::api::operations::Operations;
use crate::api::throttle::Throttle;
use crate::api::tls::Identity;
use crate::audit::Trail;
use crate::catalogue::Catalogue;
use crate::config::{Config, Loaded, check_start};
use crate::keystore::remote::{RemoteKeystore, Timeouts};
use crate::keystore::software::SoftwareKeystore;
use crate::keystore::{SharedSource, SharedTarget};
use crate::kms::{Keystores, Rotators, Service};
use crate::migration::Migrations;
use crate::model::{Clock, InstanceId, ProblemCode, Random, RegionId, SystemClock, SystemRandom};
use crate::notify::{Notifier, Patience};
use crate::observe::{Event, Fields, emit};
use crate::schedule::{Book, ScheduleClock};

/// The daemon's parts. Dropping the last of them closes the stores.
pub(super) struct Parts {
    /// Where the configuration was read from.
    pub(super) path: PathBuf,
    /// The configuration in force.
    pub(super) config: RwLock<Arc<Config>>,
    /// Opens keystores that a reload brings.
    pub(super) opener: Opener,
    /// The KMS.
    pub(super) service: Service,
    /// Migrations.
    pub(super) migrations: Migrations,
    /// The audit trail.
    pub(super) trail: Trail,
    /// Schedules.
    pub(super) book: Book,
    /// What runs them.
    pub(super) clock: Arc<ScheduleClock>,
    /// Who may sign.
    pub(super) access_keys: Arc<AccessKeyTable>,
    /// Which regions requests may name.
    pub(super) regions: Arc<Regions>,
    /// What every listener shares.
    pub(super) gateway: Arc<Gateway>,
    /// What the admin socket works on.
    pub(super) admin: crate::admin::State,
    /// Ends listeners, admin socket and periodic work.
    pub(super) stop: CancellationToken,
    /// The keystores that are open.
    pub(super) open: Mutex<Open>,
    /// Tells others what happens.
    pub(super) notifier: Arc<Notifier>,
    /// When it was begun, on the monotonic clock.
    pub(super) begun: Duration,
    /// What the listeners present; `None`: plain HTTP.
    pub(super) tls: Option<Arc<Identity>>,
}

/// Keystores by what they are for.
#[derive(Clone, Default)]
pub(super) struct Open {
    /// Of each region.
    pub(super) shared: BTreeMap<RegionId, Arc<SoftwareKeystore>>,
    /// Dedicated, in this process.
    pub(super) instances: BTreeMap<InstanceId, Arc<SoftwareKeystore>>,
    /// Dedicated, on other hosts.
    pub(super) remotes: BTreeMap<InstanceId, Arc<RemoteKeystore>>,
}

impl Open {
    /// As sources of migrations.
    pub(super) fn sources(&self) -> BTreeMap<RegionId, SharedSource> {
        self.shared.iter().map(|(id, k)| (id.clone(), Arc::clone(k) as SharedSource)).collect()
    }

    /// As targets of migrations.
    pub(super) fn targets(&self) -> BTreeMap<InstanceId, SharedTarget> {
        let here = self.instances.iter().map(|(id, k)| (id.clone(), Arc::clone(k) as SharedTarget));
        here.chain(self.remotes.iter().map(|(id, k)| (id.clone(), Arc::clone(k) as SharedTarget))).collect()
    }
}

impl Parts {
    /// Opens all stores and puts the parts together.
    pub(super) async fn build(path: PathBuf, loaded: Loaded) -> Result<Self, DaemonError> {
        let config = loaded.config;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let begun = clock.monotonic();
        let opener = Opener::new(&config.state_dir, Arc::clone(&clock), Arc::clone(&random))?;
        let control = opener.control().await?;
        let catalogue = Catalogue::new(Arc::clone(&control));
        catalogue.tally().await?;
        let unfitting = check_start(&config, &in_use::read(&catalogue).await?);
        if !unfitting.is_empty() {
            return Err(DaemonError::Unfitting(unfitting));
        }
        let book = Book::new(Arc::clone(&control), Arc::clone(&clock));
        book.check(&config.schedules).await?;
        // From here on it hears what happens.
        let notifier = Notifier::new(catalogue.clone(), Arc::clone(&clock), &config.notify, Patience::default())?;
        let open = Open {
            shared: opener.shared(&config, &control).await?,
            instances: opener.instances(&config).await?,
            remotes: remotes::of(&config, &catalogue, &random, Timeouts::default()).await?,
        };
        pin(&catalogue, &open, &config).await?;
        in_use::remember(&catalogue, &config).await?;
        let keystores =
            Keystores::new(open.sources(), open.targets(), facts::instances(&config), facts::regions(&config));
        keystores.set_directories(config.directories.clone());
        let worker = worker(random.as_ref());
        let rotators = Rotators::default();
        rotators.replace(facts::rotators(&config)?);
        let service = Service {
            catalogue,
            keystores: Arc::new(keystores),
            rotators: Arc::new(rotators),
            clock: Arc::clone(&clock),
            random,
            worker,
        };
        let (trail, sessions) = trail(&service).await?;
        let migrations = Migrations::new(service.clone(), facts::settings(&config));
        let hours = config.migration.allowed_hours.clone();
        let schedule_clock = ScheduleClock::new(book.clone(), migrations.clone(), hours).await?;
        let access_keys = Arc::new(AccessKeyTable::default());
        access_keys.replace(facts::access_keys(&config), facts::identities(&config));
        if let Some(key) = sessions {
            access_keys.set_session_key(key);
        }
        let regions = Arc::new(Regions::new(facts::region_ids(&config)));
        let gateway = Gateway {
            access_keys: Arc::clone(&access_keys) as Arc<dyn crate::access::AccessKeys>,
            regions: Arc::clone(&regions),
            nonces: Arc::new(NonceMemory::new()),
            throttle: Arc::new(Throttle::new(facts::rates(&config))),
            clock,
            dispatcher: Arc::new(Operations::new(service.clone())),
            running: TaskTracker::new(),
        };
        let tls = match &config.api.tls {
            Some(tls) => Some(Arc::new(Identity::load(&tls.certificate, &tls.private_key)?)),
            None => None,
        };
        let stop = CancellationToken::new();
        let accounts = admin::accounts(&config);
        let admin = crate::admin::State::new(migrations.clone(), book.clone(), accounts.clone(), stop.clone())
            .with_trail(trail.clone());
        admin.reload(accounts, admin::advice(&loaded.warnings));
        admin.set_identities(Arc::clone(&access_keys));
        admin.rights().replace(config.admin.rights.clone());
        Ok(Self {
            path,
            config: RwLock::new(Arc::new(config)),
            opener,
            service,
            migrations,
            trail,
            book,
            clock: Arc::new(schedule_clock),
            access_keys,
            regions,
            gateway: Arc::new(gateway),
            admin,
            stop,
            open: Mutex::new(open),
            notifier: Arc::new(notifier),
            begun,
            tls,
        })
    }

    /// The configuration in force.
    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The open keystores.
    pub(super) fn open(&self) -> Open {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Pins the identity of each instance in this process at its first sight, if it is enabled. One that comes back with another identity serves what it holds,
/// but preflight refuses every migration into it.
pub(super) async fn pin(catalogue: &Catalogue, open: &Open, config: &Config) -> Result<(), DaemonError> {
    for (id, keystore) in &open.instances {
        let enabled = config.instance(id).is_none_or(|instance| instance.enabled);
        if !enabled && catalogue.instance(id).await?.is_none() {
            continue;
        }
        let found = keystore.public_identity();
        let pinned = catalogue.pin_identity(id, &found).await?;
        if pinned != found {
            let fields = Fields::new().instance(id).code(ProblemCode::IdentityMismatch.as_str());
            let text = "the instance shows another identity than the one seen when it was set up; no migration into it \
                        runs until its original store and root key are restored";
            emit(Event::StoreDegraded, &fields, text);
        }
    }
    Ok(())
}

/// The audit trail with the daemon's signing key, and the key of temporary credentials, which is derived from it.
async fn trail(service: &Service) -> Result<(Trail, Option<SessionKey>), DaemonError> {
    let found = service.daemon_identity().await?;
    if let Some(lost) = found.as_ref().and_then(|found| found.replaces) {
        let text = format!(
            "the daemon's signing key {lost} was sealed in a region that is no longer configured; a new one signs from \
             now on, and `audit verify` tells heads of the former key apart"
        );
        emit(Event::StoreDegraded, &Fields::new(), &text);
    }
    let store = Arc::clone(service.catalogue.store());
    let sessions = found.as_ref().map(|found| SessionKey::new(found.identity.seed()));
    Ok((Trail::new(store, Arc::clone(&service.clock), found.map(|found| found.identity)), sessions))
}

fn worker(random: &dyn Random) -> Arc<str> {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    format!("{}-{}", std::process::id(), hex::encode(bytes)).into()
}
