//! The service: keys, secrets, rotation, what falls due, and cryptographic operations, over catalogue and keystores.
//!
//! A use reads the catalogue, asks the keystore it names, and where that answers `Moved` (or provisionally) reads the
//! catalogue again: caches and order of events are never a basis for correctness (design §6, step 8).

mod caller;
mod change_loop;
mod error;
mod keystores;
mod placed;
pub mod secrets;

use std::sync::Arc;

pub use caller::Caller;
pub use error::KmsError;
pub use keystores::{InstanceFacts, Keystores, RegionFacts};
pub use placed::AskError;

use crate::catalogue::Catalogue;
use crate::model::{Clock, Random};

/// The KMS of this deployment. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    /// Metadata.
    pub catalogue: Catalogue,
    /// Material: the shared keystore of each region, and the instances.
    pub keystores: Arc<Keystores>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// Names this process in intents and leases: new at each start.
    pub worker: Arc<str>,
}
