//! Who asks, and how a policy names those who may.

use std::fmt;

use crate::model::AccountId;

/// Who asks: an account's root identity, one of its users, or somebody in one of its roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    account: AccountId,
    kind: PrincipalKind,
    arn: String,
}

/// What kind of identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalKind {
    /// The account itself: may do everything with its own resources.
    Root,
    /// A user (RAM user), by name.
    User(String),
    /// A role (RAM role), by name.
    Role(String),
}

impl Principal {
    /// The account's root identity.
    #[must_use]
    pub fn root(account: AccountId) -> Self {
        let arn = format!("acs:ram::{account}:root");
        Self { account, kind: PrincipalKind::Root, arn }
    }

    /// A user of the account.
    #[must_use]
    pub fn user(account: AccountId, name: &str) -> Self {
        let arn = format!("acs:ram::{account}:user/{name}");
        Self { account, kind: PrincipalKind::User(name.to_owned()), arn }
    }

    /// A role of the account.
    #[must_use]
    pub fn role(account: AccountId, name: &str) -> Self {
        let arn = format!("acs:ram::{account}:role/{name}");
        Self { account, kind: PrincipalKind::Role(name.to_owned()), arn }
    }

    /// The account it belongs to.
    #[must_use]
    pub const fn account(&self) -> &AccountId {
        &self.account
    }

    /// What kind of identity it is.
    #[must_use]
    pub const fn kind(&self) -> &PrincipalKind {
        &self.kind
    }

    /// Its name: `acs:ram::ACCOUNT:root`, `…:user/NAME` or `…:role/NAME`.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// Whether it is an account's root identity.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        matches!(self.kind, PrincipalKind::Root)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arn)
    }
}

/// One entry of a statement's `Principal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// `acs:ram::ACCOUNT:*` or `…:root`: the account.
    ///
    /// Naming the owner's account grants nothing to its users and roles: they need a policy of their own or a statement
    /// that names them. (The vendor calls the statement "Enable RAM User Permissions"; its console says of the default
    /// policy that the account can manage and use the key.) Naming another account lets that account grant the use to its
    /// identities. A denial of an account is one of all its identities.
    Account(AccountId),
    /// `acs:ram::ACCOUNT:user/NAME`, or `user/*` for every user.
    User(AccountId, Option<String>),
    /// `acs:ram::ACCOUNT:role/NAME`, or `role/*` for every role.
    Role(AccountId, Option<String>),
}

/// What a `Principal` entry may look like.
pub(super) const FORMS: &str =
    "acs:ram::ACCOUNT:*, acs:ram::ACCOUNT:root, acs:ram::ACCOUNT:user/NAME or acs:ram::ACCOUNT:role/NAME";

impl Named {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (account, local) = text.strip_prefix("acs:ram::")?.split_once(':')?;
        let account = account.parse().ok()?;
        if local == "*" || local == "root" {
            return Some(Self::Account(account));
        }
        let (kind, name) = local.split_once('/')?;
        let name = if name == "*" { None } else { Some(name).filter(|name| is_identity_name(name)) };
        let whole = name.is_some() || local.ends_with("/*");
        match kind {
            "user" if whole => Some(Self::User(account, name.map(str::to_owned))),
            "role" if whole => Some(Self::Role(account, name.map(str::to_owned))),
            _ => None,
        }
    }

    /// Whether an allowance of this entry counts for `who`, on a resource of `owner`.
    pub(super) fn admits(&self, who: &Principal, owner: &AccountId) -> bool {
        match self {
            Self::Account(account) => *account == who.account && (who.is_root() || account != owner),
            _ => self.is(who),
        }
    }

    /// Whether a denial of this entry counts for `who`.
    pub(super) fn excludes(&self, who: &Principal) -> bool {
        match self {
            Self::Account(account) => *account == who.account,
            _ => self.is(who),
        }
    }

    fn is(&self, who: &Principal) -> bool {
        let (account, wanted, name) = match (self, &who.kind) {
            (Self::User(account, wanted), PrincipalKind::User(name))
            | (Self::Role(account, wanted), PrincipalKind::Role(name)) => (account, wanted, name),
            _ => return false,
        };
        *account == who.account && wanted.as_ref().is_none_or(|wanted| wanted == name)
    }
}

/// Whether a text can be the name of a user, a role, a session or a policy: 1 to 64 letters, digits and `. _ - @`.
#[must_use]
pub fn is_identity_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b))
}
