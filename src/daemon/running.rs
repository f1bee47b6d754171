//! A daemon that runs: listeners, admin socket, schedules, migrations and periodic work, and the order in which they end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backup::StateBackups;
use super::build::Parts;
use super::inherited::Inherited;
use super::seal::RootKeyRing;
use super::vitals::{DaemonVitals, MetricsListener};
use super::{DaemonError, admin, evidence, facts, pulse, tasks, vitals};
use crate::admin::{Backups, Seal, Vitals};
use crate::api::server::{Endpoint, Limits, Server};
use crate::config::Loaded;
use crate::migration::in_background;
use crate::model::{RegionId, ScheduleState};
use crate::observe::{Event, Fields, LogHandle, emit};
use crate::schedule::StoredSchedule;

/// A running daemon.
pub(super) struct Daemon {
    parts: Arc<Parts>,
    listeners: Vec<(Option<RegionId>, SocketAddr)>,
    stop_clock: CancellationToken,
    stop_runner: CancellationToken,
    stop_rest: CancellationToken,
    clock: JoinHandle<()>,
    runner: JoinHandle<()>,
    admin: JoinHandle<()>,
    rest: TaskTracker,
}

impl Daemon {
    /// Opens the stores, binds the listeners, begins the recovery and starts everything.
    pub(super) async fn start(path: PathBuf, loaded: Loaded) -> Result<Self, DaemonError> {
        loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let parts = Arc::new(Parts::build(path, loaded).await?);
        let config = parts.config();
        let mut inherited = Inherited::take();
        let servers = bind(&parts, &mut inherited).await?;
        let metrics = match &config.metrics {
            Some(metrics) => Some(MetricsListener::bind(metrics.listen, &mut inherited).await?),
            None => None,
        };
        drop(inherited);
        let stop_rest = parts.stop.clone();
        let ring = RootKeyRing::new(&parts);
        parts.admin.set_seal(Arc::<RootKeyRing>::clone(&ring) as Arc<dyn Seal>);
        let backups: Arc<dyn Backups> = StateBackups::new(&parts);
        parts.admin.set_backups(Arc::clone(&backups));
        let admin = admin::spawn(&parts)?;
        // Before the first request: it takes over what an earlier process left.
        parts.migrations.recover().await?;
        tell_registered(&parts.book.reconcile(&config.schedules).await?);
        parts.make_service_keys().await;
        ask_tokens(&parts).await;

        let rest = TaskTracker::new();
        let listeners = servers.iter().map(|(region, server)| (region.clone(), server.address())).collect();
        for (_, server) in servers {
            let limits = Limits { drain: facts::DRAIN, ..Limits::default() };
            rest.spawn(server.run(Arc::clone(&parts.gateway), limits, stop_rest.clone()));
        }
        let vitals: Arc<dyn Vitals> = Arc::new(DaemonVitals(Arc::downgrade(&parts)));
        parts.admin.set_vitals(Arc::clone(&vitals));
        if let Some(listener) = metrics {
            rest.spawn(vitals::serve(listener, vitals, stop_rest.clone()));
        }
        let (notifier, stop) = (Arc::clone(&parts.notifier), stop_rest.clone());
        rest.spawn(async move { notifier.run(stop).await });
        tasks::spawn(&parts, &ring, &backups, &rest, &stop_rest);
        evidence::spawn(&parts, &rest, &stop_rest);
        let (stop_clock, stop_runner) = (CancellationToken::new(), CancellationToken::new());
        let (migrations, stop) = (parts.migrations.clone(), stop_runner.clone());
        let running = in_background(async move { migrations.run(stop).await }).map_err(DaemonError::Threads)?;
        let runner = tokio::spawn(async move {
            if running.await.is_err() {
                tracing::error!("the runner of migrations failed");
            }
        });
        let (schedules, stop) = (Arc::clone(&parts.clock), stop_clock.clone());
        let clock = tokio::spawn(async move {
            if let Err(error) = schedules.run(stop).await {
                tracing::error!(%error, "the clock of the schedules failed");
            }
        });
        let daemon = Self { parts, listeners, stop_clock, stop_runner, stop_rest, clock, runner, admin, rest };
        pulse::spawn(&daemon.parts, daemon.status(), &daemon.rest, &daemon.stop_rest);
        emit(Event::DaemonStarted, &Fields::new(), &daemon.status());
        Ok(daemon)
    }

