//! Key material in a PKCS#11 token (OASIS PKCS#11 2.40): what a hardware instance has instead of sealed material.
//!
//! Only material lies in the token: AES keys, and private keys that were made in it. Labels, states of jobs and secret
//! values stay in the instance's sealed store, whose records name token objects by a random [`ObjectId`]. Keys come in by
//! unwrapping, never in the clear, and are sensitive and not extractable from their first moment.
//!
//! A token has one owner: a thread that alone calls the module for it, since sessions used from several threads crash
//! modules in the field. Callers wait in a bounded queue and with a deadline.

mod connection;
mod deed;
mod error;
mod import;
mod module;
mod objects;
mod owner;
mod pin;
mod public;
mod token;
mod using;

pub use deed::{Deed, ObjectId};
pub use error::TokenError;
pub use import::{KekId, OfferId, TokenOffer};
pub use owner::all_have_left;
pub use pin::Pin;
pub use token::{Token, TokenAddress};
