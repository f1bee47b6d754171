//! SIGHUP: the file is read again and put in force as a whole, or not at all.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::build::{Open, Parts, pin as pin_identity};
use super::leaving::{leaving, left};
use super::stores::pin;
use super::{DaemonError, admin, facts, in_use, remotes};
use crate::api::tls::Fresh;
use crate::audit::{Actor, Entry};
use crate::catalogue::CatalogueError;
use crate::config::{Changes, Config, Loaded, reload_diff};
use crate::kms::Keystores;
use crate::model::{AccountId, InstanceId};
use crate::notify::{Notifier, Receivers};
use crate::observe::metrics::METRICS;
use crate::observe::{Event, Fields, LogHandle, emit};
use crate::rotator::Serving;
use crate::store::{MAX_OPERATIONS, Outcome, Transaction};

/// Waits for the changes that have begun before what goes was withdrawn.
async fn changes_end(keystores: &Keystores) -> Result<(), DaemonError> {
    let text = || vec!["what was begun before the signal has not ended yet; send it again".to_owned()];
    let ended = tokio::time::timeout(CHANGES_END, keystores.changes_ended()).await;
    ended.map_err(|_| DaemonError::Unfitting(text()))
}

/// How long a reload waits for the changes that have begun before it.
const CHANGES_END: Duration = Duration::from_secs(10);

/// What was read and opened for the new file.
struct Ready {
    certificate: Option<Fresh>,
    rotators: Vec<Serving>,
    open: Open,
    receivers: Option<Receivers>,
}

impl Parts {
    /// Reads the file again; tells what came of it in the log.
    pub(super) async fn reload(&self, log: Option<&LogHandle>) {
        match self.try_reload(log).await {
            Ok(changes) => {
                METRICS.set_config_rejected(false);
                emit(Event::ConfigReloaded, &Fields::new(), &format!("configuration reloaded: {}", changes.summary()))
            }
            Err(error) => {
                METRICS.set_config_rejected(true);
                let text = format!("the configuration stays as it was: {}", error.to_string().replace('\n', "; "));
                // Whoever reads of it in the log finds it in `status`.
                self.admin.reject(admin::rejected(&error));
                emit(Event::ConfigRejected, &Fields::new(), &text);
            }
        }
    }

    async fn try_reload(&self, log: Option<&LogHandle>) -> Result<Changes, DaemonError> {
        let path = self.path.clone();
        let loaded = tokio::task::spawn_blocking(move || Config::load(&path)).await;
        let loaded = loaded.map_err(|error| DaemonError::Ended(format!("reading the file ({error})")))?;
        let loaded = loaded.map_err(DaemonError::Config)?;
        let (old, new) = (self.config(), &loaded.config);
        let changes = self.fit(&old, new).await?;
        // Everything that can fail comes first.
        let certificate = self.tls.as_ref().map(|tls| tls.read_again()).transpose()?;
        let rotators = facts::rotators(new)?;
        let open = self.reopen(new, &changes).await?;
        pin_identity(&self.service.catalogue, &open, new).await?;
        let receivers = changes.notify.then(|| Notifier::prepare(&new.notify)).transpose()?;
        let ready = Ready { certificate, rotators, open, receivers };
        // That took a while, in which anything may have been made.
        self.fit(&old, new).await?;
        let keystores: &Keystores = &self.service.keystores;
        let before = keystores.withdrawn();
        let leaving = leaving(&old, new, &changes, &before);
        let leaves = leaving != *before;
        keystores.withdraw(leaving);
        let outcome = async {
            // Where nothing goes nobody is in the way: writes may be waiting for a backup.
            if leaves {
                changes_end(keystores).await?;
            }
            self.put_in_force(&old, loaded, &changes, ready, log).await
        };
        let outcome = outcome.await;
        if outcome.is_err() {
            keystores.withdraw((*before).clone());
        }
        outcome?;
        // One may have ended since it was asked.
        self.tend_unlocked().await?;
        self.make_service_keys().await;
        Ok(changes)
    }

    /// What the new file changes; refused when what is in use does not fit it.
    async fn fit(&self, old: &Config, new: &Config) -> Result<Changes, DaemonError> {
        reload_diff(old, new, &in_use::read(&self.service.catalogue).await?).map_err(DaemonError::Unfitting)
    }

