//! Who calls.

use std::net::IpAddr;

use jiff::Timestamp;

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
}

impl Caller {
    /// The entry of its request.
    #[must_use]
    pub fn entry(&self, at: Timestamp) -> Entry {
        let actor =
            Actor::AccessKey { account: self.account.clone(), id: self.access_key_id.clone(), source: self.source };
        let mut entry = Entry::new(at, actor, self.ticket.operation()).in_scope(&self.scope());
        entry.request = Some(self.request_id.clone());
        match self.ticket.subject() {
            Some(subject) => entry.detail(subject),
            None => entry,
        }
    }

    /// The scope that the caller's own resources lie in.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope { region: self.region.clone(), account: self.account.clone() }
    }
}
