//! The one way a management operation commits: read, decide, commit guarded, and again on a conflict.

use std::future::Future;

use super::{Caller, KmsError, Service};
use crate::catalogue::{CatalogueError, Change, Guarded};

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
        for _ in 0..ATTEMPTS {
            let guarded = self.catalogue.guard(&caller.scope()).await?;
            if let Some(nonce) = &caller.nonce
                && self.catalogue.nonce_used(nonce).await?
            {
                return Err(KmsError::NonceUsed);
            }
            let (mut change, answer) = attempt(guarded).await?;
            if let Some(nonce) = &caller.nonce {
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
}
