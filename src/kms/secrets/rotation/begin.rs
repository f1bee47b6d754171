//! The beginning: the new value is stored before anything outside hears of it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use uuid::Builder;

use super::value::Fresh;
use crate::catalogue::{Change, Guarded, RotationRecord};
use crate::keystore::Place;
use crate::kms::secrets::filing::{Draft, Filed};
use crate::kms::secrets::stages::{Board, CURRENT, PREVIOUS};
use crate::kms::{By, KmsError, Service};
use crate::model::{Scope, SecretName, SecretRecord, SecretVersionId, SecretVersionRecord};
use crate::store::Stored;

/// A migration may move the secret between filing and commit; then the value is filed again where the secret is now.
const TURNS: usize = 3;

/// What became of a rotation that was to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kms) enum Begun {
    /// Its value is stored.
    Yes,
    /// One to this version has begun before and not ended.
    Before(SecretVersionId),
    /// It is not due (any more).
    NotDue,
}

/// What is to begin.
struct Beginning<'a> {
    scope: &'a Scope,
    name: &'a SecretName,
    /// Only if it is due by then.
    due: Option<Timestamp>,
}

impl Service {
    /// Begins a rotation: stores the new value as a version without a stage, with the record of the rotation, in one
    /// transaction that compares the gate absent. With `due`, only if it is due by then.
    ///
    /// # Errors
    /// A locked scope, no such secret, a key that cannot be used, or the version ID is taken.
    pub(in crate::kms) async fn begin_rotation(
        &self,
        by: By<'_>,
        scope: &Scope,
        name: &SecretName,
        version: &SecretVersionId,
        due: Option<Timestamp>,
    ) -> Result<Begun, KmsError> {
        let beginning = Beginning { scope, name, due };
        for _ in 0..TURNS {
            let secret = self.catalogue.secret(scope, name).await?.ok_or(KmsError::ResourceNotFound)?;
            if let Some(before) = self.rotation_of(&secret).await? {
                return Ok(Begun::Before(before.version.clone()));
            }
            let now = self.clock.now();
            let versions = self.catalogue.secret_versions(&secret.incarnation).await?;
            let Fresh { value, retires } = self.fresh_value(&secret, &versions, now).await?;
            let key = self.key_of(&secret).await?;
            let number = Board::new(versions).next_number();
            let draft = Draft { id: version.clone(), number, binary: false, stages: BTreeSet::new(), value };
            let filed = self.file_value(&secret, key.as_ref(), &draft, now).await?;
            let record = RotationRecord {
                id: Builder::from_random_bytes(self.random_bytes()).into_uuid().hyphenated().to_string(),
                scope: scope.clone(),
                secret: name.clone(),
                incarnation: secret.incarnation.clone(),
                version: version.clone(),
                retires,
                by_request: due.is_none(),
                began_at: now,
                failures: 0,
                tried_at: None,
                next_try: now,
                in_flight: false,
                unsure: false,
            };
            let moved = AtomicBool::new(false);
            let (secret, filed, record) = (&*secret, &filed, &record);
            let attempt = |guarded| self.enter_rotation(guarded, &beginning, secret, filed, record, &moved);
            match self.change(scope, by, attempt).await {
                Ok((Begun::Yes, crowded_out)) => {
                    if let Some(place) = crowded_out {
                        self.discard(&place).await;
                    }
                    self.rotators.wake();
                    return Ok(Begun::Yes);
                }
                Ok((other, _)) => {
                    self.discard_values(std::slice::from_ref(filed)).await;
                    return Ok(other);
                }
                Err(error) => {
                    self.discard_values(std::slice::from_ref(filed)).await;
                    if !moved.load(Ordering::Relaxed) {
                        return Err(error);
                    }
                }
            }
        }
        Err(KmsError::Unavailable("the secret is changing".to_owned()))
    }

    /// The rotation of this very secret that has begun and not ended.
    pub(in crate::kms) async fn rotation_of(
        &self,
        secret: &SecretRecord,
    ) -> Result<Option<Stored<RotationRecord>>, KmsError> {
        let scope = Scope { region: secret.region.clone(), account: secret.account.clone() };
        let found = self.catalogue.rotation(&scope, &secret.name).await?;
        Ok(found.filter(|record| record.incarnation == secret.incarnation))
    }

    async fn fresh_value(
        &self,
        secret: &SecretRecord,
        versions: &[Stored<SecretVersionRecord>],
        now: Timestamp,
    ) -> Result<Fresh, KmsError> {
        let at = |stage: &str| versions.iter().find(|version| version.stages.contains(stage));
        let current = at(CURRENT).ok_or_else(|| KmsError::Internal("a secret without a current version".to_owned()))?;
        let current = self.open_version(secret, current).await?;
        let previous = match at(PREVIOUS) {
            Some(version) => Some(self.open_version(secret, version).await?),
            None => None,
        };
        self.next_value(secret, &current, previous.as_ref().map(|value| value.as_slice()), now).await
    }

    async fn enter_rotation(
        &self,
        guarded: Guarded,
        beginning: &Beginning<'_>,
        filed_for: &SecretRecord,
        filed: &Filed,
        record: &RotationRecord,
        moved: &AtomicBool,
    ) -> Result<(Change, (Begun, Option<Place>)), KmsError> {
        let Beginning { scope, name, due } = *beginning;
        let mut change = Change::guarded(&guarded);
        let found = self.catalogue.secret(scope, name).await?.filter(|s| s.incarnation == filed_for.incarnation);
        let Some(mut secret) = found else { return Err(KmsError::ResourceNotFound) };
        if secret.planned_delete_at.is_some() {
            return Err(KmsError::InDeleteWindow);
        }
        if due.is_some_and(|now| secret.rotation.next().is_none_or(|at| at > now)) {
            return Ok((change, (Begun::NotDue, None)));
        }
        if secret.keystore != filed_for.keystore {
            moved.store(true, Ordering::Relaxed);
            return Err(KmsError::Unavailable("the secret moved while its new value was stored".to_owned()));
        }
        let left = self.catalogue.rotation(scope, name).await?;
        if let Some(before) = left.as_ref().filter(|left| left.incarnation == secret.incarnation) {
            return Ok((change, (Begun::Before(before.version.clone()), None)));
        }
        if self.catalogue.secret_version(&secret.incarnation, &record.version).await?.is_some() {
            return Err(KmsError::ResourceExists);
        }
        let mut board = Board::new(self.catalogue.secret_versions(&secret.incarnation).await?);
        let mut version = filed.version.clone();
        version.number = board.next_number();
        change.create_secret_version(&secret, &version)?.fulfil(&filed.material.intent);
        let gone = self.make_room(&mut change, &mut board, &mut secret)?;
        // What an earlier secret of this name left registered is taken out with the end of this one.
        let in_flight = left.as_ref().is_some_and(|left| left.in_flight);
        change
            .update_secret(&secret)?
            .begin_rotation(&RotationRecord { in_flight, ..record.clone() }, left.as_ref())?;
        Ok((change, (Begun::Yes, gone)))
    }
}
