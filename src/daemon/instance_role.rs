//! `run --role instance`: a process that opens one instance's store and root key and serves it to a gateway elsewhere.
//! It has no catalogue, no API, no admin socket and no other keystore.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::degraded::Degraded;
use super::inherited::Inherited;
use super::seal::OwnRootKey;
use super::signals::{Signals, Wish};
use super::stores::{Opener, pin};
use super::vitals::{self, InstanceVitals, MetricsListener};
use super::{DaemonError, expiry, load, notify, pulse, secrecy};
use crate::config::{Config, InUse, Instance, InstanceServer as Listener, locate, reload_diff};
use crate::keystore::remote::Hosted;
use crate::keystore::remote::server::{InstanceServer, Papers};
use crate::keystore::software::SoftwareKeystore;
use crate::model::{Clock, Random, SystemClock, SystemRandom};
use crate::observe::heartbeat::Heartbeats;
use crate::observe::metrics::METRICS;
use crate::observe::{self, Event, Fields, emit};

/// Serves the only instance of a configuration until TERM or INT.
///
/// # Errors
/// A configuration that is not one of an instance's process, a store or root key that cannot be used, a taken address.
pub async fn run_instance(config: Option<PathBuf>) -> Result<(), DaemonError> {
    let path = locate(config.as_deref());
    let loaded = load(&path)?;
    let log = observe::install(loaded.config.log.format, loaded.config.log.level)?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    secrecy::keep_to_ourselves();
    let mut signals = Signals::catch()?;
    notify::status("opening the store");
    let hosting = tokio::select! {
        started = Hosting::start(&loaded.config) => started?,
        () = signals.stop() => return Ok(()),
    };
    notify::ready(&hosting.status());
    let ended = loop {
        tokio::select! {
            wish = signals.next() => if wish != Wish::Reload {
                break Ok(());
            },
            reason = hosting.degraded.curable() => break Err(DaemonError::Degraded(reason)),
        }
        notify::reloading();
        hosting.reload(&path, &log);
        notify::ready(&hosting.status());
    };
    notify::stopping("answering the calls under way");
    emit(Event::DaemonStopping, &Fields::new(), "answering the calls under way");
    hosting.stop().await;
    ended
}

/// An instance that is being served.
pub(super) struct Hosting {
    /// As it was at the start; what else than certificates, log level and PIN differs since is not in force.
    config: Config,
    instance: Instance,
    server: Arc<InstanceServer>,
    keystore: Arc<SoftwareKeystore>,
    root_key: Arc<OwnRootKey>,
    degraded: Degraded,
    hearts: Heartbeats,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Hosting {
    /// Opens the store and the listeners, and serves.
    pub(super) async fn start(config: &Config) -> Result<Self, DaemonError> {
        let (instance, listener) = subject(config)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let begun = clock.monotonic();
        let opener = Opener::new(&config.state_dir, Arc::clone(&clock), Arc::clone(&random))?;
        let keystore = opener.instance(instance).await?;
        let hosted: Arc<dyn Hosted> = Arc::<SoftwareKeystore>::clone(&keystore);
        let server =
            InstanceServer::bind(listener.listen, papers(listener), instance.id.clone(), hosted, random).await?;
        let metrics = match &config.metrics {
            // No socket unit goes with this role.
            Some(metrics) => Some(MetricsListener::bind(metrics.listen, &mut Inherited::default()).await?),
            None => None,
        };
        let root_key = OwnRootKey::new(instance, &config.state_dir, Arc::clone(&keystore));
        let hosting = Self {
            config: config.clone(),
            instance: instance.clone(),
            server,
            keystore,
            root_key,
            degraded: opener.degraded().clone(),
            hearts: Heartbeats::default(),
            stop: CancellationToken::new(),
            tracker: TaskTracker::new(),
        };
        hosting.tracker.spawn(Arc::clone(&hosting.server).run(hosting.stop.clone()));
        if let Some(listener) = metrics {
            let vitals = Arc::new(hosting.vitals(clock, begun));
            hosting.tracker.spawn(vitals::serve(listener, vitals, hosting.stop.clone()));
        }
        hosting.tracker.spawn(Arc::clone(&hosting.root_key).run(hosting.stop.clone()));
        hosting.care(listener.certificate.clone());
        emit(Event::DaemonStarted, &Fields::new().instance(&instance.id), &hosting.status());
        Ok(hosting)
    }

    /// One line about it.
    pub(super) fn status(&self) -> String {
        format!(
            "keyferry {} serves instance {} to its gateway on {}; its identity is {}",
            env!("CARGO_PKG_VERSION"),
            self.instance.id,
            self.server.address(),
            self.keystore.public_identity()
        )
    }

    fn vitals(&self, clock: Arc<dyn Clock>, begun: Duration) -> InstanceVitals {
        InstanceVitals {
            server: Arc::clone(&self.server),
            keystore: Arc::clone(&self.keystore),
            expires: self.instance.expires,
            hearts: self.hearts.clone(),
            clock,
            begun,
            stop: self.stop.clone(),
        }
    }

    /// Reads certificates and log level again, and looks for a next root key. What else the file says waits for the next
    /// start.
    fn reload(&self, path: &std::path::Path, log: &crate::observe::LogHandle) {
        let outcome = load(path).and_then(|loaded| {
            let (instance, _) = subject(&loaded.config)?;
            if instance.identity() != self.instance.identity() || instance.id != self.instance.id {
                return Err(DaemonError::NotAnInstance("the file is of another instance; restart to change that"));
            }
            let changes = reload_diff(&self.config, &loaded.config, &InUse::default());
            let later = changes.map_err(DaemonError::Unfitting)?.at_next_start;
            self.server.reload()?;
            // A PIN that was refused may be tried once more now.
            if let (Some(token), Some(pkcs11)) = (self.keystore.token(), &instance.pkcs11) {
                token.set_pin(pin(pkcs11));
            }
            log.set_level(loaded.config.log.level)?;
            Ok(later)
        });
        METRICS.set_config_rejected(outcome.is_err());
        match outcome {
            Ok(later) => {
                let mut text = "certificates and log level were read again".to_owned();
                if !later.is_empty() {
                    let later: Vec<String> = later.into_iter().collect();
                    text = format!("{text}; from the next start: {}", later.join(", "));
                }
                emit(Event::ConfigReloaded, &Fields::new(), &text);
                self.root_key.look();
            }
            Err(error) => {
                let text = format!("everything stays as it was: {}", error.to_string().replace('\n', "; "));
                emit(Event::ConfigRejected, &Fields::new(), &text);
            }
        }
    }

    /// Answers the calls under way, then closes the store.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        let _ = tokio::task::spawn_blocking(move || drop((self.server, self.keystore, self.root_key))).await;
    }

