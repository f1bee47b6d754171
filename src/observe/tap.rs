//! Who wants to hear of events beside the log: whoever tells them to somebody else.

use std::sync::LazyLock;

use tokio::sync::broadcast;

use super::{Event, Fields};

/// An event as it was emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Which.
    pub event: Event,
    /// Its fields.
    pub fields: Fields,
    /// Its text.
    pub message: String,
}

/// Every event from now on, except those that come for each resource, request or moment of a job. Whoever reads too slowly
/// is told how many were lost; nobody ever waits for a reader.
#[must_use]
pub fn listen() -> broadcast::Receiver<Told> {
    TAP.subscribe()
}

pub(super) fn offer(event: Event, fields: &Fields, message: &str) {
    if event.is_single() && TAP.receiver_count() > 0 {
        // Without a receiver there is nobody to tell.
        let _ = TAP.send(Told { event, fields: fields.clone(), message: message.to_owned() });
    }
}

const REMEMBERED: usize = 1024;

static TAP: LazyLock<broadcast::Sender<Told>> = LazyLock::new(|| broadcast::Sender::new(REMEMBERED));
