//! Figures of this process: counted where things happen, without a lock, and written when somebody asks.
//!
//! Labels are of small fixed sets (operations of the API, kinds of keystores, outcomes): never a name of a resource, an
//! account or a job. What is not counted but is (jobs, locks, expiry dates) is read by the daemon at each scrape.

mod collectors;
mod latency;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

pub use collectors::{Counted, KeystoresCounted};
pub use latency::Latency;

/// The first word of every name.
pub const PREFIX: &str = env!("CARGO_PKG_NAME");

/// Which kind of keystore did the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServedBy {
    /// None: the catalogue alone.
    Catalogue,
    /// A shared keystore.
    Shared,
    /// A software instance.
    Software,
    /// A hardware instance (PKCS#11).
    Hardware,
    /// An instance on another host.
    Remote,
}

impl ServedBy {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Catalogue, Self::Shared, Self::Software, Self::Hardware, Self::Remote];

    /// Every kind of keystore.
    pub const KEYSTORES: [Self; 4] = [Self::Shared, Self::Software, Self::Hardware, Self::Remote];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Catalogue => "catalogue",
            Self::Shared => "shared",
            Self::Software => "software",
            Self::Hardware => "hardware",
            Self::Remote => "remote",
        }
    }
}

/// A number that only grows.
#[derive(Debug)]
pub struct Count(AtomicU64);

impl Count {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted in this process.
#[derive(Debug)]
pub struct Metrics {
    /// Requests by place in [`Metrics::OPERATIONS`] and by kind of keystore.
    requests: [[Latency; ServedBy::ALL.len()]; Metrics::OPERATIONS],
    /// From the hand-over of a transaction to its durable answer.
    pub store_commit: Latency,
    /// Making a group of transactions durable: write, flush and sync.
    pub store_sync: Latency,
    /// Calls that a keystore could not serve, by kind: [`Metrics::keystore_error`].
    keystore_errors: [Count; ServedBy::ALL.len()],
    /// Management operations refused because a migration holds their scope.
    pub refused: Count,
    /// Requests beyond an account's rate.
    pub throttled: Count,
    /// Requests denied: signature, access key, rights.
    pub denied: Count,
    /// Requests that failed inside.
    pub failed: Count,
    /// Commits whose outcome is unknown, or that the store refused.
    pub store_errors: Count,
    /// Notifications that wait, by receiver: seldom written, never by a request.
    waiting: Mutex<BTreeMap<String, u64>>,
    /// The configuration file as it is was rejected.
    config_rejected: AtomicBool,
    /// Notifications that reached their receiver.
    pub notified: Count,
    /// Notifications that were given up.
    pub undelivered: Count,
    /// Times that a notification will be tried again.
    pub notify_retries: Count,
}

/// The metrics of this process.
pub static METRICS: Metrics = Metrics {
    requests: [const { [const { Latency::new() }; ServedBy::ALL.len()] }; Metrics::OPERATIONS],
    store_commit: Latency::new(),
    store_sync: Latency::new(),
    keystore_errors: [const { Count::new() }; ServedBy::ALL.len()],
    refused: Count::new(),
    throttled: Count::new(),
    denied: Count::new(),
    failed: Count::new(),
    store_errors: Count::new(),
    waiting: Mutex::new(BTreeMap::new()),
    config_rejected: AtomicBool::new(false),
    notified: Count::new(),
    undelivered: Count::new(),
    notify_retries: Count::new(),
};

tokio::task_local! {
    static SERVED_BY: Cell<ServedBy>;
}

impl Metrics {
    /// Room for so many operations.
    pub const OPERATIONS: usize = 96;

    /// Runs an operation and counts how long it took, under the kind of keystore that [`served_by`] names inside.
    pub async fn time<T>(&self, operation: usize, work: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let timed = async {
            let done = work.await;
            (done, SERVED_BY.with(Cell::get))
        };
        let (done, kind) = SERVED_BY.scope(Cell::new(ServedBy::Catalogue), timed).await;
        if let Some(latency) = self.requests.get(operation).and_then(|kinds| kinds.get(kind as usize)) {
            latency.observe(begun.elapsed());
        }
        done
    }

