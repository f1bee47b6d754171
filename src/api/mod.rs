//! The KMS OpenAPI (2016-01-20) over HTTP: who is asking, what for, and how it is answered.
//!
//! A request goes [`server`] -> [`gateway`] (decode, authenticate, nonce, version, action, region, rate) -> [`Dispatcher`],
//! which knows the operations: one function and one table row each.

pub mod actions;
pub mod client;
pub mod encoding;
mod error;
pub mod gateway;
pub mod nonces;
pub mod operations;
mod parameters;
mod regions;
mod remedies;
pub mod request;
pub mod request_lines;
pub mod response;
pub mod server;
#[cfg(test)]
mod server_tests;
pub mod signature;
#[cfg(test)]
mod testing;
pub mod throttle;
pub mod tls;
mod xml;

use async_trait::async_trait;
use serde_json::Value;

pub use actions::{Action, Plane};
pub use error::ApiError;
pub use parameters::{Filters, MAX_TAG_CHARACTERS, Paging, Parameters};
pub use regions::Regions;

pub use crate::kms::Caller;

/// An authenticated request for a known operation.
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    /// What for.
    pub action: &'static Action,
    /// With which parameters; the common ones (Action, Version, …) are among them.
    pub parameters: Parameters,
}

/// The operations behind the gateway.
#[async_trait]
pub trait Dispatcher: Send + Sync + 'static {
    /// Runs an operation and returns its response object without `RequestId`. It runs to its end also when the client
    /// has gone. A known action that is not implemented answers [`ApiError::unsupported_operation`].
    ///
    /// # Errors
    /// The error that the caller is to see.
    async fn dispatch(&self, call: Call) -> Result<Value, ApiError>;
}
