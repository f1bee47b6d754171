//! Who is calling: access keys and what a request's nonce is remembered by.
//!
//! Policies and decisions join this room later; until then an account may do everything with its own resources.

mod keys;

pub use keys::{AccessKey, AccessKeyTable, AccessKeys};
