//! The one way a management operation commits: read, decide, commit guarded, and again on a conflict.

use std::future::Future;

use super::{Caller, KmsError, Service};
use crate::catalogue::{CatalogueError, Change, Guarded};
use crate::model::{NonceClaim, Scope};

/// Conflicts in a row after which the caller is told to come back.
const ATTEMPTS: usize = 32;

impl Service {
    /// Runs a management operation of `caller`: `attempt` reads what it needs and adds its writes to the change; it is
    /// run again when something changed in between. The caller's nonce is claimed in the same transaction.
    ///
    /// # Errors
    /// `Migrating` while the scope is locked, `NonceUsed` when the nonce was claimed before, else what `attempt` answers.
    pub async fn manage<T, F, Fut>(&self, caller: &Caller, attempt: F) -> Result<T, KmsError>
    where
        F: Fn(Guarded) -> Fut + Send,
        Fut: Future<Output = Result<(Change, T), KmsError>> + Send,
        T: Send,
    {
        self.change(&caller.scope(), caller.nonce.as_ref(), attempt).await
    }

    /// As [`Service::manage`], for a change that no request asked for (`nonce` absent): what falls due, service keys.
    ///
    /// # Errors
    /// As [`Service::manage`].
    pub async fn change<T, F, Fut>(&self, scope: &Scope, nonce: Option<&NonceClaim>, attempt: F) -> Result<T, KmsError>
    where
        F: Fn(Guarded) -> Fut + Send,
        Fut: Future<Output = Result<(Change, T), KmsError>> + Send,
        T: Send,
    {
        for _ in 0..ATTEMPTS {
            let guarded = self.admit(scope, nonce).await?;
            let (mut change, answer) = attempt(guarded).await?;
            if let Some(nonce) = nonce {
                change.claim(nonce)?;
            }
            match self.catalogue.commit(change).await {
                Ok(()) => return Ok(answer),
                Err(CatalogueError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(KmsError::Unavailable("too many changes at the same time".to_owned()))
    }

    /// Refuses early what the transaction would refuse: before material is made.
    ///
    /// # Errors
    /// `Migrating` while the scope is locked, `NonceUsed` when the nonce was claimed before.
    pub async fn admit(&self, scope: &Scope, nonce: Option<&NonceClaim>) -> Result<Guarded, KmsError> {
        let guarded = self.catalogue.guard(scope).await?;
        if let Some(nonce) = nonce
            && self.catalogue.nonce_used(nonce).await?
        {
            return Err(KmsError::NonceUsed);
        }
        Ok(guarded)
    }
}
