//! DeleteSecret and RestoreSecret.

use jiff::{SignedDuration, Timestamp};

use crate::catalogue::Change;
use crate::kms::{Caller, KmsError, Service};
use crate::model::SecretName;

/// How a secret is to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// At once.
    Forced,
    /// After this many days, 7 to 30; it can be restored until then.
    Window(u32),
}

impl Service {
    /// Deletes a secret, at once or after its recovery window. Answers when it is (or was) destroyed.
    ///
    /// # Errors
    /// A locked scope, no such secret, or a window on one that has a window already.
    pub async fn delete_secret(
        &self,
        caller: &Caller,
        name: &SecretName,
        deletion: Deletion,
    ) -> Result<Timestamp, KmsError> {
        let (at, gone) = self
            .manage(caller, |guarded| async move {
                let mut secret = self.secret_of(caller, name).await?;
                let now = self.clock.now();
                let days = match deletion {
                    Deletion::Forced => {
                        let (change, gone) = self.remove_secret(&guarded, &secret).await?;
                        return Ok((change, (now, Some(gone))));
                    }
                    Deletion::Window(days) => days,
                };
                if secret.planned_delete_at.is_some() {
                    return Err(KmsError::InDeleteWindow);
                }
                let window = SignedDuration::from_hours(i64::from(days).saturating_mul(24));
                let at = now.checked_add(window).map_err(|_| KmsError::InvalidParameter("RecoveryWindowInDays"))?;
                secret.planned_delete_at = Some(at);
                secret.updated_at = now;
                let mut change = Change::guarded(&guarded);
                change.update_secret(&secret)?;
                Ok((change, (at, None)))
            })
            .await?;
        if let Some(place) = gone {
            self.discard(&place).await;
        }
        Ok(at)
    }

    /// Takes a secret out of its recovery window.
    ///
    /// # Errors
    /// A locked scope, no such secret, or one that is not planned to be deleted.
    pub async fn restore_secret(&self, caller: &Caller, name: &SecretName) -> Result<(), KmsError> {
        self.manage(caller, |guarded| async move {
            let mut secret = self.secret_of(caller, name).await?;
            if secret.planned_delete_at.take().is_none() {
                return Err(KmsError::ResourceInUse);
            }
            secret.updated_at = self.clock.now();
            let mut change = Change::guarded(&guarded);
            change.update_secret(&secret)?;
            Ok((change, ()))
        })
        .await
    }
}
