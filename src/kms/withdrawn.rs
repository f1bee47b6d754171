//! What a reload takes away. Nothing new begins there from before the reload makes sure that it is unused, so that this
//! stays true until it is gone; what is there is served all the same.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::model::{AccountId, Directories, InstanceId, RegionId, Scope};

/// What goes, or went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Withdrawn {
    /// Regions.
    pub regions: BTreeSet<RegionId>,
    /// Accounts.
    pub accounts: BTreeSet<AccountId>,
    /// Instances, also those that come back as another one under the same ID.
    pub instances: BTreeSet<InstanceId>,
    /// Shares of the configuration file.
    pub shares: BTreeSet<(InstanceId, AccountId)>,
    /// The resource directories that come: what they do not let, is not let any more.
    pub directories: Option<Directories>,
}

impl Withdrawn {
    /// May something be made or changed in a scope?
    #[must_use]
    pub fn is_open(&self, scope: &Scope) -> bool {
        !self.regions.contains(&scope.region) && !self.accounts.contains(&scope.account)
    }
}

/// The changes that are being put together and committed.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<TaskTracker>);

impl UnderWay {
    /// To be held from before a change looks at what is withdrawn until it is committed or given up.
    pub(super) fn begin(&self) -> TaskTrackerToken {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).token()
    }

    /// Waits until every change has ended that had begun; new ones do not wait.
    pub(super) async fn ended(&self) {
        let begun = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        begun.close();
        begun.wait().await;
    }
}
