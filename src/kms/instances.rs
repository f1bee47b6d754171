//! What accounts see of instances.

use std::collections::BTreeMap;

use super::{Caller, InstanceFacts, KmsError, Service};
use crate::catalogue::Demand;
use crate::model::{AccountId, InstanceId};

/// What is taken of an instance's quotas, as an account sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceUse {
    /// For the owner all of it, what running jobs have reserved among it; for another account its own.
    pub taken: Demand,
    /// For the owner, by account; for another account nothing.
    pub by_account: BTreeMap<AccountId, Demand>,
}

impl Service {
    /// The instances of the region that the account may use, its own and those shared with it, by ID.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn usable_instances(&self, caller: &Caller) -> Result<Vec<InstanceFacts>, KmsError> {
        let scope = caller.scope();
        let mut usable = Vec::new();
        for id in self.keystores.facts().keys() {
            match self.usable_instance(&scope, id).await {
                Ok(facts) => usable.push(facts),
                Err(KmsError::InstanceNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(usable)
    }

    /// An instance that the account may use, and how much of its quotas is taken. How much others hold is for the owner
    /// alone to know, and no more of them than that.
    ///
    /// # Errors
    /// `InstanceNotFound`, also for one that is somebody else's.
    pub async fn instance_usage(
        &self,
        caller: &Caller,
        id: &InstanceId,
    ) -> Result<(InstanceFacts, InstanceUse), KmsError> {
        let facts = self.usable_instance(&caller.scope(), id).await?;
        let used = if facts.owner == caller.account {
            let taken = self.catalogue.quota(id).await?.taken(None);
            InstanceUse { taken, by_account: self.catalogue.usage_by_account(id).await? }
        } else {
            let own = self.catalogue.tenant(id, &caller.account).await?;
            InstanceUse { taken: own.map(|own| own.used).unwrap_or_default(), by_account: BTreeMap::new() }
        };
        Ok((facts, used))
    }
}