    /// Makes sure that what goes is still unused, now that nothing new begins there, and lets the new file be in force.
    async fn put_in_force(
        &self,
        old: &Config,
        loaded: Loaded,
        changes: &Changes,
        Ready { certificate, rotators, open, receivers }: Ready,
        log: Option<&LogHandle>,
    ) -> Result<(), DaemonError> {
        let new = loaded.config;
        let keystores: &Keystores = &self.service.keystores;
        self.fit(old, &new).await?;
        let held = self.held(&new).await?;
        let registered = self.book.reconcile(&new.schedules).await?;
        in_use::remember(&self.service.catalogue, &new).await?;
        self.note(old, &new, changes).await?;
        loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        keystores.set_directories(new.directories.clone());
        keystores.reload_held(facts::instances(&new), facts::regions(&new), &held);
        keystores.exchange(open.sources(), open.targets());
        // A PIN that was refused may be tried once more now, whether it is another one or not.
        for instance in &new.instances {
            let token = open.instances.get(&instance.id).and_then(|keystore| keystore.token());
            if let (Some(token), Some(pkcs11)) = (token, &instance.pkcs11) {
                token.set_pin(pin(pkcs11));
            }
        }
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = open;
        if let (Some(tls), Some(fresh)) = (&self.tls, certificate) {
            tls.present(fresh);
        }
        if let Some(receivers) = receivers {
            self.notifier.exchange(receivers);
        }
        self.access_keys.replace(facts::access_keys(&new), facts::identities(&new));
        self.regions.replace(facts::region_ids(&new));
        if changes.limits {
            self.gateway.throttle.replace(facts::rates(&new));
        }
        self.service.rotators.replace(rotators);
        self.migrations.reload(facts::settings(&new));
        self.clock.reload(new.migration.allowed_hours.clone());
        self.admin.reload(admin::accounts(&new), admin::advice(&loaded.warnings));
        self.admin.rights().replace(new.admin.rights.clone());
        if let (Some(level), Some(log)) = (changes.level, log)
            && let Err(error) = log.set_level(level)
        {
            tracing::warn!(%error, "the log level stays as it was");
        }
        keystores.withdraw(left(&new, (*keystores.withdrawn()).clone(), &held));
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        super::running::tell_registered(&registered);
        Ok(())
    }

    /// Notes the reload in the audit trail, and apart from it each share that comes or goes with it.
    async fn note(&self, old: &Config, new: &Config, changes: &Changes) -> Result<(), DaemonError> {
        let now = self.service.clock.now();
        let entry = |action: &str| Entry::new(now, Actor::Daemon, action);
        let mut entries = vec![entry("config.reload").detail(&changes.summary())];
        for instance in &new.instances {
            let before = old.instance(&instance.id).map(|old| old.shared_with.clone()).unwrap_or_default();
            let mut told = |action: &str, account: &AccountId| {
                entries.push(
                    entry(action)
                        .on(format!("instance/{}", instance.id))
                        .detail(&format!("with {account}, by the configuration file")),
                );
            };
            instance.shared_with.iter().filter(|a| !before.contains(a)).for_each(|a| told("instance.share", a));
            before.iter().filter(|a| !instance.shared_with.contains(a)).for_each(|a| told("instance.unshare", a));
        }
        for some in entries.chunks(MAX_OPERATIONS) {
            let mut transaction = Transaction::new();
            for entry in some {
                entry.put(&mut transaction)?;
            }
            if self.service.catalogue.store().commit(transaction).await? == Outcome::Conflict {
                tracing::error!("the reload could not be noted in the audit trail");
            }
        }
        Ok(())
    }

    /// The instances that a job holds.
    async fn held(&self, config: &Config) -> Result<BTreeSet<InstanceId>, DaemonError> {
        let mut held = BTreeSet::new();
        for instance in &config.instances {
            if self.service.catalogue.instance_gate(&instance.id).await?.is_some() {
                held.insert(instance.id.clone());
            }
        }
        Ok(held)
    }

    /// Puts in force what a reload said of instances that a job held then and holds no more.
    pub(super) async fn tend_unlocked(&self) -> Result<(), CatalogueError> {
        for id in self.service.keystores.waiting() {
            if self.service.catalogue.instance_gate(&id).await?.is_none() {
                self.service.keystores.unlocked(&id);
                tracing::info!(instance = %id, "what the last reload said of the instance is in force: no job holds it any more");
            }
        }
        Ok(())
    }

    /// The keystores of the new file: what stays is kept open.
    async fn reopen(&self, new: &Config, changes: &Changes) -> Result<Open, DaemonError> {
        let mut open = self.open();
        let fresh = new.regions.iter().any(|region| !open.shared.contains_key(&region.id));
        if fresh {
            let control = self.service.catalogue.store();
            let opened = self.opener.shared(new, control).await?;
            for (id, keystore) in opened {
                // Of a keystore that is open already the open one stays: it is the only writer of its store.
                open.shared.entry(id).or_insert(keystore);
            }
        }
        open.shared.retain(|id, _| !changes.regions_gone.contains(id));
        // One that is elsewhere now is given up here.
        let here = |id: &InstanceId| new.instance(id).is_some_and(|instance| instance.remote.is_none());
        open.instances.retain(|id, _| here(id));
        for id in &changes.instances_replaced {
            // Only facts of the keystore's owner and region, or where its key lies, differ; its store is held open.
            tracing::warn!(instance = %id, "the root key of a replaced instance is read at the next start");
        }
        open.remotes = remotes::of_reload(new, open.remotes, &self.service).await?;
        for instance in new.instances.iter().filter(|instance| instance.remote.is_none()) {
            if !open.instances.contains_key(&instance.id) {
                open.instances.insert(instance.id.clone(), self.opener.instance(instance).await?);
            }
        }
        Ok(open)
    }

    /// Makes service keys that are missing; a locked scope gets them with the next start or reload.
    pub(super) async fn make_service_keys(&self) {
        let config = self.config();
        for region in &config.regions {
            for account in &config.accounts {
                if let Err(error) = self.service.ensure_service_keys(&region.id, &account.id).await {
                    tracing::warn!(%error, region = %region.id, account = %account.id, "service keys could not be made");
                }
            }
        }
    }
}
