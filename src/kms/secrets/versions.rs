//! Versions of a secret: PutSecretValue, ListSecretVersionIds, UpdateSecretVersionStage.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::MAX_VALUE;
use super::filing::{Draft, Filed};
use super::stages::{Board, StageMove, is_stage, stages_of_new};
use crate::catalogue::{Change, Guarded, IntentRecord};
use crate::keystore::Place;
use crate::kms::{Caller, KmsError, Service};
use crate::model::{KeyRecord, SecretName, SecretRecord, SecretType, SecretVersionId, SecretVersionRecord};
use crate::store::Stored;

/// A value to be stored. No `Debug`: it carries the value.
pub struct NewValue {
    /// The secret.
    pub name: SecretName,
    /// ID of the new version.
    pub version: SecretVersionId,
    /// The value as sent.
    pub value: Zeroizing<Vec<u8>>,
    /// True for `binary`.
    pub binary: bool,
    /// Stages of the new version; `None`: `ACSCurrent`.
    pub stages: Option<Vec<String>>,
}

/// A migration may move the secret between filing and commit; then the value is filed again where the secret is now.
const TURNS: usize = 3;

impl Service {
    /// Stores a new version. The same ID with the same value is a success without effect. Answers the version's stages.
    ///
    /// # Errors
    /// A locked scope, no such secret, a managed one, one in its recovery window, the ID taken by another value, no room.
    pub async fn put_secret_value(&self, caller: &Caller, order: &NewValue) -> Result<BTreeSet<String>, KmsError> {
        if order.value.is_empty() || order.value.len() > MAX_VALUE {
            let reason = "1 to 30,720 bytes are allowed".to_owned();
            return Err(KmsError::InvalidParameterBecause { name: "SecretData", reason });
        }
        let stages = stages_of_new(order.stages.as_deref())?;
        for _ in 0..TURNS {
            self.admit(&caller.scope(), caller.nonce.as_ref()).await?;
            let secret = self.generic_secret(caller, &order.name).await?;
            if let Some(stages) = self.already_put(&secret, order).await? {
                return Ok(stages);
            }
            let key = self.key_of(&secret).await?;
            let versions = self.catalogue.secret_versions(&secret.incarnation).await?;
            let draft = Draft {
                id: order.version.clone(),
                number: Board::new(versions).next_number(),
                binary: order.binary,
                stages: stages.clone(),
                value: order.value.clone(),
            };
            let filed = self.file_value(&secret, key.as_ref(), &draft, self.clock.now()).await?;
            let moved = AtomicBool::new(false);
            let (secret, filed) = (&*secret, std::slice::from_ref(&filed));
            let attempt = |guarded| self.enter_version(caller, guarded, order, secret, filed, &moved);
            let put = self.manage(caller, attempt).await;
            let moved = moved.load(Ordering::Relaxed);
            match put {
                Ok(crowded_out) => {
                    if let Some(place) = crowded_out {
                        self.discard(&place).await;
                    }
                    return Ok(stages);
                }
                Err(error) => {
                    self.discard_values(filed).await;
                    // Another request may have put the same ID meanwhile: with the same value that is a success.
                    if !moved && !matches!(error, KmsError::ResourceExists) {
                        return Err(error);
                    }
                }
            }
        }
        Err(KmsError::Unavailable("the secret is changing".to_owned()))
    }

    /// Moves or removes a stage of a Generic secret.
    ///
    /// # Errors
    /// A locked scope, no such secret or version, a managed secret, or a move that the stage's rules do not allow.
    pub async fn update_secret_version_stage(
        &self,
        caller: &Caller,
        name: &SecretName,
        order: &StageMove,
    ) -> Result<(), KmsError> {
        if !is_stage(&order.stage) {
            return Err(KmsError::InvalidParameter("VersionStage"));
        }
        self.manage(caller, |guarded| async move {
            let mut secret = self.generic_secret(caller, name).await?;
            let mut board = Board::new(self.catalogue.secret_versions(&secret.incarnation).await?);
            board.shift(order)?;
            secret.updated_at = self.clock.now();
            let mut change = Change::guarded(&guarded);
            change.update_secret(&secret)?;
            for version in board.changed() {
                change.update_secret_version(&secret, version)?;
            }
            Ok((change, ()))
        })
        .await
    }

