//! Identities: who they are, and the policies attached to them.

use std::sync::{Arc, OnceLock};

use super::builtin;
use super::policy::Policy;
use super::principal::Principal;

/// A policy under the name it is attached by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its name, for explanations.
    pub name: String,
    /// What it says.
    pub policy: Arc<Policy>,
}

/// A root identity, user or role with its policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who it is.
    pub principal: Principal,
    /// Its policies; a root identity needs none.
    pub policies: Vec<Attached>,
    /// The name of the session, for one in a role.
    pub session: Option<String>,
}

impl Identity {
    /// An account's root identity.
    #[must_use]
    pub const fn root(principal: Principal) -> Self {
        Self { principal, policies: Vec::new(), session: None }
    }

    /// How logs and the audit trail name it: `root`, `user/NAME`, `role/NAME/SESSION`.
    #[must_use]
    pub fn label(&self) -> String {
        let local = self.principal.arn().rsplit(':').next().unwrap_or_default();
        match &self.session {
            Some(session) => format!("{local}/{session}"),
            None => local.to_owned(),
        }
    }
}

impl Attached {
    /// A built-in policy by its name.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Self> {
        static PARSED: OnceLock<Vec<Attached>> = OnceLock::new();
        let parsed = PARSED.get_or_init(|| {
            let read = |(name, text): &(&str, &str)| {
                let policy = Arc::new(Policy::identity(text).ok()?);
                Some(Self { name: (*name).to_owned(), policy })
            };
            builtin::ALL.iter().filter_map(read).collect()
        });
        parsed.iter().find(|attached| attached.name == name).cloned()
    }
}
