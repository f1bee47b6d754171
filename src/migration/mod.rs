//! The migration: compatibility, plan, preflight, journal and runner; `steps/` holds one file a step.
//!
//! A job is a state machine ([`crate::model::JobState`]) whose every transition is one guarded transaction. Each step is
//! idempotent: a worker that takes a job over runs the step of the state it finds, again or for the first time.

mod approval;
mod background;
mod compatibility;
mod context;
mod cutover;
mod drive;
mod error;
mod failures;
mod heartbeat;
mod items;
mod order;
mod planning;
mod preflight;
mod progress;
mod proofs;
mod queue;
mod recovery;
mod report;
mod runner;
mod settings;
mod steps;
mod world;

pub use background::in_background;
pub use compatibility::{Verdict, compatibility};
pub use error::MigrationError;
pub use order::Order;
pub use planning::{Counts, Plan};
pub use settings::Settings;

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Mutex, watch};

use crate::audit::Actor;
use crate::kms::Service;
use crate::observe::heartbeat::Heartbeats;
use crate::store::SharedStore;

/// The migrations of this deployment. Cheap to clone.
#[derive(Clone)]
pub struct Migrations {
    service: Service,
    settings: Arc<RwLock<Settings>>,
    changed: Arc<watch::Sender<u64>>,
    /// On whose behalf jobs are asked for and canceled.
    actor: Actor,
    /// The person behind that, where there is one: what an approval must come from somebody else than.
    asked_by: Option<String>,
    hearts: Heartbeats,
    /// Held while an order becomes jobs.
    submitting: Arc<Mutex<()>>,
}

impl Migrations {
    /// Migrations over a service.
    #[must_use]
    pub fn new(service: Service, settings: Settings) -> Self {
        Self {
            service,
            settings: Arc::new(RwLock::new(settings)),
            changed: Arc::new(watch::Sender::new(0)),
            actor: Actor::Daemon,
            asked_by: None,
            hearts: Heartbeats::default(),
            submitting: Arc::default(),
        }
    }

    /// The same migrations on somebody's behalf, over that command's view of the control store.
    #[must_use]
    pub fn acting(&self, actor: Actor, store: SharedStore) -> Self {
        let service = Service { catalogue: self.service.catalogue.over(store), ..self.service.clone() };
        let asked_by = matches!(actor, Actor::Operator { .. }).then(|| actor.to_string());
        Self { service, actor, asked_by, ..self.clone() }
    }

    /// The same migrations for what a person asked for beforehand, by a schedule.
    #[must_use]
    pub fn asked_by(&self, person: Option<String>) -> Self {
        Self { asked_by: person, ..self.clone() }
    }

    /// The service they work on.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Moves whenever a job is added or changes: what `job watch` and the runner wait for.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Who works on migrations and schedules, and shows that it does.
    #[must_use]
    pub const fn heartbeats(&self) -> &Heartbeats {
        &self.hearts
    }

    /// The present settings.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the settings (reload).
    pub fn reload(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    fn touch(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }
}
