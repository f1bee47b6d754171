//! What accounts see of instances.

use std::collections::BTreeMap;

use super::{Caller, InstanceFacts, KmsError, Service};
use crate::catalogue::{CatalogueError, Change, Demand, InstanceRecord};
use crate::model::{AccountId, InstanceId, InstanceState, Scope};

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

    /// How an instance of the configuration stands.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn instance_state(&self, id: &InstanceId) -> Result<InstanceState, CatalogueError> {
        if !self.is_enabled(id).await? {
            return Ok(InstanceState::Uninitialized);
        }
        Ok(self.keystores.target(id).map_or(InstanceState::Disconnected, |target| target.state()))
    }

    /// Whether it is in use: by configuration, or because somebody has enabled it. From then on it stays so.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn is_enabled(&self, id: &InstanceId) -> Result<bool, CatalogueError> {
        let by_file = self.keystores.instance(id).is_some_and(|facts| facts.enabled);
        Ok(by_file || self.catalogue.instance(id).await?.is_some())
    }

    /// Enables an instance of the account: it has to answer, and its identity is pinned. One that is enabled stays as it is.
    ///
    /// # Errors
    /// `InstanceNotFound` for one that is not the account's own, `Migrating` while a job holds it, `InstanceState` when it
    /// does not answer as it should.
    pub async fn enable_instance(&self, caller: &Caller, id: &InstanceId) -> Result<(), KmsError> {
        let facts = self.usable_instance(&caller.scope(), id).await?;
        if facts.owner != caller.account {
            return Err(KmsError::InstanceNotFound);
        }
        self.refuse_held(id).await?;
        let target = self.keystores.target(id).ok_or(KmsError::InstanceState(InstanceState::Disconnected))?;
        if let Err(error) = target.ready().await {
            tracing::warn!(instance = %id, %error, "an instance that was to be enabled does not answer as it should");
            return Err(KmsError::InstanceState(InstanceState::Disconnected));
        }
        let found = InstanceRecord { id: id.clone(), identity: target.identity(), shared_with: Default::default() };
        let found = &found;
        self.manage(caller, |guarded| async move {
            let mut change = Change::guarded(&guarded);
            match self.catalogue.instance(id).await? {
                Some(known) if known.identity != found.identity => {
                    return Err(KmsError::InstanceState(InstanceState::Error));
                }
                Some(_) => {}
                None => {
                    change.enable_instance(found)?;
                }
            }
            Ok((change, ()))
        })
        .await
    }

    /// Management of an instance is refused while a migration into it runs.
    ///
    /// # Errors
    /// `Migrating`.
    pub async fn refuse_held(&self, id: &InstanceId) -> Result<(), KmsError> {
        match self.catalogue.instance_gate(id).await? {
            Some(gate) => Err(KmsError::Migrating(gate.refusal())),
            None => Ok(()),
        }
    }

    /// Where resources go that name no instance: the target of the account's newest completed migration, as long as it
    /// may still be used. `None`: into the shared KMS.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn default_instance(&self, scope: &Scope) -> Result<Option<InstanceId>, KmsError> {
        let Some(id) = self.catalogue.last_target(scope).await? else { return Ok(None) };
        match self.usable_instance(scope, &id).await {
            Ok(_) => Ok(Some(id)),
            Err(KmsError::InstanceNotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// An instance that the account may use and that somebody has enabled: where new resources may go.
    ///
    /// # Errors
    /// `InstanceNotFound`, or `InstanceState` for one that nobody has enabled.
    pub(super) async fn open_instance(&self, scope: &Scope, id: &InstanceId) -> Result<InstanceFacts, KmsError> {
        let facts = self.usable_instance(scope, id).await?;
        if facts.enabled || self.is_enabled(id).await? {
            return Ok(facts);
        }
        Err(KmsError::InstanceState(InstanceState::Uninitialized))
    }
}
