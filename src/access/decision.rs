//! The decision: pure, and without an allocation.
//!
//! A denial in any policy wins. The root identity may do everything with what its account owns: nobody can lock an account
//! out of its own keys. In the owner's account it is enough that a policy of the identity or the policy of the resource
//! allows; another account needs both, and may use but not administer (API page "key policy overview").

use super::condition::Context;
use super::identity::Attached;
use super::policy::{Effect, Policy, Statement};
use super::principal::Principal;
use crate::model::AccountId;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// What for: `kms:` and the operation.
    pub action: &'a str,
    /// On what, as an ARN.
    pub resource: &'a str,
    /// The account that owns it.
    pub owner: &'a AccountId,
    /// The circumstances.
    pub context: Context<'a>,
}

/// The policy of the resource.
#[derive(Debug, Clone, Copy)]
pub enum ResourcePolicy<'a> {
    /// It has none: it lies in the shared KMS, or there is no such thing.
    None,
    /// It has this one.
    Document(&'a Policy),
    /// It has one that cannot be read, stored before policies were parsed: nobody but the owner's root identity passes.
    Unreadable,
}

/// The outcome, and what decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'a> {
    /// Allowed: the root identity of the owner.
    Root,
    /// Allowed by a statement (for another account: by this one of the resource, and one of the identity).
    Allowed(Decider<'a>),
    /// Denied by a statement.
    Denied(Decider<'a>),
    /// Denied: no statement allows it.
    NotAllowed,
    /// Denied: another account needs an allowance of both sides; the resource's policy does not have it.
    NotAllowedByResource,
    /// Denied: another account needs an allowance of both sides; the identity's policies do not have it.
    NotAllowedByIdentity,
    /// Denied: another account may use, but not administer.
    OnlyUse,
    /// Denied: the resource's policy cannot be read.
    Unreadable,
}

/// The statement that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decider<'a> {
    /// The policy: a name, or `None` for that of the resource.
    pub policy: Option<&'a str>,
    /// The statement's place in it, from 0.
    pub statement: usize,
    /// Its `Sid`.
    pub sid: Option<&'a str>,
}

impl Decision<'_> {
    /// Whether it may be done.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Root | Self::Allowed(_))
    }
}

impl std::fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => f.write_str("allowed: the root identity may do everything with what its account owns"),
            Self::Allowed(by) => write!(f, "allowed by {by}"),
            Self::Denied(by) => write!(f, "denied by {by}"),
            Self::NotAllowed => f.write_str("denied: no statement allows it"),
            Self::NotAllowedByResource => {
                f.write_str("denied: another account needs an allowance in the policy of the resource too")
            }
            Self::NotAllowedByIdentity => {
                f.write_str("denied: another account's identity needs an allowance in a policy of its own too")
            }
            Self::OnlyUse => f.write_str("denied: another account may use, but not administer"),
            Self::Unreadable => f.write_str("denied: the policy of the resource cannot be read; set it anew"),
        }
    }
}

impl std::fmt::Display for Decider<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "statement {}", self.statement)?;
        if let Some(sid) = self.sid {
            write!(f, " ({sid})")?;
        }
        match self.policy {
            Some(name) => write!(f, " of the policy {name}"),
            None => f.write_str(" of the policy of the resource"),
        }
    }
}

/// Decides. `identity` are the policies of the principal; a root identity has none and needs none.
#[must_use]
pub fn decide<'a>(request: &Request<'_>, identity: &'a [Attached], resource: ResourcePolicy<'a>) -> Decision<'a> {
    let who = request.principal;
    let own = who.account() == request.owner;
    if own && who.is_root() {
        return Decision::Root;
    }
    let document = match resource {
        ResourcePolicy::Unreadable => return Decision::Unreadable,
        ResourcePolicy::Document(policy) => Some(policy),
        ResourcePolicy::None => None,
    };
    let of_identity = |effect| {
        identity.iter().find_map(|attached| {
            let found = first(&attached.policy, effect, |statement| {
                statement.speaks_of(request.action, request.resource, &request.context, who)
            });
            found.map(|(statement, sid)| Decider { policy: Some(attached.name.as_str()), statement, sid })
        })
    };
    let of_resource = |effect| {
        let found = first(document?, effect, |statement| {
            statement.means(who, request.owner)
                && statement.speaks_of(request.action, request.resource, &request.context, who)
        });
        found.map(|(statement, sid)| Decider { policy: None, statement, sid })
    };
    if let Some(by) = of_identity(Effect::Deny).or_else(|| of_resource(Effect::Deny)) {
        return Decision::Denied(by);
    }
    if own {
        let by = of_identity(Effect::Allow).or_else(|| of_resource(Effect::Allow));
        return by.map_or(Decision::NotAllowed, Decision::Allowed);
    }
    if !is_use(request.action) {
        return Decision::OnlyUse;
    }
    let Some(by) = of_resource(Effect::Allow) else { return Decision::NotAllowedByResource };
    if who.is_root() || of_identity(Effect::Allow).is_some() {
        Decision::Allowed(by)
    } else {
        Decision::NotAllowedByIdentity
    }
}

/// Whether an action uses a key or secret: what another account may be allowed. Everything else administers.
#[must_use]
pub fn is_use(action: &str) -> bool {
    action.strip_prefix("kms:").is_some_and(|name| USES.contains(&name))
}

/// What another account may be allowed: cryptography, values, and what one has to know for them.
pub const USES: &[&str] = &[
    "Encrypt",
    "Decrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncrypt",
    "ExportDataKey",
    "GenerateAndExportDataKey",
    "AsymmetricEncrypt",
    "AsymmetricDecrypt",
    "AsymmetricSign",
    "AsymmetricVerify",
    "GetPublicKey",
    "GenerateMac",
    "VerifyMac",
    "DescribeKey",
    "DescribeKeyVersion",
    "ListKeyVersions",
    "GetSecretValue",
    "DescribeSecret",
    "ListSecretVersionIds",
];

fn first(policy: &Policy, effect: Effect, applies: impl Fn(&Statement) -> bool) -> Option<(usize, Option<&str>)> {
    let mut numbered = policy.statements.iter().enumerate();
    numbered.find(|(_, s)| s.effect == effect && applies(s)).map(|(index, s)| (index, s.sid.as_deref()))
}
