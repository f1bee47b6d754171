//! Changes of a key's own entry: state, description, deletion protection, rotation policy.

use std::time::Duration;

use jiff::Timestamp;

use super::create_key::check_rotates;
use super::state::has_material;
use super::{Caller, KmsError, Service, state_at};
use crate::catalogue::{Change, KeyOrAlias};
use crate::model::{KeyId, KeyRecord, KeyState};

const DAY: Duration = Duration::from_secs(86_400);

impl Service {
    /// EnableKey: Disabled to Enabled; nothing happens to an enabled key.
    ///
    /// # Errors
    /// `StateModifiedFailed` in any other state.
    pub async fn enable_key(&self, caller: &Caller, id: &KeyId) -> Result<(), KmsError> {
        self.switch(caller, id, KeyState::Enabled).await
    }

    /// DisableKey: Enabled to Disabled; nothing happens to a disabled key.
    ///
    /// # Errors
    /// `StateModifiedFailed` in any other state.
    pub async fn disable_key(&self, caller: &Caller, id: &KeyId) -> Result<(), KmsError> {
        self.switch(caller, id, KeyState::Disabled).await
    }

    /// UpdateKeyDescription.
    ///
    /// # Errors
    /// `KeyState` while the key waits for its deletion.
    pub async fn update_key_description(&self, caller: &Caller, id: &KeyId, description: &str) -> Result<(), KmsError> {
        self.edit_key(caller, id, |key, _| {
            refuse_pending_deletion(key)?;
            description.clone_into(&mut key.description);
            Ok(())
        })
        .await
    }

    /// SetDeletionProtection; the description is kept only while protection is on.
    ///
    /// # Errors
    /// `KeyState` while the key waits for its deletion.
    pub async fn set_deletion_protection(
        &self,
        caller: &Caller,
        id: &KeyId,
        on: bool,
        description: &str,
    ) -> Result<(), KmsError> {
        self.edit_key(caller, id, |key, _| {
            refuse_pending_deletion(key)?;
            key.deletion_protection = on;
            key.deletion_protection_description = if on { description.to_owned() } else { String::new() };
            Ok(())
        })
        .await
    }

    /// ScheduleKeyDeletion: the key will be destroyed in `days` days (7 to 366) and cannot be used until then.
    ///
    /// # Errors
    /// `DeletionProtected`; `KeyState` when its deletion is scheduled already.
    pub async fn schedule_key_deletion(&self, caller: &Caller, id: &KeyId, days: u32) -> Result<Timestamp, KmsError> {
        self.edit_key(caller, id, |key, now| {
            refuse_pending_deletion(key)?;
            if key.deletion_protection {
                return Err(KmsError::DeletionProtected);
            }
            let delete_at = now
                .checked_add(DAY.saturating_mul(days))
                .map_err(|_| KmsError::InvalidParameter("PendingWindowInDays"))?;
            key.state = KeyState::PendingDeletion { delete_at };
            Ok(delete_at)
        })
        .await
    }

    /// CancelKeyDeletion: the key is enabled again, or waits for its material.
    ///
    /// # Errors
    /// `StateModifiedFailed` for a key that is not pending deletion.
    pub async fn cancel_key_deletion(&self, caller: &Caller, id: &KeyId) -> Result<(), KmsError> {
        self.edit_key(caller, id, |key, now| {
            if !matches!(key.state, KeyState::PendingDeletion { .. }) {
                return Err(KmsError::StateModifiedFailed);
            }
            key.state = if has_material(key, now) { KeyState::Enabled } else { KeyState::PendingImport };
            Ok(())
        })
        .await
    }

    /// UpdateRotationPolicy: switches automatic rotation on, with its period, or off. The period is kept when it is
    /// switched off.
    ///
    /// # Errors
    /// `KeyState` for a key that is not enabled; `UnsupportedOrigin`, `UnsupportedOperation` for one that cannot rotate.
    pub async fn update_rotation_policy(
        &self,
        caller: &Caller,
        id: &KeyId,
        enabled: bool,
        interval: Option<Duration>,
    ) -> Result<(), KmsError> {
        if enabled && interval.is_none() {
            return Err(KmsError::MissingParameter("RotationInterval"));
        }
        self.edit_key(caller, id, |key, now| {
            check_rotates(key.spec, key.origin)?;
            self.refuse_hardware(key)?;
            match state_at(key, now) {
                KeyState::Enabled => {}
                state => return Err(KmsError::KeyState(state.as_str())),
            }
            key.rotation.enabled = enabled;
            key.rotation.interval = if enabled { interval } else { key.rotation.interval };
            Ok(())
        })
        .await
    }

    /// Changes one key's entry in one guarded transaction. Service keys are refused.
    pub(super) async fn edit_key<T, E>(&self, caller: &Caller, id: &KeyId, edit: E) -> Result<T, KmsError>
    where
        T: Send,
        E: Fn(&mut KeyRecord, Timestamp) -> Result<T, KmsError> + Send + Sync,
    {
        let (scope, name) = (caller.scope(), KeyOrAlias::Id(id.clone()));
        let (scope, name, edit) = (&scope, &name, &edit);
        self.manage(caller, |guarded| async move {
            let mut key = self.find(scope, name).await?;
            refuse_service_key(&key)?;
            let answer = edit(&mut key, self.clock.now())?;
            let mut change = Change::guarded(&guarded);
            change.update_key(&key)?;
            Ok((change, answer))
        })
        .await
    }

    /// Refuses what keys in a hardware instance cannot do: rotate, and have more than one version.
    pub(super) fn refuse_hardware(&self, key: &KeyRecord) -> Result<(), KmsError> {
        match key.keystore.instance().and_then(|id| self.keystores.instance(id)) {
            Some(facts) if facts.hardware => {
                Err(KmsError::UnsupportedOperation("keys of a hardware instance have one version".to_owned()))
            }
            _ => Ok(()),
        }
    }

    async fn switch(&self, caller: &Caller, id: &KeyId, to: KeyState) -> Result<(), KmsError> {
        self.edit_key(caller, id, |key, now| match state_at(key, now) {
            KeyState::Enabled | KeyState::Disabled => {
                key.state = to;
                Ok(())
            }
            _ => Err(KmsError::StateModifiedFailed),
        })
        .await
    }
}

/// Service keys belong to the cloud product they were made for.
pub(super) fn refuse_service_key(key: &KeyRecord) -> Result<(), KmsError> {
    match &key.service {
        Some(product) => Err(KmsError::UnsupportedOperation(format!("it is the service key of {product}"))),
        None => Ok(()),
    }
}

pub(super) fn refuse_pending_deletion(key: &KeyRecord) -> Result<(), KmsError> {
    match key.state {
        KeyState::PendingDeletion { .. } => Err(KmsError::KeyState("PendingDeletion")),
        _ => Ok(()),
    }
}
