//! The middle: the rotator is called, again and again with the same rotation, until it says yes.

use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use super::finish::{Failure, LONGEST_PAUSE};
use crate::catalogue::{CatalogueError, Change, DueEntry, MAX_IN_FLIGHT, RotationRecord};
use crate::kms::{By, KmsError, Service};
use crate::model::{ResourceId, Scope, SecretName, SecretRecord};
use crate::observe::{Event, Fields, emit};
use crate::rotator::{Order, RotatorError};
use crate::store::Stored;

/// Rotators called at a time.
const AT_ONCE: usize = 8;
/// While a migration waits for it, a rotation in flight is tried again after this pause.
const HURRIED: SignedDuration = SignedDuration::from_secs(2);
/// A rotation that cannot be tried as things are is looked at again after this.
const LATER: SignedDuration = SignedDuration::from_secs(60);

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Driven {
    /// The new version is current.
    Rotated,
    /// There is no rotation (any more).
    Nothing,
    /// A migration holds it back.
    Waiting,
    /// Nobody serves the secret, or it is to be deleted: it is looked at again later.
    Later,
    /// It failed and is tried again; why.
    Failed(String),
}

/// What a round of [`Service::run_rotations`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RotationReport {
    /// Secrets with a new current version.
    pub rotated: usize,
    /// Tries that failed.
    pub failed: usize,
    /// Rotations that a migration holds back.
    pub waiting: usize,
}

impl Service {
    /// Tries every rotation whose time has come. To be called every second or so, when one has begun, and after an unlock;
    /// one round at a time.
    ///
    /// # Errors
    /// When the list cannot be read; what fails with one rotation is counted, logged and tried again.
    pub async fn run_rotations(&self, now: Timestamp) -> Result<RotationReport, KmsError> {
        let mut due = Vec::new();
        for record in self.catalogue.rotations().await? {
            if self.is_to_be_tried(&record, now).await? {
                due.push(record);
            }
        }
        let report = stream::iter(due)
            .map(|record| async move {
                let driven = self.drive_if_due(&record.scope, &record.secret, now).await;
                if let Err(error) = &driven {
                    tracing::warn!(secret = %record.secret, scope = %record.scope, ?error, "a rotation could not go on yet");
                }
                driven
            })
            .buffer_unordered(AT_ONCE)
            .fold(RotationReport::default(), |mut report, driven| async move {
                let counter = match driven {
                    Ok(Driven::Rotated) => &mut report.rotated,
                    Ok(Driven::Waiting) => &mut report.waiting,
                    Ok(Driven::Failed(_)) | Err(_) => &mut report.failed,
                    Ok(Driven::Nothing | Driven::Later) => return report,
                };
                *counter = counter.saturating_add(1);
                report
            })
            .await;
        Ok(report)
    }

    async fn is_to_be_tried(&self, record: &RotationRecord, now: Timestamp) -> Result<bool, KmsError> {
        Ok(is_due(record, now) || self.is_waited_for(record, now).await?)
    }

    /// Whether a migration has closed the gate and waits for this rotation.
    async fn is_waited_for(&self, record: &RotationRecord, now: Timestamp) -> Result<bool, KmsError> {
        let rested = record.tried_at.is_none_or(|at| now.duration_since(at) >= HURRIED);
        Ok(record.in_flight && rested && self.catalogue.gate(&record.scope).await?.is_some())
    }

    /// Takes a rotation as far as it goes now: calls the rotator once.
    ///
    /// # Errors
    /// When a store or keystore fails.
    pub async fn drive_rotation(&self, scope: &Scope, name: &SecretName) -> Result<Driven, KmsError> {
        let _turn = self.rotators.turn(scope, name).await;
        match self.catalogue.rotation(scope, name).await? {
            Some(record) => self.drive_in_turn(record).await,
            None => Ok(Driven::Nothing),
        }
    }

    /// What was due when a round began may have been tried, and put off, while it waited for its turn.
    async fn drive_if_due(&self, scope: &Scope, name: &SecretName, now: Timestamp) -> Result<Driven, KmsError> {
        let _turn = self.rotators.turn(scope, name).await;
        match self.catalogue.rotation(scope, name).await? {
            Some(record) if self.is_to_be_tried(&record, now).await? => self.drive_in_turn(record).await,
            Some(_) => Ok(Driven::Later),
            None => Ok(Driven::Nothing),
        }
    }

