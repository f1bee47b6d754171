//! Gauges, and those of them that every process gives, whatever its role.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use crate::observe::metrics::METRICS;

/// One value and its label.
pub(super) type Value = (Option<(&'static str, &'static str)>, f64);

/// Gauges by name.
#[derive(Debug, Default)]
pub(super) struct Gauges(Vec<(&'static str, &'static str, Vec<Value>)>);

impl Gauges {
    /// A gauge without labels; without a value it is left out.
    pub(super) fn add(&mut self, name: &'static str, help: &'static str, value: Option<f64>) {
        self.family(name, help, value.map(|value| (None, value)).into_iter().collect());
    }

    /// A gauge with a value for each label.
    pub(super) fn family(&mut self, name: &'static str, help: &'static str, values: Vec<Value>) {
        self.0.push((name, help, values));
    }

    /// When instances end, and the certificate that is presented.
    pub(super) fn of_ends(&mut self, now: Timestamp, instance: Option<Timestamp>, certificate: Option<Timestamp>) {
        let help = "To the end of the instance that ends first; below 0: it has ended; absent: none ends";
        self.add("instance_expiry_seconds", help, until(now, instance));
        let help = "To the end of the certificate that the API, or the listener of an instance's own process, \
                    presents; below 0: it has ended; absent: plain HTTP";
        self.add("certificate_expiry_seconds", help, until(now, certificate));
    }

    /// What every process tells of itself: for how long the worst of its workers was silent, and how long it is up.
    pub(super) fn of_process(&mut self, silence: Duration, up: Duration) {
        let help = "Since who works last made progress, whichever was longest ago: the runner, the clock of the \
                    schedules, a job; in an instance's own process the store";
        self.add("worker_silence_seconds", help, Some(silence.as_secs_f64()));
        let rejected = f64::from(u8::from(METRICS.config_rejected()));
        self.add("config_rejected", "1: the configuration file as it is was rejected by a reload", Some(rejected));
        self.add("resident_memory_bytes", "Memory of the process that is in use (VmRSS)", resident_memory());
        self.add("uptime_seconds", "Since the start", Some(up.as_secs_f64()));
        let version = Some(("version", env!("CARGO_PKG_VERSION")));
        self.family("build_info", "Always 1; the label tells the version", vec![(version, 1.0)]);
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        for (name, help, values) in &self.0 {
            if values.is_empty() {
                continue;
            }
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (label, value) in values {
                match label {
                    Some(label) => metric.encode_family(&[*label])?.encode_gauge(value)?,
                    None => metric.encode_gauge(value)?,
                }
            }
        }
        Ok(())
    }
}

/// Seconds to an instant; below 0 once it is past.
pub(super) fn until(now: Timestamp, at: Option<Timestamp>) -> Option<f64> {
    at.map(|at| seconds(at.duration_since(now)))
}

pub(super) fn count(number: usize) -> f64 {
    whole(u64::try_from(number).unwrap_or(u64::MAX))
}

#[allow(clippy::cast_precision_loss, reason = "a figure to look at; exact up to 2^53")]
pub(super) const fn whole(number: u64) -> f64 {
    number as f64
}

pub(super) fn seconds(duration: SignedDuration) -> f64 {
    duration.as_secs_f64()
}

fn resident_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(whole(kibibytes.saturating_mul(1024)))
}

#[cfg(test)]
impl Gauges {
    /// What a gauge says, by its name and the value of its label.
    pub(super) fn value(&self, name: &str, label: Option<&str>) -> Option<f64> {
        let (_, _, values) = self.0.iter().find(|(found, _, _)| *found == name)?;
        values.iter().find(|(found, _)| found.map(|(_, value)| value) == label).map(|(_, value)| *value)
    }

    /// Whether there is such a gauge, without a value.
    pub(super) fn is_absent(&self, name: &str) -> bool {
        self.0.iter().any(|(found, _, values)| *found == name && values.is_empty())
    }
}
