//! Metrics and health of an instance's own process (`run --role instance`).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::gauges::Gauges;
use super::{progress, written};
use crate::admin::Vitals;
use crate::daemon::pulse;
use crate::keystore::Keystore as _;
use crate::keystore::remote::server::InstanceServer;
use crate::keystore::software::SoftwareKeystore;
use crate::model::Clock;
use crate::observe::heartbeat::Heartbeats;
use crate::observe::metrics::{KeystoresCounted, ServedBy};

/// Reads the vitals of an instance that is being served.
pub(in crate::daemon) struct InstanceVitals {
    /// What serves it.
    pub(in crate::daemon) server: Arc<InstanceServer>,
    /// What is served.
    pub(in crate::daemon) keystore: Arc<SoftwareKeystore>,
    /// When it ends, as its own file says.
    pub(in crate::daemon) expires: Option<Timestamp>,
    /// Where the store shows that it answers.
    pub(in crate::daemon) hearts: Heartbeats,
    /// The time.
    pub(in crate::daemon) clock: Arc<dyn Clock>,
    /// When the process was begun, on the monotonic clock.
    pub(in crate::daemon) begun: Duration,
    /// Cancelled once it leaves.
    pub(in crate::daemon) stop: CancellationToken,
}

#[async_trait]
impl Vitals for InstanceVitals {
    async fn metrics(&self) -> Result<String, String> {
        let facts = Facts {
            now: self.clock.now(),
            expires: self.expires,
            certificate: self.server.presented_until(),
            silence: self.hearts.longest_silence(),
            up: self.clock.monotonic().saturating_sub(self.begun),
        };
        text(&facts, self.keystore.served_by()).map_err(|error| error.to_string())
    }

    /// As the watchdog: a token that is away is no reason to begin anew, since each start tries the PIN once more.
    fn live(&self) -> Result<(), String> {
        progress(&self.hearts)
    }

    async fn ready(&self) -> Result<(), String> {
        if self.stop.is_cancelled() {
            return Err("the instance is leaving".to_owned());
        }
        match timeout(pulse::PROBE, self.keystore.readable()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(format!("the store cannot be read: {error}")),
            Err(_) => return Err(format!("the store has not answered for {} s", pulse::PROBE.as_secs())),
        }
        match self.keystore.token() {
            Some(token) => token.reachable().await.map_err(|error| format!("the token cannot be used: {error}")),
            None => Ok(()),
        }
    }
}

/// What its figures are made from.
struct Facts {
    now: Timestamp,
    expires: Option<Timestamp>,
    certificate: Option<Timestamp>,
    silence: Duration,
    up: Duration,
}

fn text(facts: &Facts, kind: ServedBy) -> Result<String, std::fmt::Error> {
    let mut figures = Gauges::default();
    figures.of_ends(facts.now, facts.expires, facts.certificate);
    figures.of_process(facts.silence, facts.up);
    written(vec![Box::new(figures), Box::new(KeystoresCounted(vec![kind]))])
}

/// All it gives, with a value for each.
#[cfg(test)]
pub(super) fn sample() -> Result<String, std::fmt::Error> {
    let now = Timestamp::now();
    let facts = Facts {
        now,
        expires: Some(now),
        certificate: Some(now),
        silence: Duration::from_secs(1),
        up: Duration::from_secs(100),
    };
    text(&facts, ServedBy::Software)
}

#[cfg(test)]
#[path = "instance_tests.rs"]
mod tests;