    async fn drive_in_turn(&self, record: Stored<RotationRecord>) -> Result<Driven, KmsError> {
        let (scope, name) = (&record.scope.clone(), &record.secret.clone());
        let found = self.catalogue.secret(scope, name).await?;
        let Some(secret) = found.filter(|secret| secret.incarnation == record.incarnation) else {
            self.abandon_rotation(record).await?;
            return Ok(Driven::Nothing);
        };
        // Switched off before anything outside was touched.
        if !record.by_request && !record.in_flight && !record.unsure && !secret.rotation.enabled {
            self.abandon_rotation(record).await?;
            return Ok(Driven::Nothing);
        }
        if secret.planned_delete_at.is_some() {
            return self.postpone(record).await;
        }
        let fields = Fields::new().scope(scope).resource(&ResourceId::Secret(name.clone()));
        let Some(serving) = self.rotators.of(&secret) else {
            // Told once, until rotators change.
            let resource = ResourceId::Secret(name.clone());
            let told = DueEntry { at: record.began_at, scope: scope.clone(), resource };
            if !self.rotators.is_quiet(&told, self.clock.now()) {
                self.rotators.keep_quiet(&told, Timestamp::MAX);
                let text = "no rotator serves the secret any more; its rotation waits for one";
                emit(Event::RotationUnserved, &fields, text);
            }
            return self.postpone(record).await;
        };
        if !record.in_flight {
            match self.register(&record).await {
                Ok(true) => {}
                Ok(false) | Err(KmsError::Migrating(_)) => return Ok(Driven::Waiting),
                Err(error) => return Err(error),
            }
        }
        let order = match self.order(&record, &secret).await {
            Ok(order) => order,
            Err(error) => {
                let unchanged = RotatorError::Unchanged(format!("the new value cannot be read: {error}"));
                return self.failed(&serving, &record, Failure::of(unchanged)).await;
            }
        };
        let called = tokio::time::timeout(serving.timeout, serving.rotator.rotate(&order)).await;
        match called.unwrap_or_else(|_| Err(timed_out(serving.timeout))) {
            Ok(()) => {
                self.succeeded(scope, name).await?;
                emit(Event::RotationPerformed, &fields, "a secret has a new current version");
                Ok(Driven::Rotated)
            }
            Err(error) => self.failed(&serving, &record, Failure::of(error)).await,
        }
    }

    /// Registers a rotation as in flight, in a transaction that compares the gate absent. False when as many are as may be.
    async fn register(&self, record: &RotationRecord) -> Result<bool, KmsError> {
        let (scope, name) = (&record.scope, &record.secret);
        self.change(scope, By::Daemon("secret.rotation_started"), |guarded| async move {
            let mut change = Change::guarded(&guarded);
            let Some(mut now) = self.catalogue.rotation(scope, name).await?.filter(|now| now.id == record.id) else {
                return Ok((change, false));
            };
            let resource = ResourceId::Secret(name.clone());
            if self.catalogue.rotation_held(scope, &resource).await?
                || !self.catalogue.take_off(&mut change, scope, name).await?
            {
                tracing::debug!(%scope, secret = %name, "held back, or {MAX_IN_FLIGHT} rotations are in flight");
                return Ok((Change::guarded(&guarded), false));
            }
            now.in_flight = true;
            now.tried_at = Some(self.clock.now());
            change.update_rotation(&now)?;
            Ok((change, true))
        })
        .await
    }

    async fn order(&self, record: &RotationRecord, secret: &SecretRecord) -> Result<Order, KmsError> {
        let version = self.catalogue.secret_version(&secret.incarnation, &record.version).await?;
        let version = version.ok_or_else(|| KmsError::Internal("a rotation without its version".to_owned()))?;
        Ok(Order {
            rotation: record.id.clone(),
            scope: record.scope.clone(),
            secret: record.secret.clone(),
            secret_type: secret.secret_type,
            version: record.version.clone(),
            extended_config: secret.extended_config.clone(),
            value: self.open_version(secret, &version).await?,
            retires: record.retires.clone(),
            at: self.clock.now(),
        })
    }

    /// Looks at a rotation again later; meanwhile it is not in flight.
    async fn postpone(&self, mut record: Stored<RotationRecord>) -> Result<Driven, KmsError> {
        let later = self.clock.now().checked_add(LATER).unwrap_or(Timestamp::MAX);
        if record.in_flight {
            self.land_until(&record, later).await?;
            return Ok(Driven::Later);
        }
        record.next_try = later;
        match self.catalogue.postpone_rotation(&record).await {
            Ok(()) | Err(CatalogueError::Conflict) => Ok(Driven::Later),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether its pause is over. One longer than there are comes from a clock that was set back.
fn is_due(record: &RotationRecord, now: Timestamp) -> bool {
    let left = record.next_try.duration_since(now);
    left <= SignedDuration::ZERO || left > LONGEST_PAUSE
}

fn timed_out(after: Duration) -> RotatorError {
    RotatorError::Unsure(format!("no answer within {} ms", after.as_millis()))
}
