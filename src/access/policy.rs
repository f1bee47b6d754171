//! A policy document, parsed (RAM policy language, version 1).

use super::condition::{Condition, Context};
use super::pattern::Pattern;
use super::principal::{Named, Principal};
use crate::model::AccountId;

/// Bytes a policy may have (API page SetKeyPolicy).
pub const MAX_POLICY_BYTES: usize = 32_768;

/// A parsed policy. Made by [`Policy::identity`] and [`Policy::resource`], which refuse everything they do not know: what
/// is silently ignored would be a hole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    pub(super) statements: Vec<Statement>,
}

/// Allow or deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Allows.
    Allow,
    /// Denies, whatever allows.
    Deny,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub(super) sid: Option<String>,
    pub(super) effect: Effect,
    /// `NotAction`: the actions it does not speak of.
    pub(super) all_but: bool,
    pub(super) actions: Vec<Pattern>,
    pub(super) resources: Vec<Pattern>,
    /// Only in the policy of a resource; `None`: the owner's account.
    pub(super) principals: Option<Vec<Named>>,
    pub(super) conditions: Vec<Condition>,
}

impl Policy {
    /// Its statements.
    #[must_use]
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }
}

impl Statement {
    /// Its `Sid`.
    #[must_use]
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// Its effect.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        self.effect
    }

    /// Whether it speaks of an action on a resource in these circumstances, whoever asks.
    pub(super) fn speaks_of(&self, action: &str, resource: &str, context: &Context<'_>, principal: &Principal) -> bool {
        // The shorter comparisons first: the names of resources are long.
        self.actions.iter().any(|pattern| pattern.matches(action)) != self.all_but
            && self.conditions.iter().all(|condition| condition.holds(context, principal.arn()))
            && self.resources.iter().any(|pattern| pattern.matches(resource))
    }

    /// Whether it, as one of a resource's policy, means this principal.
    pub(super) fn means(&self, who: &Principal, owner: &AccountId) -> bool {
        match (&self.principals, self.effect) {
            // Without a principal it speaks of the owner's account, and where it denies, of everybody.
            (None, Effect::Allow) => who.is_root() && who.account() == owner,
            (None, Effect::Deny) => true,
            (Some(named), Effect::Allow) => named.iter().any(|named| named.admits(who, owner)),
            (Some(named), Effect::Deny) => named.iter().any(|named| named.excludes(who)),
        }
    }
}
