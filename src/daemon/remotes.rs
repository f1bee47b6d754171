//! Instances on other hosts, as this daemon reaches them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::DaemonError;
use super::build::Parts;
use crate::catalogue::{Catalogue, CatalogueError};
use crate::config::{Config, Instance, Remote};
use crate::keystore::remote::{Link, RemoteKeystore, Timeouts};
use crate::kms::Service;
use crate::model::{InstanceId, Random};

/// Open ends to instances elsewhere.
pub(super) type Remotes = BTreeMap<InstanceId, Arc<RemoteKeystore>>;

/// The remote instances of a configuration. Nothing is sent yet: an instance that is away holds up nobody's start.
pub(super) async fn of(
    config: &Config,
    catalogue: &Catalogue,
    random: &Arc<dyn Random>,
    timeouts: Timeouts,
) -> Result<Remotes, CatalogueError> {
    let mut remotes = Remotes::new();
    for (instance, remote) in placed_elsewhere(config) {
        let pinned = catalogue.instance(&instance.id).await?.map(|record| record.identity);
        let (id, random) = (instance.id.clone(), Arc::clone(random));
        let keystore = RemoteKeystore::new(id, link(remote), timeouts, pinned, random);
        remotes.insert(instance.id.clone(), Arc::new(keystore));
    }
    Ok(remotes)
}

/// After a reload: what stays keeps its connections and reads its certificates again.
pub(super) async fn of_reload(new: &Config, old: Remotes, service: &Service) -> Result<Remotes, DaemonError> {
    let mut fresh = of(new, &service.catalogue, &service.random, Timeouts::default()).await?;
    for (id, keystore) in old {
        if let Some(now) = fresh.get_mut(&id)
            && now.link() == keystore.link()
        {
            keystore.reload();
            *now = keystore;
        }
    }
    Ok(fresh)
}

/// Asks every instance elsewhere, again and again, whether it is there. The identity that answers first is pinned.
pub(super) fn watch(parts: &Arc<Parts>, tracker: &TaskTracker, stop: &CancellationToken) {
    let (parts, stop) = (Arc::clone(parts), stop.clone());
    tracker.spawn(async move {
        let mut ticks = interval(PROBE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = look_at_all(&parts) => {}
            }
        }
    });
}

/// Asks every instance elsewhere once.
pub(super) async fn look_at_all(parts: &Parts) {
    let looks = parts.open().remotes.into_iter().map(|(id, keystore)| {
        let service = parts.service.clone();
        async move { look(&service, &id, &keystore).await }
    });
    futures::future::join_all(looks).await;
}

async fn look(service: &Service, id: &InstanceId, keystore: &RemoteKeystore) {
    let enabled = service.is_enabled(id).await;
    if !enabled.unwrap_or(false) {
        return;
    }
    // What keeps it away is told by the keystore, once.
    let Ok(identity) = keystore.probe().await else { return };
    match service.catalogue.pin_identity(id, &identity).await {
        Ok(pinned) => keystore.pin(pinned),
        Err(error) => tracing::warn!(%error, instance = %id, "the identity could not be pinned yet; trying again"),
    }
}

fn placed_elsewhere(config: &Config) -> impl Iterator<Item = (&Instance, &Remote)> {
    config.instances.iter().filter_map(|instance| Some((instance, instance.remote.as_ref()?)))
}

fn link(remote: &Remote) -> Link {
    Link {
        endpoint: remote.endpoint.clone(),
        ca: remote.ca.clone(),
        certificate: remote.certificate.clone(),
        private_key: remote.private_key.clone(),
    }
}

const PROBE_EVERY: Duration = Duration::from_secs(3);