    /// The versions of a secret, oldest first; those without a stage only with `deprecated`.
    ///
    /// # Errors
    /// No such secret.
    pub async fn list_secret_versions(
        &self,
        caller: &Caller,
        name: &SecretName,
        deprecated: bool,
    ) -> Result<Vec<SecretVersionRecord>, KmsError> {
        let secret = self.secret_of(caller, name).await?;
        let versions = self.catalogue.secret_versions(&secret.incarnation).await?;
        Ok(versions.into_iter().map(Stored::into_value).filter(|v| deprecated || !v.stages.is_empty()).collect())
    }

    /// The stages of a version that has this ID and value already.
    async fn already_put(&self, secret: &SecretRecord, order: &NewValue) -> Result<Option<BTreeSet<String>>, KmsError> {
        let Some(version) = self.catalogue.secret_version(&secret.incarnation, &order.version).await? else {
            return Ok(None);
        };
        let value = self.open_version(secret, &version).await?;
        if bool::from(value.as_slice().ct_eq(order.value.as_slice())) {
            Ok(Some(version.stages.clone()))
        } else {
            Err(KmsError::ResourceExists)
        }
    }

    async fn enter_version(
        &self,
        caller: &Caller,
        guarded: Guarded,
        order: &NewValue,
        filed_for: &SecretRecord,
        filed: &[Filed],
        moved: &AtomicBool,
    ) -> Result<(Change, Option<Place>), KmsError> {
        let mut secret = self.generic_secret(caller, &order.name).await?;
        if secret.incarnation != filed_for.incarnation || secret.keystore != filed_for.keystore {
            moved.store(true, Ordering::Relaxed);
            return Err(KmsError::Unavailable("the secret moved while the value was stored".to_owned()));
        }
        if self.catalogue.secret_version(&secret.incarnation, &order.version).await?.is_some() {
            return Err(KmsError::ResourceExists);
        }
        let mut board = Board::new(self.catalogue.secret_versions(&secret.incarnation).await?);
        let number = board.next_number();
        let mut change = Change::guarded(&guarded);
        for value in filed {
            board.give_to_new(&value.version.stages);
            let mut version = value.version.clone();
            version.number = number;
            change.create_secret_version(&secret, &version)?;
            change.fulfil(&value.material.intent);
        }
        let gone = self.make_room(&mut change, &mut board, &mut secret)?;
        for version in board.changed() {
            change.update_secret_version(&secret, version)?;
        }
        secret.updated_at = self.clock.now();
        change.update_secret(&secret)?;
        Ok((change, gone))
    }

    /// Counts one more version, or lets the oldest without a stage go for it: its values are to be given to
    /// [`Service::discard`] after the commit.
    pub(super) fn make_room(
        &self,
        change: &mut Change,
        board: &mut Board,
        secret: &mut SecretRecord,
    ) -> Result<Option<Place>, KmsError> {
        let Some(oldest) = board.crowded_out()? else {
            secret.version_count = secret.version_count.saturating_add(1);
            return Ok(None);
        };
        let place = Place { incarnation: secret.incarnation.clone(), version: oldest.material.clone() };
        change.delete_secret_version(secret, &oldest);
        change.bequeath(&IntentRecord {
            keystore: secret.keystore.clone(),
            place: place.clone(),
            at: self.clock.now(),
            worker: self.worker.to_string(),
            dead: true,
            whole: false,
        })?;
        Ok(Some(place))
    }

    async fn generic_secret(&self, caller: &Caller, name: &SecretName) -> Result<Stored<SecretRecord>, KmsError> {
        let secret = self.live_secret(caller, name).await?;
        if secret.secret_type == SecretType::Generic {
            Ok(secret)
        } else {
            Err(KmsError::UnsupportedOperation(
                "the values of a managed secret change by its rotation only.".to_owned(),
            ))
        }
    }

    /// The customer master key of a secret.
    pub(super) async fn key_of(&self, secret: &SecretRecord) -> Result<Option<KeyRecord>, KmsError> {
        let Some(id) = &secret.encryption_key else {
            return Ok(None);
        };
        let key = self.catalogue.key(&secret.region, id).await?.ok_or(KmsError::KeyNotFound)?;
        Ok(Some(key.into_value()))
    }
}
