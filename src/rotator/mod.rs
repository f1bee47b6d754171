//! Rotators: what changes a credential where it lives, at the request of the service.
//!
//! A rotator is handed the new value, which is stored already, and answers when the outside takes it. It may be asked
//! again with the same rotation, after any crash: asking twice must do what asking once does. Adding a kind: one file
//! here, one arm in `config` and in `daemon::facts`.

mod names;
mod postgresql;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod postgresql_tests;
mod postgresql_tls;
mod serving;
mod webhook;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod webhook_tests;

use async_trait::async_trait;
use jiff::Timestamp;
use thiserror::Error;
use zeroize::Zeroizing;

pub use names::{NamePattern, NamePatternError};
pub use postgresql::{Postgresql, PostgresqlSettings};
pub use serving::{Rule, Serving};
pub use webhook::{Webhook, WebhookSettings, signature};

use crate::model::{Scope, SecretName, SecretType, SecretVersionId};

/// What is to become valid. No `Debug`: it carries the value.
pub struct Order {
    /// The same for every try of a rotation.
    pub rotation: String,
    /// Where the secret is.
    pub scope: Scope,
    /// The secret.
    pub secret: SecretName,
    /// Its type.
    pub secret_type: SecretType,
    /// The version that holds the new value.
    pub version: SecretVersionId,
    /// The secret's extended configuration, a JSON object as text: which database, machine or user it is about.
    pub extended_config: String,
    /// The new value, a JSON object as it will be read.
    pub value: Zeroizing<Vec<u8>>,
    /// The access key that goes out of use (RAMCredentials).
    pub retires: Option<String>,
    /// Now.
    pub at: Timestamp,
}

/// Why the new value is not known to be valid. Texts name no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RotatorError {
    /// Nothing has changed: it was refused, or never arrived.
    #[error("{0}")]
    Unchanged(String),
    /// It may have changed: no answer, or one that says nothing.
    #[error("{0}")]
    Unsure(String),
}

/// Changes credentials of one kind of system.
#[async_trait]
pub trait Rotator: Send + Sync {
    /// Makes the new value valid where the credential lives. Idempotent by [`Order::rotation`].
    async fn rotate(&self, order: &Order) -> Result<(), RotatorError>;
}
