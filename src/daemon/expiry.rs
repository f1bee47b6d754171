//! What ends, told in time: instances (contract or licence) and the certificate of the listeners.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::build::Parts;
use super::vitals::certificate_ends;
use crate::observe::{Event, Fields, emit};

/// Looks until `stop`.
pub(super) fn spawn(parts: &Arc<Parts>, tracker: &TaskTracker, stop: &CancellationToken) {
    let (parts, ended) = (Arc::clone(parts), stop.clone());
    tracker.spawn(async move {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = Told::default();
        loop {
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                _ = ticks.tick() => look(&parts, &mut told),
            }
        }
    });
}

/// A change of the configuration is seen soon.
const EVERY: Duration = Duration::from_secs(60);

/// So long before an end it is told, and how that is said; the last that fits is told, each once.
const STEPS: [(SignedDuration, &str); 4] = [
    (SignedDuration::from_hours(30 * 24), "within 30 days"),
    (SignedDuration::from_hours(7 * 24), "within 7 days"),
    (SignedDuration::from_hours(24), "within a day"),
    (SignedDuration::ZERO, "now; it has ended"),
];

/// What was told of each, by name: the end and the step.
#[derive(Default)]
struct Told(HashMap<String, (Timestamp, &'static str)>);

impl Told {
    /// What is to be told now, if anything.
    fn due(&mut self, name: &str, end: Timestamp, now: Timestamp) -> Option<&'static str> {
        let left = end.duration_since(now);
        let (_, words) = STEPS.iter().rev().find(|(step, _)| left <= *step)?;
        (self.0.insert(name.to_owned(), (end, words)) != Some((end, words))).then_some(*words)
    }
}

fn look(parts: &Parts, told: &mut Told) {
    let now = parts.service.clock.now();
    for facts in parts.service.keystores.facts().values() {
        let Some(end) = facts.expires else { continue };
        if let Some(words) = told.due(facts.id.as_str(), end, now) {
            let renewed = if facts.auto_renew { "; it is renewed automatically, so see that it was" } else { "" };
            let fields = Fields::new().instance(&facts.id).region(&facts.region).account(&facts.owner);
            let text = format!("the instance expires at {end}, {words}{renewed}");
            emit(Event::InstanceExpiring, &fields, &text);
        }
    }
    let Some(tls) = &parts.tls else { return };
    if let Some(end) = certificate_ends(&tls.certificate())
        && let Some(words) = told.due("certificate", end, now)
    {
        let text = format!("the certificate in {} ends at {end}, {words}", tls.certificate_file().display());
        emit(Event::CertificateExpiring, &Fields::new(), &text);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_told_once_and_a_new_end_again() {
        let mut told = Told::default();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let end = at("2027-03-01T00:00:00Z");
        let mut ask = |now: &str, end| told.due("x", end, at(now));
        assert_eq!(ask("2027-01-01T00:00:00Z", end), None);
        assert_eq!(ask("2027-02-01T00:00:00Z", end), Some("within 30 days"));
        assert_eq!(ask("2027-02-02T00:00:00Z", end), None);
        assert_eq!(ask("2027-02-28T12:00:00Z", end), Some("within a day"));
        assert_eq!(ask("2027-03-01T00:00:00Z", end), Some("now; it has ended"));
        assert_eq!(ask("2027-03-01T00:01:00Z", end), None);
        // Renewed, but not for long.
        assert_eq!(ask("2027-03-01T00:02:00Z", at("2027-03-05T00:00:00Z")), Some("within 7 days"));
    }
}
