//! The audit trail: who did what to which resource and what came of it, in a form in which a later change shows.
//!
//! An [`Entry`] is put, unchained, by the very transaction that does what it records ([`Entry::put`]), under a key of its
//! own and with no compare: management transactions never conflict because of the trail. The chainer ([`Trail::chain`])
//! follows the store's changes and moves entries, in the order of their revisions, behind the head: each link is a hash
//! over the link before it, its place and its bytes. Heads are signed by the daemon's Ed25519 key and go to the log.
//!
//! What it detects ([`Trail::verify`]): with a head kept from the log, any change, deletion, reordering or truncation of
//! what lies before it; without one, any change inside the chain and anything behind the newest signed head that does not
//! follow from it. What it does not: an entry deleted in the moment between its commit and its chaining (milliseconds
//! while the daemon runs; an entry of a daemon that was killed waits for the next start), and a tail cut off together
//! with every head signed over it, which is what heads in a log elsewhere are for.

mod chain;
mod entry;
mod error;
mod head;
mod paths;
mod recording;
mod report;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
mod ticket;
mod verify;

use std::sync::Arc;

use tokio::sync::Mutex;

pub use entry::{Actor, Entry, OK};
pub use error::AuditError;
pub use head::{Head, SignedHead};
pub use paths::IDENTITY;
pub use recording::Recording;
pub use report::{SignedReport, StoredReport, read_report};
pub use ticket::Ticket;
pub use verify::{Finding, Verdict};

use crate::crypto::identity::{Identity, PublicIdentity};
use crate::model::Clock;
use crate::store::SharedStore;

/// The trail in one control store. Cheap to clone.
#[derive(Clone)]
pub struct Trail {
    store: SharedStore,
    clock: Arc<dyn Clock>,
    identity: Option<Arc<Identity>>,
    /// One at a time chains or signs in this process; against others the head's revision guards.
    writing: Arc<Mutex<()>>,
}

impl Trail {
    /// The trail in the control store. Without an identity it chains and verifies, but signs nothing.
    #[must_use]
    pub fn new(store: SharedStore, clock: Arc<dyn Clock>, identity: Option<Identity>) -> Self {
        Self { store, clock, identity: identity.map(Arc::new), writing: Arc::default() }
    }

    /// The public half of the key that signs heads and reports.
    #[must_use]
    pub fn public(&self) -> Option<PublicIdentity> {
        self.identity.as_ref().map(|identity| identity.public())
    }
}
