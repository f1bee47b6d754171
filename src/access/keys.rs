//! Access keys and identities: an immutable table, swapped as a whole when the configuration is read again.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use jiff::Timestamp;
use thiserror::Error;
use zeroize::Zeroizing;

use super::identity::Identity;
use super::principal::Principal;
use super::session::{Credentials, SESSION_PREFIX, SessionKey};
use crate::model::{AccountId, Random};

/// An access key. No `Debug`: it carries the secret.
#[derive(Clone)]
pub struct AccessKey {
    /// Whose it is.
    pub identity: Arc<Identity>,
    /// The AccessKeySecret.
    pub secret: Arc<Zeroizing<String>>,
    /// False: correctly signed requests are refused with `Forbidden.AccessKey`.
    pub enabled: bool,
}

/// The access key of temporary credentials.
pub struct TemporaryKey {
    /// The key, for the role.
    pub key: AccessKey,
    /// Until when it counts.
    pub expires_at: Timestamp,
}

/// Where signatures are checked against.
pub trait AccessKeys: Send + Sync + 'static {
    /// The key with this AccessKeyId, enabled or not.
    fn find(&self, id: &str) -> Option<AccessKey>;

    /// The key of temporary credentials, from the token that came with a request. `None` for a token that was not issued
    /// here for this AccessKeyId, or whose role is gone.
    fn temporary(&self, id: &str, token: &str) -> Option<TemporaryKey>;
}

/// Why credentials for a role cannot be issued.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IssueError {
    /// There is no such role.
    #[error("there is no role {role} in account {account}")]
    NoRole {
        /// The account.
        account: AccountId,
        /// The role.
        role: String,
    },
    /// This daemon has no key to sign tokens with: no region is configured.
    #[error("this daemon has no key for tokens")]
    NoKey,
}

/// The access keys and identities of the configuration.
#[derive(Default)]
pub struct AccessKeyTable {
    table: RwLock<Arc<Table>>,
    sessions: OnceLock<SessionKey>,
}

#[derive(Default)]
struct Table {
    keys: HashMap<String, AccessKey>,
    /// By ARN.
    identities: HashMap<String, Arc<Identity>>,
}

impl AccessKeyTable {
    /// A table of these keys, by AccessKeyId. Of two with the same ID the later one counts.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = (String, AccessKey)>) -> Self {
        let table = Self::default();
        table.replace(keys, []);
        table
    }

    /// Replaces the whole table by these keys, and these identities beside those of the keys; requests being checked
    /// finish with the one they began with.
    pub fn replace(
        &self,
        keys: impl IntoIterator<Item = (String, AccessKey)>,
        identities: impl IntoIterator<Item = Arc<Identity>>,
    ) {
        let keys: HashMap<String, AccessKey> = keys.into_iter().collect();
        let of_keys = keys.values().map(|key| Arc::clone(&key.identity));
        let named = of_keys.chain(identities).map(|identity| (identity.principal.arn().to_owned(), identity));
        let table = Table { identities: named.collect(), keys };
        // A poisoned lock guards a pointer that is always whole.
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }

    /// Gives it the key of tokens, once; without one no token is genuine.
    pub fn set_session_key(&self, key: SessionKey) {
        // A second one would be of the same daemon.
        let _ = self.sessions.set(key);
    }

    /// The identity of a name such as `acs:ram::ACCOUNT:user/NAME`.
    #[must_use]
    pub fn identity(&self, arn: &str) -> Option<Arc<Identity>> {
        self.snapshot().identities.get(arn).cloned()
    }

    /// The names of all identities, sorted.
    #[must_use]
    pub fn identities(&self) -> Vec<String> {
        let mut names: Vec<String> = self.snapshot().identities.keys().cloned().collect();
        names.sort();
        names
    }

    /// Issues temporary credentials for a role.
    ///
    /// # Errors
    /// No such role; no key for tokens.
    pub fn issue(
        &self,
        account: &AccountId,
        role: &str,
        session: &str,
        expires_at: Timestamp,
        random: &dyn Random,
    ) -> Result<Credentials, IssueError> {
        if self.identity(Principal::role(account.clone(), role).arn()).is_none() {
            return Err(IssueError::NoRole { account: account.clone(), role: role.to_owned() });
        }
        let key = self.sessions.get().ok_or(IssueError::NoKey)?;
        Ok(key.issue(account, role, session, expires_at, random))
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.snapshot().keys.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn snapshot(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AccessKeys for AccessKeyTable {
    fn find(&self, id: &str) -> Option<AccessKey> {
        self.snapshot().keys.get(id).cloned()
    }

    fn temporary(&self, id: &str, token: &str) -> Option<TemporaryKey> {
        if !id.starts_with(SESSION_PREFIX) {
            return None;
        }
        let session = self.sessions.get()?.open(id, token).ok()?;
        let role = self.identity(Principal::role(session.account, &session.role).arn())?;
        let identity = Arc::new(Identity { session: Some(session.name), ..Identity::clone(&role) });
        let key = AccessKey { identity, secret: Arc::new(session.secret), enabled: true };
        Some(TemporaryKey { key, expires_at: session.expires_at })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::SystemRandom;

    fn account() -> AccountId {
        "1000000000000001".parse().unwrap()
    }

    fn key(secret: &str) -> AccessKey {
        AccessKey {
            identity: Arc::new(Identity::root(Principal::root(account()))),
            secret: Arc::new(Zeroizing::new(secret.to_owned())),
            enabled: true,
        }
    }

    #[test]
    fn a_replaced_table_forgets_what_it_had() {
        let table = AccessKeyTable::new([("a".to_owned(), key("1"))]);
        assert_eq!(table.find("a").unwrap().secret.as_str(), "1");
        table.replace([("b".to_owned(), key("2"))], []);
        assert!(table.find("a").is_none());
        assert_eq!(table.find("b").unwrap().secret.as_str(), "2");
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn temporary_credentials_end_with_their_role() {
        let table = AccessKeyTable::default();
        let role = Arc::new(Identity::root(Principal::role(account(), "ci")));
        table.replace([], [role]);
        let at: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let issue = || table.issue(&account(), "ci", "me", at, &SystemRandom);
        assert_eq!(issue().err(), Some(IssueError::NoKey));
        table.set_session_key(SessionKey::new(b"seed"));
        assert!(matches!(table.issue(&account(), "other", "me", at, &SystemRandom), Err(IssueError::NoRole { .. })));
        let made = issue().unwrap();
        let found = table.temporary(&made.access_key_id, &made.security_token).unwrap();
        assert_eq!(found.key.identity.label(), "role/ci/me");
        assert_eq!(found.expires_at, at);
        table.replace([], []);
        assert!(table.temporary(&made.access_key_id, &made.security_token).is_none());
    }
}
