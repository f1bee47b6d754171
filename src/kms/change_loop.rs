//! The one way a management operation commits: read, decide, commit guarded, and again on a conflict.

use std::future::Future;

use super::{Caller, KmsError, Service};
use crate::audit::{Actor, Entry};
use crate::catalogue::{CatalogueError, Change, Guarded};
use crate::model::{NonceClaim, Scope};

/// Conflicts in a row after which the caller is told to come back.
const ATTEMPTS: usize = 32;

/// On whose behalf something changes.
#[derive(Debug, Clone, Copy)]
pub enum By<'a> {
    /// A client's, by a request.
    Caller(&'a Caller),
    /// The daemon's own; carries the action for the audit trail.
    Daemon(&'static str),
}

impl By<'_> {
    const fn nonce(&self) -> Option<&NonceClaim> {
        match self {
            Self::Caller(caller) => caller.nonce.as_ref(),
            Self::Daemon(_) => None,
        }
    }
}

impl Service {
    /// Runs a management operation of `caller`: `attempt` reads what it needs and adds its writes to the change; it is
    /// run again when something changed in between. The caller's nonce is claimed, and its entry for the
    /// audit trail put, in the same transaction.
    ///
    /// # Errors
    /// `Migrating` while the scope is locked, `NonceUsed` when the nonce was claimed before, else what `attempt` answers.
    pub async fn manage<T, F, Fut>(&self, caller: &Caller, attempt: F) -> Result<T, KmsError>
    where
        F: Fn(Guarded) -> Fut + Send,
        Fut: Future<Output = Result<(Change, T), KmsError>> + Send,
        T: Send,
    {
        if caller.scope().account != caller.account {
            // Other accounts use, they do not administer; no policy gets here, and no later operation may either.
            return Err(KmsError::Internal("a management operation in the scope of another account".to_owned()));
        }
        self.change(&caller.scope(), By::Caller(caller), attempt).await
    }

    /// As [`Service::manage`], also for a change that no request asked for: what falls due, service keys.
    ///
    /// # Errors
    /// As [`Service::manage`].
    pub async fn change<T, F, Fut>(&self, scope: &Scope, by: By<'_>, attempt: F) -> Result<T, KmsError>
    where
        F: Fn(Guarded) -> Fut + Send,
        Fut: Future<Output = Result<(Change, T), KmsError>> + Send,
        T: Send,
    {
        let nonce = by.nonce();
        for _ in 0..ATTEMPTS {
            let _under_way = self.keystores.begin_change();
            let guarded = self.admit(scope, nonce).await?;
            let (mut change, answer) = attempt(guarded).await?;
            if let Some(nonce) = nonce {
                change.claim(nonce)?;
            }
            match by {
                By::Caller(caller) => {
                    change.record(caller.entry(self.clock.now()))?;
                }
                // What turned out not to be due leaves nothing.
                By::Daemon(_) if change.is_empty() => {}
                By::Daemon(action) => {
                    let entry = Entry::new(self.clock.now(), Actor::Daemon, action).in_scope(scope);
                    change.record(entry)?;
                }
            }
            match self.catalogue.commit(change).await {
                Ok(()) => {
                    if let By::Caller(caller) = by {
                        caller.ticket.settle();
                    }
                    return Ok(answer);
                }
                Err(CatalogueError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(KmsError::Unavailable("too many changes at the same time".to_owned()))
    }

    /// Leaves the entry of a management operation that no transaction took along: it was refused with this code, or
    /// changed nothing ([`crate::audit::OK`]).
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn note(&self, caller: &Caller, outcome: &str) -> Result<(), KmsError> {
        if !caller.ticket.is_settled() {
            self.catalogue.record(&caller.entry(self.clock.now()).outcome(outcome)).await?;
            caller.ticket.settle();
        }
        Ok(())
    }

    /// Refuses early what the transaction would refuse: before material is made.
    ///
    /// # Errors
    /// `Migrating` while the scope is locked, `NonceUsed` when the nonce was claimed before, `Unavailable` when a reload
    /// takes the scope away.
    pub async fn admit(&self, scope: &Scope, nonce: Option<&NonceClaim>) -> Result<Guarded, KmsError> {
        if !self.keystores.withdrawn().is_open(scope) {
            return Err(KmsError::Unavailable(format!("a reload takes account or region of {scope} away")));
        }
        let guarded = self.catalogue.guard(scope).await?;
        if let Some(nonce) = nonce
            && self.catalogue.nonce_used(nonce).await?
        {
            return Err(KmsError::NonceUsed);
        }
        Ok(guarded)
    }
}
