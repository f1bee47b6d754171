//! JSON over a Unix socket: what the command line (and whoever may use the socket) asks of a running daemon.
//!
//! The shapes are those of the documented `--json` output; readers tolerate unknown fields. The socket's mode (0660) and
//! group are the access control; within it, rights may be given to users and groups ([`rights`]).

mod access;
pub mod audit;
mod backup;
mod clock;
mod doctor;
mod error;
mod holds;
mod instances;
mod jobs;
pub mod protocol;
mod query;
mod resources;
mod rights;
mod schedules;
mod scopes;
mod seal;
mod server;
mod socket;
mod state;
mod status;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod views;
mod vitals;
mod watch;

pub use backup::Backups;
pub use error::AdminError;
pub use seal::Seal;
pub use server::{AdminServer, Peer};
pub use socket::SocketError;
pub use state::{AccountName, State};
pub use vitals::{Vitals, routes as vitals_routes};
