//! Metrics and health of a running daemon or instance, and the listener they may have of their own.

mod certificate;
mod figures;
mod gauges;
mod instance;
mod listener;

use std::sync::Weak;

use async_trait::async_trait;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::build::Parts;
use super::pulse;
use crate::admin::Vitals;
use crate::api::actions;
use crate::observe::heartbeat::Heartbeats;
use crate::observe::metrics::{Counted, KeystoresCounted, PREFIX, ServedBy};

pub(super) use certificate::{ends as certificate_ends, ends_elsewhere as certificate_ends_elsewhere};
pub(super) use instance::InstanceVitals;
pub(super) use listener::{MetricsListener, serve};

use gauges::Gauges;

/// Reads the vitals; does not keep the daemon's parts from being closed.
pub(super) struct DaemonVitals(pub(super) Weak<Parts>);

#[async_trait]
impl Vitals for DaemonVitals {
    async fn metrics(&self) -> Result<String, String> {
        let parts = self.0.upgrade().ok_or(LEAVING)?;
        let figures = figures::read(&parts).await.map_err(|error| error.to_string())?;
        text(figures).map_err(|error| error.to_string())
    }

    fn live(&self) -> Result<(), String> {
        let parts = self.0.upgrade().ok_or(LEAVING)?;
        progress(parts.migrations.heartbeats())
    }

    async fn ready(&self) -> Result<(), String> {
        let parts = self.0.upgrade().ok_or(LEAVING)?;
        if parts.stop.is_cancelled() {
            return Err(LEAVING.to_owned());
        }
        if !pulse::is_readable(&parts).await {
            return Err("the control store cannot be read".to_owned());
        }
        Ok(())
    }
}

const LEAVING: &str = "the daemon is leaving";

/// Whether all who work make progress; names the first that does not.
fn progress(hearts: &Heartbeats) -> Result<(), String> {
    let stalled = hearts.stalled(pulse::patience());
    match stalled.first() {
        None => Ok(()),
        Some((name, silence)) => Err(format!("{name} has made no progress for {} s", silence.as_secs())),
    }
}

fn text(figures: Gauges) -> Result<String, std::fmt::Error> {
    let operations = actions::ALL.iter().map(|action| action.name).collect();
    written(vec![
        Box::new(figures),
        Box::new(Counted(operations)),
        Box::new(KeystoresCounted(ServedBy::KEYSTORES.to_vec())),
    ])
}

/// In the OpenMetrics text format.
fn written(collectors: Vec<Box<dyn Collector>>) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    collectors.into_iter().for_each(|collector| registry.register_collector(collector));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
#[path = "catalogue_tests.rs"]
mod tests;
