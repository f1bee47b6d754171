//! What was counted, written when somebody asks. In two parts: an instance's own process has neither API nor notifier.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Unit;

use super::{Count, METRICS, ServedBy, latency};

/// Writes what the API and the notifier count, with these names of operations in the order of their places.
#[derive(Debug)]
pub struct Counted(pub Vec<&'static str>);

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let requests = self.0.iter().zip(&METRICS.requests).flat_map(|(operation, kinds)| {
            let kinds = ServedBy::ALL.iter().zip(kinds);
            kinds.map(|(kind, latency)| ([("operation", *operation), ("keystore", kind.as_str())], latency))
        });
        let text = "Operations of the API, by operation and by the kind of keystore that served them";
        latency::encode_family(&mut encoder, ("request_duration", text), requests)?;
        counters(
            &mut encoder,
            [
                (
                    "operations_refused",
                    "Management operations refused while a migration holds their scope",
                    &METRICS.refused,
                ),
                ("requests_throttled", "Requests beyond an account's rate", &METRICS.throttled),
                ("requests_denied", "Requests denied: signature, access key or rights", &METRICS.denied),
                ("requests_failed", "Requests that failed inside", &METRICS.failed),
                ("notifications_delivered", "Notifications that reached their receiver", &METRICS.notified),
                ("notifications_undelivered", "Notifications that were given up", &METRICS.undelivered),
                ("notification_retries", "Deliveries that failed and are tried again", &METRICS.notify_retries),
            ],
        )
    }
}

/// Writes what stores and keystores count: the keystores of these kinds.
#[derive(Debug)]
pub struct KeystoresCounted(pub Vec<ServedBy>);

impl Collector for KeystoresCounted {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        for (name, help, latency) in [
            (
                "store_commit_duration",
                "From the hand-over of a transaction to its durable answer, waiting included",
                &METRICS.store_commit,
            ),
            ("store_sync_duration", "Making a group of transactions durable", &METRICS.store_sync),
        ] {
            latency.encode(encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?)?;
        }
        let help = "Calls that a keystore could not serve (token, driver, host, store), by kind";
        let mut family = encoder.encode_descriptor("keystore_errors", help, None, MetricType::Counter)?;
        for kind in &self.0 {
            let Some(count) = METRICS.keystore_errors_of(*kind) else { continue };
            let labels = [("keystore", kind.as_str())];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count.get(), None)?;
        }
        let help = "Commits refused by the store, or of unknown outcome";
        counters(&mut encoder, [("store_errors", help, &METRICS.store_errors)])
    }
}

fn counters<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    counts: [(&str, &str, &Count); N],
) -> std::fmt::Result {
    for (name, help, count) in counts {
        let counter = ConstCounter::new(count.get());
        counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
    }
    Ok(())
}