    /// What has to be done again and again.
    fn care(&self, certificate: PathBuf) {
        self.every(CACHES_EVERY, |keystore| async move { keystore.sweep_cache() });
        // The first round is at the start: it ends what a crash cut.
        self.every(SHRED_EVERY, |keystore| async move {
            if let Err(error) = keystore.shred_deleted().await {
                tracing::error!(%error, "what was deleted could not be shredded yet; trying again");
            }
        });
        let watch = Arc::new(expiry::Watch::default());
        let expires = self.instance.clone();
        self.every(expiry::LOOK_EVERY, move |_| {
            let (watch, certificate, instance) = (Arc::clone(&watch), certificate.clone(), expires.clone());
            async move {
                let now = jiff::Timestamp::now();
                watch.tell(now, &expiry::Term::of_certificate("the instance's listener", &certificate));
                watch.tell(now, &expiry::Term::of_instance(&instance.id, instance.expires, instance.auto_renew));
            }
        });
        // Where nobody wants to know, nothing need be written.
        if notify::watchdog().is_some() || self.config.metrics.is_some() {
            let heart = Arc::new(self.hearts.begin("the store"));
            self.every(pulse::period(), move |keystore| {
                let heart = Arc::clone(&heart);
                async move {
                    // An instance whose store hangs is not alive. One that refuses serves what can be read, and one
                    // whose token is away or refuses the PIN must not be started anew: each start tries the PIN once
                    // more.
                    if tokio::time::timeout(pulse::PROBE, keystore.writable()).await.is_ok() {
                        heart.beat();
                        notify::alive();
                    }
                }
            });
        }
    }

    fn every<F, Fut>(&self, period: Duration, work: F)
    where
        F: Fn(Arc<SoftwareKeystore>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send,
    {
        let (keystore, stop) = (Arc::clone(&self.keystore), self.stop.clone());
        self.tracker.spawn(async move {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    _ = ticks.tick() => work(Arc::clone(&keystore)).await,
                }
            }
        });
    }
}

fn subject(config: &Config) -> Result<(&Instance, &Listener), DaemonError> {
    let [instance] = config.instances.as_slice() else {
        return Err(DaemonError::NotAnInstance("--role instance needs a file with exactly one [[instance]]"));
    };
    if instance.remote.is_some() {
        return Err(DaemonError::NotAnInstance(
            "--role instance serves the [[instance]] of its file, which cannot be `remote` too: that key belongs into the \
             file of the gateway",
        ));
    }
    let listener = config.instance_server.as_ref();
    let listener = listener.ok_or(DaemonError::NotAnInstance("--role instance needs [instance_server]"))?;
    Ok((instance, listener))
}

fn papers(listener: &Listener) -> Papers {
    Papers {
        certificate: listener.certificate.clone(),
        private_key: listener.private_key.clone(),
        client_ca: listener.client_ca.clone(),
    }
}

const CACHES_EVERY: Duration = Duration::from_secs(10);
/// As in the daemon.
const SHRED_EVERY: Duration = Duration::from_secs(3600);
