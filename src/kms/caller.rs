//! Who calls.

use std::net::IpAddr;

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
}

impl Caller {
    /// The scope that the caller's own resources lie in.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope { region: self.region.clone(), account: self.account.clone() }
    }
}
