//! What the handlers work on.

use std::future::Future;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::protocol::Advice;
use super::rights::Rights;
use super::{AdminError, Backups, Peer, Seal, Vitals};
use crate::access::AccessKeyTable;
use crate::audit::{Entry, OK, Recording, Trail};
use crate::catalogue::Catalogue;
use crate::kms::{InstanceFacts, Service};
use crate::migration::Migrations;
use crate::model::{AccountId, InstanceId, ProblemCode, RegionId, Scope};
use crate::observe::Fields;
use crate::schedule::Book;
use crate::store::SharedStore;

/// An account of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountName {
    /// ID.
    pub id: AccountId,
    /// For people; empty if there is none.
    pub name: String,
}

/// What the handlers work on. Cheap to clone.
#[derive(Clone)]
pub struct State {
    migrations: Migrations,
    book: Book,
    started: Duration,
    accounts: Arc<RwLock<Arc<Vec<AccountName>>>>,
    warnings: Arc<RwLock<Arc<Vec<Advice>>>>,
    notices: Arc<RwLock<Arc<Vec<Advice>>>>,
    rejected: Arc<RwLock<Option<Advice>>>,
    trail: Trail,
    seal: Arc<OnceLock<Arc<dyn Seal>>>,
    backups: Arc<OnceLock<Arc<dyn Backups>>>,
    identities: Arc<OnceLock<Arc<AccessKeyTable>>>,
    rights: Arc<Rights>,
    vitals: Arc<OnceLock<Arc<dyn Vitals>>>,
    stop: CancellationToken,
}

impl State {
    /// State of a daemon that starts now. `stop` ends what streams; `accounts` are those of the configuration.
    #[must_use]
    pub fn new(migrations: Migrations, book: Book, accounts: Vec<AccountName>, stop: CancellationToken) -> Self {
        let started = migrations.service().clock.monotonic();
        let service = migrations.service();
        // It reads, chains and verifies; whoever has the daemon's key exchanges it for one that signs.
        let trail = Trail::new(Arc::clone(service.catalogue.store()), Arc::clone(&service.clock), None);
        let (accounts_read, warnings, notices) = (Arc::default(), Arc::default(), Arc::default());
        let (seal, backups, vitals) = (Arc::default(), Arc::default(), Arc::default());
        let (identities, rights, rejected) = (Arc::default(), Arc::default(), Arc::default());
        let state = Self {
            migrations,
            book,
            started,
            accounts: accounts_read,
            warnings,
            notices,
            rejected,
            trail,
            seal,
            backups,
            identities,
            rights,
            vitals,
            stop,
        };
        state.reload(accounts, Vec::new());
        state
    }

    /// Replaces what the configuration says: its accounts, and what it warns of. It was taken, so that none is rejected.
    pub fn reload(&self, accounts: Vec<AccountName>, warnings: Vec<Advice>) {
        *self.rejected.write().unwrap_or_else(PoisonError::into_inner) = None;
        *self.accounts.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(accounts);
        *self.warnings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(warnings);
    }

    /// Replaces what was noticed of things that end, such as certificates.
    pub fn set_notices(&self, notices: Vec<Advice>) {
        *self.notices.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(notices);
    }

