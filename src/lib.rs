//! keyferry: a KMS that speaks the Alibaba Cloud KMS OpenAPI, and the daemon that migrates keys and secrets from a
//! shared KMS into a dedicated instance without losing one.
//!
//! The rooms, from the outside in; each may use the rooms named after it, never one named before
//! (see `docs/design.md`).

pub mod crypto;
pub mod keystore;
pub mod model;
pub mod store;
