//! Which rotator serves which secret.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{NamePattern, Rotator};
use crate::model::{AccountId, SecretRecord, SecretType};

/// A rotator, what it serves, and how patient one is with it. The first that fits in the order of the file serves.
#[derive(Clone)]
pub struct Serving {
    /// Its name in the configuration.
    pub name: String,
    /// What it serves.
    pub rule: Rule,
    /// The rotator.
    pub rotator: Arc<dyn Rotator>,
    /// How long one try may take.
    pub timeout: Duration,
    /// The pause after the first failure; it doubles with each further one.
    pub retry_after: Duration,
    /// After so many failures the rotation is `Invalid`; it is still tried, at most an hour apart.
    pub attempts: u32,
}

/// The secrets a rotator serves; what is empty does not restrict.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// Types.
    pub types: Vec<SecretType>,
    /// Accounts.
    pub accounts: BTreeSet<AccountId>,
    /// Names.
    pub names: Vec<NamePattern>,
    /// The systems the credentials are for: `DBInstanceId` of Rds, `InstanceId` of ECS, `UserName` of RAMCredentials.
    pub targets: BTreeSet<String>,
}

impl Rule {
    /// Whether a secret is served.
    #[must_use]
    pub fn serves(&self, secret: &SecretRecord) -> bool {
        secret.secret_type != SecretType::Generic
            && (self.types.is_empty() || self.types.contains(&secret.secret_type))
            && (self.accounts.is_empty() || self.accounts.contains(&secret.account))
            && (self.names.is_empty() || self.names.iter().any(|name| name.fits(secret.name.as_str())))
            && (self.targets.is_empty() || target(secret).is_some_and(|target| self.targets.contains(&target)))
    }
}

fn target(secret: &SecretRecord) -> Option<String> {
    let member = match secret.secret_type {
        SecretType::Rds => "DBInstanceId",
        SecretType::ECS => "InstanceId",
        SecretType::RAMCredentials => "UserName",
        SecretType::Generic => return None,
    };
    let config: serde_json::Value = serde_json::from_str(&secret.extended_config).ok()?;
    config.get(member)?.as_str().map(str::to_owned)
}