    /// How many notifications wait for their receiver.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).values().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Says how many notifications wait for one receiver.
    pub fn set_waiting(&self, receiver: &str, waiting: u64) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(receiver.to_owned(), waiting);
    }

    /// The receivers are others now.
    pub fn forget_waiting(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Was the configuration file as it is rejected by a reload?
    #[must_use]
    pub fn config_rejected(&self) -> bool {
        self.config_rejected.load(Ordering::Relaxed)
    }

    /// Says whether the last reload was rejected.
    pub fn set_config_rejected(&self, rejected: bool) {
        self.config_rejected.store(rejected, Ordering::Relaxed);
    }

    /// A keystore of this kind could not serve a call: a token, its driver or its host failed.
    pub fn keystore_error(&self, kind: ServedBy) {
        if let Some(count) = self.keystore_errors_of(kind) {
            count.inc();
        }
    }

    fn keystore_errors_of(&self, kind: ServedBy) -> Option<&Count> {
        self.keystore_errors.get(kind as usize)
    }
}

/// Names the kind of keystore that serves the present operation.
pub fn served_by(kind: ServedBy) {
    // Work of the daemon's own belongs to no operation.
    let _ = SERVED_BY.try_with(|cell| cell.set(kind));
}

/// What has been measured so far of one operation, for tests of those that measure.
#[must_use]
pub fn counted(operation: usize, kind: ServedBy) -> u64 {
    METRICS.requests.get(operation).and_then(|kinds| kinds.get(kind as usize)).map_or(0, Latency::count)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use std::time::Duration;

    use super::*;

    fn written(operations: Vec<&'static str>) -> String {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(Counted(operations)));
        registry.register_collector(Box::new(KeystoresCounted(vec![ServedBy::Hardware])));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[tokio::test]
    async fn an_operation_counts_where_it_was_served() {
        const MINE: usize = Metrics::OPERATIONS - 1;
        let mut names = vec![""; Metrics::OPERATIONS];
        if let Some(name) = names.last_mut() {
            *name = "Mine";
        }
        METRICS.time(MINE, async { served_by(ServedBy::Hardware) }).await;
        METRICS.time(MINE, async {}).await;
        // Outside of an operation it changes nothing.
        served_by(ServedBy::Remote);
        let text = written(names);
        for kind in ["hardware", "catalogue"] {
            let line = format!("keyferry_request_duration_seconds_count{{operation=\"Mine\",keystore=\"{kind}\"}} 1\n");
            assert!(text.contains(&line), "{line}{text}");
        }
        // Of other operations and of errors, other tests of this process may count some.
        assert!(!text.contains("operation=\"Mine\",keystore=\"remote\""), "{text}");
    }

    #[test]
    fn buckets_add_up() {
        let latency = Latency::new();
        for micros in [10, 60, 90, 7_000_000] {
            latency.observe(Duration::from_micros(micros));
        }
        assert_eq!(latency.count(), 4);
        METRICS.store_commit.observe(Duration::from_micros(10));
        let text = written(Vec::new());
        let of = |le: &str| {
            let head = format!("keyferry_store_commit_duration_seconds_bucket{{le=\"{le}\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&head)).unwrap().parse::<u64>();
            line.unwrap()
        };
        assert!(of("0.00005") >= 1 && of("+Inf") >= of("5.0"), "{text}");
    }

    #[test]
    fn errors_are_told_of_the_keystores_that_there_are() {
        METRICS.keystore_error(ServedBy::Hardware);
        let text = written(Vec::new());
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("keyferry_keystore_errors_total")).collect();
        let [line] = lines.as_slice() else { unreachable!("one kind was asked for: {text}") };
        let count = line.strip_prefix("keyferry_keystore_errors_total{keystore=\"hardware\"} ").unwrap();
        assert!(count.parse::<u64>().unwrap() >= 1, "{line}");
    }
}
