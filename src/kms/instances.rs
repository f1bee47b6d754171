//! What accounts see of instances.

use super::{Caller, InstanceFacts, KmsError, Service};
use crate::catalogue::Demand;
use crate::model::InstanceId;

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

    /// An instance that the account may use, and how much of its quotas is taken.
    ///
    /// # Errors
    /// `InstanceNotFound`, also for one that is somebody else's.
    pub async fn instance_usage(&self, caller: &Caller, id: &InstanceId) -> Result<(InstanceFacts, Demand), KmsError> {
        let facts = self.usable_instance(&caller.scope(), id).await?;
        let taken = self.catalogue.quota(id).await?.taken(None);
        Ok((facts, taken))
    }
}