    /// One line about it.
    pub(super) fn status(&self) -> String {
        let addresses: Vec<String> = self.listeners.iter().map(|(_, address)| address.to_string()).collect();
        let config = self.parts.config();
        format!(
            "keyferry {} serves {} region(s), {} account(s) and {} instance(s) on {}",
            env!("CARGO_PKG_VERSION"),
            config.regions.len(),
            config.accounts.len(),
            config.instances.len(),
            addresses.join(", ")
        )
    }

    /// Where the API listens, with the ports that were given.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.listeners.first().map(|(_, address)| *address)
    }

    /// What it runs on.
    pub(super) const fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }

    /// Reads the configuration again.
    pub(super) async fn reload(&self, log: Option<&LogHandle>) {
        self.parts.reload(log).await;
    }

    /// Waits until a part ends that should not, or a store has to be opened again.
    pub(super) async fn failed(&mut self) -> DaemonError {
        tokio::select! {
            _ = &mut self.clock => DaemonError::Ended("the clock of the schedules".to_owned()),
            _ = &mut self.runner => DaemonError::Ended("the runner of migrations".to_owned()),
            _ = &mut self.admin => DaemonError::Ended("the admin socket".to_owned()),
            reason = self.parts.opener.degraded().curable() => DaemonError::Degraded(reason),
        }
    }

    /// Leaves in order: no new run, the present step to its end, the requests under way, then the stores.
    pub(super) async fn stop(self) {
        emit(Event::DaemonStopping, &Fields::new(), "finishing the present step and the requests under way");
        self.stop_clock.cancel();
        ended(self.clock).await;
        self.stop_runner.cancel();
        ended(self.runner).await;
        self.stop_rest.cancel();
        ended(self.admin).await;
        self.rest.close();
        self.rest.wait().await;
        let running = self.parts.gateway.running.clone();
        running.close();
        running.wait().await;
        evidence::close(&self.parts).await;
        // The last of the parts closes the stores, which waits for their threads.
        let _ = tokio::task::spawn_blocking(move || drop(self.parts)).await;
    }
}

/// Asks each token once, so that whoever is told READY has those that can be had. One that is away holds up nobody for long:
/// what lies in other keystores is served without it.
async fn ask_tokens(parts: &Parts) {
    let open = parts.open();
    let asked =
        open.instances.iter().filter_map(|(id, keystore)| Some((id, keystore.token()?))).map(async |(id, token)| {
            let failed = match tokio::time::timeout(TOKENS, token.ready()).await {
                Ok(Ok(_)) => return,
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("the token has not answered for {} s", TOKENS.as_secs()),
            };
            let text = format!("starting without its token, which is asked again when it is needed: {failed}");
            emit(Event::InstanceUnreachable, &Fields::new().instance(id), &text);
        });
    futures::future::join_all(asked).await;
}

/// How long the start waits for a token.
const TOKENS: Duration = Duration::from_secs(10);

/// Tells which schedules are new or changed.
pub(super) fn tell_registered(schedules: &[StoredSchedule]) {
    for schedule in schedules {
        let entry = &schedule.entry;
        let mut fields = Fields::new().schedule(&entry.name).region(&entry.region).instance(&entry.instance);
        if let [only] = entry.accounts.as_slice() {
            fields = fields.account(only);
        }
        let text = match (schedule.next_run(), schedule.state) {
            (Some(next), _) => format!("registered; runs next at {next}"),
            (None, ScheduleState::Canceled) => {
                "registered; will not run: it was canceled, and its entry is the same".to_owned()
            }
            (None, ScheduleState::Paused) => "registered; is paused, and its entry is the same".to_owned(),
            (None, _) => "registered; will not run: its instant is past".to_owned(),
        };
        emit(Event::ScheduleRegistered, &fields, &text);
        if !entry.acknowledge {
            tracing::warn!(
                "schedule {}: acknowledge = true is missing: read the Migration Instructions (Terraform among them) first",
                entry.name
            );
        }
    }
}

async fn ended(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "a part of the daemon failed");
    }
}

async fn bind(parts: &Parts, inherited: &mut Inherited) -> Result<Vec<(Option<RegionId>, Server)>, DaemonError> {
    let config = parts.config();
    let mut wanted = vec![(None, config.api.listen)];
    wanted.extend(config.regions.iter().filter_map(|r| Some((Some(r.id.clone()), r.listen?))));
    let mut servers = Vec::new();
    for (region, address) in wanted {
        let endpoint = Endpoint { address, region: region.clone(), tls: parts.tls.clone() };
        let server = match inherited.at(address) {
            Some(listener) => Server::adopt(endpoint, listener)?,
            None => Server::bind(endpoint).await?,
        };
        servers.push((region, server));
    }
    Ok(servers)
}
