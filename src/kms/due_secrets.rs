//! What falls due for secrets: destruction at the end of the recovery window, and rotation.

use jiff::{SignedDuration, Timestamp};

use super::clock_watch::Look;
use super::due::{Done, forgive_conflict};
use super::secrets::Begun;
use super::{By, KmsError, Service};
use crate::catalogue::{Change, Demand, DueEntry, Guarded, IntentRecord};
use crate::keystore::Place;
use crate::model::{ResourceId, SecretName, SecretRecord};
use crate::observe::{Event, Fields, emit};
use crate::store::Stored;

/// A rotation that could not begin is tried again after this.
const PAUSE: SignedDuration = SignedDuration::from_secs(60);

impl Service {
    pub(super) async fn due_secret(&self, entry: &DueEntry, name: &SecretName, look: Look) -> Result<Done, KmsError> {
        let now = look.now;
        if self.rotators.is_quiet(entry, now) {
            return Ok(Done::Nothing);
        }
        if self.closed(entry).await? {
            return Ok(Done::Waiting);
        }
        let mut secret = self.catalogue.secret(&entry.scope, name).await?;
        let mut done = Done::Nothing;
        if let Some(found) = &secret {
            if found.planned_delete_at.is_some_and(|at| at <= now) {
                if found.planned_delete_at.is_some_and(|at| at > look.destroy_until) {
                    return Ok(Done::Waiting);
                }
                done = self.destroy_due_secret(entry, name, now).await?;
                secret = self.catalogue.secret(&entry.scope, name).await?;
            } else if found.planned_delete_at.is_none() && found.rotation.next().is_some_and(|at| at <= now) {
                let resource = ResourceId::Secret(name.clone());
                if self.catalogue.rotation_held(&entry.scope, &resource).await? {
                    return Ok(Done::Waiting);
                }
                let fields = Fields::new().scope(&entry.scope).resource(&resource);
                if self.rotators.of(found).is_none() {
                    // Told once, and the entry stays: a rotator may come with the next reload or start.
                    self.rotators.keep_quiet(entry, Timestamp::MAX);
                    let text = "a secret is due for rotation and has no rotator; it keeps its value";
                    emit(Event::RotationUnserved, &fields, text);
                    return Ok(Done::Unserved);
                }
                match self.begin_due_rotation(entry, name, now).await {
                    Ok(Begun::Yes) => done = Done::Begun,
                    Ok(Begun::Before(_) | Begun::NotDue) => {}
                    Err(KmsError::Migrating(_)) => return Ok(Done::Waiting),
                    Err(error) => {
                        self.rotators.keep_quiet(entry, now.checked_add(PAUSE).unwrap_or(Timestamp::MAX));
                        let text = "a secret is due for rotation and its new value could not be stored";
                        emit(Event::RotationFailed, &fields, text);
                        return Err(error);
                    }
                }
                secret = self.catalogue.secret(&entry.scope, name).await?;
            }
        }
        forgive_conflict(self.catalogue.settle_secret(entry, secret.as_ref()).await)?;
        Ok(done)
    }

    async fn begin_due_rotation(&self, entry: &DueEntry, name: &SecretName, now: Timestamp) -> Result<Begun, KmsError> {
        let version = self.new_version_id().to_string();
        let version = version.parse().map_err(|_| KmsError::Internal("a fresh version ID is not valid".to_owned()))?;
        self.begin_rotation(By::Daemon("secret.rotation_begun"), &entry.scope, name, &version, Some(now)).await
    }

    /// The change that removes a secret for good, and where its values lie: to be given to [`Service::discard`] after
    /// the commit. Its version records go with the values.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn remove_secret(
        &self,
        guarded: &Guarded,
        secret: &Stored<SecretRecord>,
    ) -> Result<(Change, Place), KmsError> {
        let mut change = Change::guarded(guarded);
        let left = IntentRecord::whole(&secret.keystore, &secret.incarnation, self.clock.now(), &self.worker);
        change.delete_secret(secret).bequeath(&left)?;
        if let Some(instance) = secret.keystore.instance() {
            let gone = Demand { keys: 0, secrets: 1 };
            self.catalogue.count_in(&mut change, instance, Demand::default(), gone).await?;
        }
        Ok((change, left.place))
    }

    async fn destroy_due_secret(&self, entry: &DueEntry, name: &SecretName, now: Timestamp) -> Result<Done, KmsError> {
        let left = self
            .change(&entry.scope, By::Daemon("secret.destroyed"), |guarded| async move {
                match self.catalogue.secret(guarded.scope(), name).await? {
                    Some(secret) if secret.planned_delete_at.is_some_and(|at| at <= now) => {
                        let (change, place) = self.remove_secret(&guarded, &secret).await?;
                        Ok((change, Some(place)))
                    }
                    _ => Ok((Change::guarded(&guarded), None)),
                }
            })
            .await?;
        let Some(place) = left else { return Ok(Done::Nothing) };
        self.discard(&place).await;
        Ok(Done::DeletedSecret)
    }
}
