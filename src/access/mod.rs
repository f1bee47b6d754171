//! Who is calling, and what they may do: access keys, identities, policies and the decision.
//!
//! An account's root identity may do everything with what its account owns; users and roles may do what policies allow.
//! A policy is parsed once, when it is set or configured; what it does not understand it refuses with the place of the
//! fault. The decision ([`decide`]) is a pure function.
//!
//! This room knows only `model/`.

mod builtin;
mod cache;
mod condition;
mod decision;
mod error;
mod identity;
mod json;
mod keys;
mod parse;
mod pattern;
mod policy;
mod principal;
mod session;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

pub use builtin::ALL as BUILT_IN;
pub use cache::resource_policy;
pub use condition::Context;
pub use decision::{Decider, Decision, Request, ResourcePolicy, USES, decide, is_use};
pub use error::PolicyError;
pub use identity::{Attached, Identity};
pub use keys::{AccessKey, AccessKeyTable, AccessKeys, IssueError, TemporaryKey};
pub use pattern::Pattern;
pub use policy::{Effect, MAX_POLICY_BYTES, Policy, Statement};
pub use principal::{Named, Principal, PrincipalKind, is_identity_name};
pub use session::{Credentials, InvalidToken, SESSION_DURATIONS, SESSION_PREFIX, Session, SessionKey};