    pub(super) fn notices(&self) -> Arc<Vec<Advice>> {
        Arc::clone(&self.notices.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps why a changed configuration was not taken, for `status`, until one is.
    pub fn reject(&self, why: Advice) {
        *self.rejected.write().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// Exchanges the trail for one that knows the daemon's key.
    #[must_use]
    pub fn with_trail(self, trail: Trail) -> Self {
        Self { trail, ..self }
    }

    /// Carries out a command that changes something: logs it before, and records it in the audit trail, in the first
    /// transaction that `work` commits through the state it is given. What was refused, or had nothing to change,
    /// leaves an entry too.
    pub(super) async fn command<T, F, Fut>(
        &self,
        peer: Peer,
        fields: &Fields,
        command: &str,
        work: F,
    ) -> Result<T, AdminError>
    where
        F: FnOnce(Self) -> Fut + Send,
        Fut: Future<Output = Result<T, AdminError>> + Send,
        T: Send,
    {
        peer.log(fields, command);
        let actor = peer.actor();
        let mut entry = Entry::new(self.now(), actor.clone(), "admin.command").detail(command);
        let named = [("region", &fields.region), ("account", &fields.account), ("instance", &fields.instance)];
        let named = named.into_iter().chain([("job", &fields.job), ("schedule", &fields.schedule)]);
        for (kind, name) in named {
            if let Some(name) = name {
                entry = entry.on(format!("{kind}/{name}"));
            }
        }
        let recording = Arc::new(Recording::new(Arc::clone(self.catalogue().store()), entry));
        let store: SharedStore = Arc::clone(&recording) as SharedStore;
        let acting = Self {
            book: self.book.over(Arc::clone(&store)).by(actor.to_string()),
            migrations: self.migrations.acting(actor, store),
            ..self.clone()
        };
        let answer = work(acting).await;
        let outcome = answer.as_ref().map_or_else(|error| error.body().error.code.as_str(), |_| OK);
        if let Err(error) = recording.settle(outcome).await {
            tracing::error!(%error, command, "a command could not be noted in the audit trail");
        }
        answer
    }

    /// Gives it the root keys, once.
    pub fn set_seal(&self, seal: Arc<dyn Seal>) {
        // A second one would be of the same daemon.
        let _ = self.seal.set(seal);
    }

    /// Gives it the identities of the API, once.
    pub fn set_identities(&self, identities: Arc<AccessKeyTable>) {
        let _ = self.identities.set(identities);
    }

    pub(super) fn identities(&self) -> Option<Arc<AccessKeyTable>> {
        self.identities.get().map(Arc::clone)
    }

    /// Who may do what over the socket.
    #[must_use]
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// Gives it what makes backups, once.
    pub fn set_backups(&self, backups: Arc<dyn Backups>) {
        let _ = self.backups.set(backups);
    }

    /// Gives it what the daemon tells of itself, once.
    pub fn set_vitals(&self, vitals: Arc<dyn Vitals>) {
        let _ = self.vitals.set(vitals);
    }

    pub(super) fn vitals(&self) -> Option<Arc<dyn Vitals>> {
        self.vitals.get().map(Arc::clone)
    }

    pub(super) fn backups(&self) -> Option<Arc<dyn Backups>> {
        self.backups.get().map(Arc::clone)
    }

    pub(super) fn seal(&self) -> Option<Arc<dyn Seal>> {
        self.seal.get().map(Arc::clone)
    }

    pub(super) fn trail(&self) -> &Trail {
        &self.trail
    }

    pub(super) fn migrations(&self) -> &Migrations {
        &self.migrations
    }

    pub(super) fn service(&self) -> &Service {
        self.migrations.service()
    }

    pub(super) fn catalogue(&self) -> &Catalogue {
        &self.service().catalogue
    }

    pub(super) fn book(&self) -> &Book {
        &self.book
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    pub(super) fn now(&self) -> Timestamp {
        self.service().clock.now()
    }

    pub(super) fn uptime(&self) -> Duration {
        self.service().clock.monotonic().saturating_sub(self.started)
    }

    pub(super) fn accounts(&self) -> Arc<Vec<AccountName>> {
        Arc::clone(&self.accounts.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why the configuration as it is now was not taken.
    pub(super) fn rejected(&self) -> Option<Advice> {
        self.rejected.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn warnings(&self) -> Arc<Vec<Advice>> {
        Arc::clone(&self.warnings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every scope of the configuration, or those of one region or account.
    pub(super) fn scopes(&self, region: Option<&RegionId>, account: Option<&AccountId>) -> Vec<Scope> {
        let regions = self.service().keystores.regions();
        let accounts = self.accounts();
        let mut scopes = Vec::new();
        for id in regions.keys().filter(|id| region.is_none_or(|wanted| wanted == *id)) {
            for known in accounts.iter().filter(|known| account.is_none_or(|wanted| *wanted == known.id)) {
                scopes.push(Scope { region: id.clone(), account: known.id.clone() });
            }
        }
        scopes
    }

    pub(super) fn known_region(&self, text: &str) -> Result<RegionId, AdminError> {
        let id: RegionId = text.parse()?;
        let regions = self.service().keystores.regions();
        if regions.contains_key(&id) {
            return Ok(id);
        }
        let known: Vec<&str> = regions.keys().map(RegionId::as_str).collect();
        let remedy = format!("the configuration has {}", list(&known));
        Err(AdminError::unknown("RegionNotFound", format!("there is no region {id}"), remedy))
    }

    pub(super) fn known_account(&self, text: &str) -> Result<AccountId, AdminError> {
        let id: AccountId = text.parse()?;
        let accounts = self.accounts();
        if accounts.iter().any(|known| known.id == id) {
            return Ok(id);
        }
        let known: Vec<&str> = accounts.iter().map(|known| known.id.as_str()).collect();
        let remedy = format!("the configuration has {}", list(&known));
        Err(AdminError::unknown("AccountNotFound", format!("there is no account {id}"), remedy))
    }

    pub(super) fn known_instance(&self, text: &str) -> Result<InstanceFacts, AdminError> {
        let id: InstanceId = text.parse()?;
        self.service().keystores.instance(&id).ok_or_else(|| {
            AdminError::unknown(
                ProblemCode::InstanceNotFound.as_str(),
                format!("there is no instance {id}"),
                "`keyferry instance list` shows all",
            )
        })
    }
}

fn list(known: &[&str]) -> String {
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}
