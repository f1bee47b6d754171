//! What can stand in the way of a migration, as operators' scripts know it (contract §2).

use serde::{Deserialize, Serialize};

use super::ResourceId;

macro_rules! problem_codes {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The code of a problem; the names are fixed by the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ProblemCode { $($(#[$doc])* $name,)* }

        impl ProblemCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in JSON and logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

problem_codes! {
    /// The target's kind does not take keys of this spec.
    UnsupportedKeySpec,
    /// The key is not protected by software.
    UnsupportedProtectionLevel,
    /// The target's kind takes this spec with one version only.
    MultiVersionNotSupported,
    /// A rotating key does not go into hardware.
    RotationNotSupported,
    /// Service keys stay in the shared KMS.
    ServiceKey,
    /// An EXTERNAL key without material: nothing to move.
    NoKeyMaterial,
    /// The key that encrypts the secret neither comes along nor is already there.
    SecretKeyNotIncluded,
    /// A secret under this key does not come along.
    KeyHasSecretsLeftBehind,
    /// The instance's quota is too small.
    QuotaExceeded,
    /// The target has too little space.
    InsufficientSpace,
    /// The target already holds a resource of this name.
    NameConflict,
    /// More than 50 keys or 50 secrets were picked.
    TooManySelected,
    /// No such resource in this account and region.
    ResourceNotFound,
    /// It is already in an instance.
    AlreadyMigrated,
    /// The instance is in another region.
    RegionMismatch,
    /// No such instance.
    InstanceNotFound,
    /// The instance cannot be reached or is not active.
    InstanceNotActive,
    /// The instance expires soon and nobody renews it.
    InstanceExpiring,
    /// The instance is neither the account's own nor shared with it.
    InstanceNotShared,
    /// The target's identity is not the pinned one.
    IdentityMismatch,
    /// Another job holds the scope or the instance.
    ScopeLocked,
    /// An operator holds migrations here.
    Held,
    /// The present instant is outside the allowed hours.
    OutsideAllowedHours,
    /// The window has ended.
    WindowEnded,
    /// A warning: nobody has said that the Terraform configuration was looked after.
    TerraformUnchecked,
}

impl std::fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One problem, with the resource it concerns (none: the whole run) and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The resource, or `None` when it is about the run.
    #[serde(flatten)]
    pub resource: Option<ResourceId>,
    /// Code.
    pub code: ProblemCode,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}
