//! keyferry: a KMS that speaks the Alibaba Cloud KMS OpenAPI, and the daemon that migrates keys and secrets from a
//! shared KMS into a dedicated instance without losing one.
//!
//! The rooms, from the outside in; each may use the rooms named after it, never one named before
//! (see `docs/design.md`).

// Unit tests share worlds with the tests outside, which know the crate by its name.
#[cfg(test)]
extern crate self as keyferry;

pub mod access;
pub mod admin;
pub mod api;
pub mod audit;
pub mod backup;
pub mod catalogue;
pub mod cli;
pub mod config;
pub mod crypto;
pub mod daemon;
pub mod doctor;
pub mod keystore;
pub mod kms;
pub mod migration;
pub mod model;
pub mod notify;
pub mod observe;
pub mod rotator;
pub mod schedule;
pub mod store;
pub mod terraform;
pub mod tls;
