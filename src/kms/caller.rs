//! Who calls.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use crate::access::{Identity, Principal};
use crate::audit::{Actor, Entry, Ticket};
use crate::model::{AccountId, NonceClaim, RegionId, Scope};

/// An authenticated caller of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account whose access key signed.
    pub account: AccountId,
    /// The region the request is for.
    pub region: RegionId,
    /// The access key's ID.
    pub access_key_id: String,
    /// The request's ID, as it is answered.
    pub request_id: String,
    /// The request's nonce: claimed by the transaction of a management operation.
    pub nonce: Option<NonceClaim>,
    /// Where the request came from.
    pub source: IpAddr,
    /// The operation, for the audit trail.
    pub ticket: Ticket,
    /// As whom within the account, and on whose resources.
    pub acting: Acting,
}

/// As whom within an account somebody calls, how, and on whose resources. By default its root identity, on its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acting {
    /// The user or role; `None`: the account's root identity.
    pub identity: Option<Arc<Identity>>,
    /// The request came over TLS.
    pub secure: bool,
    /// The account whose resources it uses, where that is another one that allows it.
    pub owner: Option<AccountId>,
    /// The account of the key that ReEncrypt opens with, where that is another one.
    pub source_owner: Option<AccountId>,
}

impl Caller {
    /// The entry of its request.
    #[must_use]
    pub fn entry(&self, at: Timestamp) -> Entry {
        let actor = Actor::AccessKey {
            account: self.account.clone(),
            id: self.access_key_id.clone(),
            source: self.source,
            identity: self.acting.identity.as_ref().map(|identity| identity.label()),
        };
        let mut entry = Entry::new(at, actor, self.ticket.operation()).in_scope(&self.scope());
        entry.request = Some(self.request_id.clone());
        match self.ticket.subject() {
            Some(subject) => entry.detail(subject),
            None => entry,
        }
    }

    /// The scope that the resources of the request lie in: the caller's own, or that of an account that allows the use.
    #[must_use]
    pub fn scope(&self) -> Scope {
        let account = self.acting.owner.as_ref().unwrap_or(&self.account);
        Scope { region: self.region.clone(), account: account.clone() }
    }

    /// The same caller on the resources of the account that ReEncrypt opens with.
    #[must_use]
    pub fn at_source(&self) -> Self {
        let acting = Acting { owner: self.acting.source_owner.clone(), ..self.acting.clone() };
        Self { acting, ..self.clone() }
    }

    /// Who calls, as policies name it.
    #[must_use]
    pub fn principal(&self) -> Principal {
        match &self.acting.identity {
            Some(identity) => identity.principal.clone(),
            None => Principal::root(self.account.clone()),
        }
    }
}
