//! What a keystore knows of a resource besides its material: enough to rebuild a lost catalogue entry.

use serde::{Deserialize, Serialize};

use crate::model::{Incarnation, KeySpec, MaterialId, ResourceId, Scope};

/// The small sealed label kept with each resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Account and region.
    pub scope: Scope,
    /// Key ID or secret name.
    pub resource: ResourceId,
    /// The life of the resource.
    pub incarnation: Incarnation,
    /// Spec of a key; `None` for a secret.
    pub spec: Option<KeySpec>,
}

/// Where a version's material lies: inside its incarnation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The life of the resource.
    pub incarnation: Incarnation,
    /// The version.
    pub version: MaterialId,
}
