//! The service: keys, secrets, rotation, what falls due, and cryptographic operations, over catalogue and keystores.
//!
//! A use reads the catalogue, asks the keystore it names, and where that answers `Moved` (or provisionally) reads the
//! catalogue again: caches and order of events are never a basis for correctness (design §6, step 8).

mod aliases;
mod asymmetric;
mod authorization;
mod caller;
mod change_loop;
pub mod clock_watch;
mod create_key;
mod daemon_identity;
mod describe;
mod due;
mod due_keys;
mod due_secrets;
mod error;
mod import;
mod import_token;
mod instances;
mod key_changes;
mod key_versions;
mod keystores;
mod list_keys;
mod mac;
mod new_material;
mod placed;
mod policy;
mod reencryption;
mod rotators;
pub mod secrets;
mod service_keys;
mod state;
mod sweep;
mod symmetric;
mod tags;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod testing;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
mod withdrawn;
mod wording;

use std::sync::Arc;

pub use asymmetric::{Signed, Unwrapped, Wrapped};
pub use authorization::{Subject, decision_on};
pub use caller::{Acting, Caller};
pub use change_loop::By;
pub use create_key::NewKey;
pub use daemon_identity::DaemonIdentity;
pub use describe::{AutomaticRotation, KeyView};
pub use due::DueReport;
pub use error::KmsError;
pub use import::ImportParameters;
pub use import_token::WrappingAlgorithm;
pub use instances::InstanceUse;
pub use keystores::{InstanceFacts, Keystores, RegionFacts};
pub use list_keys::{KeyFilter, KeyFilters};
pub use new_material::NewMaterial;
pub use placed::AskError;
pub use policy::{check_policy, default_policy};
pub use reencryption::{Origin, Recipient};
pub use rotators::Rotators;
pub use state::state_at;
pub use symmetric::{Opened, Sealed};
pub use tags::{TagRow, Tagged, Untag};
pub use withdrawn::Withdrawn;
pub use wording::{alias_arn, key_arn, key_name, secret_arn, secret_name};

use crate::catalogue::Catalogue;
use crate::model::{Clock, Random};

/// The KMS of this deployment. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    /// Metadata.
    pub catalogue: Catalogue,
    /// Material: the shared keystore of each region, and the instances.
    pub keystores: Arc<Keystores>,
    /// What changes credentials of managed secrets where they live.
    pub rotators: Arc<Rotators>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// Names this process in intents and leases: new at each start.
    pub worker: Arc<str>,
}
