//! Metrics and health of a running daemon, and the listener they may have of their own.

mod certificate;
mod figures;
mod listener;

use std::sync::Weak;

use async_trait::async_trait;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::build::Parts;
use super::pulse;
use crate::admin::Vitals;
use crate::api::actions;
use crate::observe::metrics::{Counted, PREFIX};

pub(super) use certificate::{ends as certificate_ends, ends_elsewhere as certificate_ends_elsewhere};
pub(super) use listener::{MetricsListener, serve};

use figures::Figures;

/// Reads the vitals; does not keep the daemon's parts from being closed.
pub(super) struct DaemonVitals(pub(super) Weak<Parts>);

#[async_trait]
impl Vitals for DaemonVitals {
    async fn metrics(&self) -> Result<String, String> {
        let parts = self.0.upgrade().ok_or(LEAVING)?;
        let figures = Figures::read(&parts).await.map_err(|error| error.to_string())?;
        text(figures).map_err(|error| error.to_string())
    }

    fn live(&self) -> Result<(), String> {
        let parts = self.0.upgrade().ok_or(LEAVING)?;
        let stalled = parts.migrations.heartbeats().stalled(pulse::patience());
        match stalled.first() {
            None => Ok(()),
            Some((name, silence)) => Err(format!("{name} has made no progress for {} s", silence.as_secs())),
        }
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

fn text(figures: Figures) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(figures));
    registry.register_collector(Box::new(Counted(actions::ALL.iter().map(|action| action.name).collect())));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
#[path = "catalogue_tests.rs"]
mod tests;
