//! The end of a try: stages move, or the failure is noted. Each is one transaction, which a gate does not stop and a lock
//! would.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::drive::Driven;
use crate::audit::{Actor, Entry};
use crate::catalogue::{CatalogueError, Change, InFlight, RotationRecord};
use crate::kms::secrets::stages::{Board, CURRENT, StageMove};
use crate::kms::{KmsError, Service};
use crate::model::{ResourceId, Scope, SecretName, SecretRecord};
use crate::observe::{Event, Fields, emit};
use crate::rotator::{RotatorError, Serving};
use crate::store::Stored;

/// Conflicts in a row after which the rotation is left to its next try.
const ATTEMPTS: usize = 32;
/// The longest pause between two tries.
pub(super) const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// How a try failed.
pub(super) struct Failure {
    why: String,
    unsure: bool,
}

impl Failure {
    pub(super) fn of(error: RotatorError) -> Self {
        let unsure = matches!(error, RotatorError::Unsure(_));
        Self { why: error.to_string(), unsure }
    }
}

/// What a transaction at the end of a try writes.
enum End {
    /// The new version is current.
    Rotated,
    /// It failed.
    Failed {
        failures: u32,
        unsure: bool,
        /// It stays in flight.
        stays: bool,
        invalid: bool,
        pause: SignedDuration,
    },
    /// Nothing was tried.
    Later(Timestamp),
    /// There is nothing to rotate any more.
    Abandoned,
}

impl Service {
    /// The new version becomes current, the current one previous; the rotation has ended.
    pub(super) async fn succeeded(&self, scope: &Scope, name: &SecretName) -> Result<(), KmsError> {
        self.finish(scope, name, &End::Rotated).await
    }

    /// Notes a failure. While the outcome is open and the rotator has tries left, the rotation stays in flight: a migration
    /// that froze the secret now could freeze it with a value that no longer works.
    pub(super) async fn failed(
        &self,
        serving: &Serving,
        record: &RotationRecord,
        failure: Failure,
    ) -> Result<Driven, KmsError> {
        let failures = record.failures.saturating_add(1);
        let unsure = record.unsure || failure.unsure;
        let invalid = failures >= serving.attempts;
        let pause = pause(serving.retry_after, failures);
        let end = End::Failed { failures, unsure, stays: unsure && !invalid, invalid, pause };
        self.finish(&record.scope, &record.secret, &end).await?;
        let fields = Fields::new().scope(&record.scope).resource(&ResourceId::Secret(record.secret.clone()));
        let text = format!(
            "rotator {} did not rotate the secret (failure {failures}, next try in {} s): {}",
            serving.name,
            pause.as_secs(),
            failure.why
        );
        emit(Event::RotationFailed, &fields, &text);
        if unsure && failures == serving.attempts {
            let text = "a rotation keeps failing and nobody knows whether the credential has changed: applications may \
                        hold one that no longer works; see why the rotator fails, it is tried again with the same value";
            emit(Event::RotationStranded, &fields, text);
        }
        Ok(Driven::Failed(failure.why))
    }

    /// Takes a rotation out of those in flight; it goes on later.
    pub(super) async fn land_until(&self, record: &RotationRecord, later: Timestamp) -> Result<(), KmsError> {
        self.finish(&record.scope, &record.secret, &End::Later(later)).await
    }

    /// Ends a rotation that changes nothing any more: its secret is gone, or it was switched off in time. Its version stays
    /// without a stage.
    pub(super) async fn abandon_rotation(&self, record: Stored<RotationRecord>) -> Result<(), KmsError> {
        if record.in_flight {
            return self.finish(&record.scope, &record.secret, &End::Abandoned).await;
        }
        match self.catalogue.forget_rotation(&record).await {
            Ok(()) | Err(CatalogueError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Commits the end of a try, and again on a conflict.
    async fn finish(&self, scope: &Scope, name: &SecretName, end: &End) -> Result<(), KmsError> {
        for _ in 0..ATTEMPTS {
            let Some(record) = self.catalogue.rotation(scope, name).await? else { return Ok(()) };
            let flight = match self.catalogue.in_flight(scope, name).await {
                Ok(flight) => flight,
                Err(CatalogueError::Conflict) => {
                    return Err(KmsError::Internal("a rotation in flight is not registered".to_owned()));
                }
                Err(error) => return Err(error.into()),
            };
            let change = self.ending(&flight, record, end).await?;
            match self.catalogue.commit(change).await {
                Ok(()) => return Ok(()),
                Err(CatalogueError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(KmsError::Unavailable("too many changes at the same time".to_owned()))
    }

    async fn ending(
        &self,
        flight: &InFlight,
        mut record: Stored<RotationRecord>,
        end: &End,
    ) -> Result<Change, KmsError> {
        let mut change = Change::in_flight(flight);
        let now = self.clock.now();
        let found = self.catalogue.secret(&record.scope, &record.secret).await?;
        let secret = found.filter(|secret| secret.incarnation == record.incarnation);
        match *end {
            End::Rotated => {
                if let Some(secret) = secret {
                    self.make_current(&mut change, &record, secret, now).await?;
                }
                change.end_rotation(&record).land(flight)?;
            }
            End::Failed { failures, unsure, stays, invalid, pause } => {
                record.failures = failures;
                record.unsure = unsure;
                record.in_flight = stays;
                record.tried_at = Some(now);
                record.next_try = now.checked_add(pause).unwrap_or(Timestamp::MAX);
                change.update_rotation(&record)?;
                if !stays {
                    change.land(flight)?;
                }
                if let Some(mut secret) = secret.filter(|secret| invalid && !secret.rotation.invalid) {
                    secret.rotation.invalid = true;
                    change.update_secret(&secret)?;
                }
            }
            End::Later(later) => {
                record.in_flight = false;
                record.next_try = later;
                change.update_rotation(&record)?.land(flight)?;
            }
            End::Abandoned => {
                change.end_rotation(&record).land(flight)?;
            }
        }
        Ok(change)
    }

    async fn make_current(
        &self,
        change: &mut Change,
        record: &RotationRecord,
        mut secret: Stored<SecretRecord>,
        now: Timestamp,
    ) -> Result<(), KmsError> {
        let mut board = Board::new(self.catalogue.secret_versions(&secret.incarnation).await?);
        let order = StageMove { stage: CURRENT.to_owned(), to: Some(record.version.clone()), from: None };
        board.shift(&order)?;
        for version in board.changed() {
            change.update_secret_version(&secret, version)?;
        }
        secret.rotation.last = Some(now);
        secret.rotation.invalid = false;
        secret.updated_at = now;
        change.update_secret(&secret)?;
        change.record(Entry::new(now, Actor::Daemon, "secret.rotated").in_scope(&record.scope))?;
        Ok(())
    }
}

fn pause(first: Duration, failures: u32) -> SignedDuration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(20));
    SignedDuration::try_from(first.saturating_mul(doubled)).unwrap_or(SignedDuration::MAX).min(LONGEST_PAUSE)
}
