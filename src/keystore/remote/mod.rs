//! A keystore on another host: an instance that runs as a process of its own, with its own store and root key.
//!
//! [`RemoteKeystore`] is what the gateway holds, [`server`] what the instance runs; between them go the calls of `wire.rs`
//! over mutual TLS. The gateway knows the instance by the Ed25519 identity pinned in the catalogue, not by its certificate:
//! every answer is signed with it. Key material passes only as parcels, or wrapped for the instance's import key, so neither
//! process ever holds a key of the other.

mod calls;
mod client;
mod dispatch;
mod failure;
mod link;
pub mod server;
mod wire;

pub use client::{Link, RemoteKeystore, Timeouts};
pub use server::Hosted;
pub use wire::Protocols;

#[cfg(test)]
mod tests;
