//! What ends at a known instant: contracts of instances, certificates. Told 30, 7 and 1 days before, and when it has ended.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::build::Parts;
use crate::admin::protocol::Advice;
use crate::config::Config;
use crate::model::InstanceId;
use crate::observe::{Event, Fields, emit};

/// So many days before the end it is told; 0: it has ended.
const STAGES: [i64; 4] = [0, 1, 7, 30];

/// How often it is looked.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Something with an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    what: String,
    event: Event,
    instance: Option<InstanceId>,
    expires: Result<Option<Timestamp>, String>,
    renews: bool,
}

impl Term {
    /// The contract of an instance.
    pub(super) fn of_instance(id: &InstanceId, expires: Option<Timestamp>, renews: bool) -> Self {
        let (what, instance) = (format!("the contract of {id}"), Some(id.clone()));
        Self { what, event: Event::InstanceExpiring, instance, expires: Ok(expires), renews }
    }

    /// The certificate of `whose`, read from its file.
    pub(super) fn of_certificate(whose: &str, path: &Path) -> Self {
        let expires = crate::tls::expires(path).map(Some).map_err(|error| error.to_string());
        let what = format!("the certificate of {whose} ({})", path.display());
        Self { what, event: Event::CertificateExpiring, instance: None, expires, renews: false }
    }

    /// The certificate that an instance on another host presented.
    fn presented(id: &InstanceId, end: Timestamp) -> Self {
        let (what, event) = (format!("the certificate that {id} presents"), Event::CertificateExpiring);
        Self { what, event, instance: Some(id.clone()), expires: Ok(Some(end)), renews: false }
    }

    fn concerning(mut self, id: &InstanceId) -> Self {
        self.instance = Some(id.clone());
        self
    }

    /// The last of the stages that has come.
    fn stage(&self, now: Timestamp) -> Option<i64> {
        let left = self.expires.as_ref().ok().copied().flatten()?.duration_since(now);
        STAGES.into_iter().find(|days| left <= SignedDuration::from_hours(days.saturating_mul(24)))
    }

    fn text(&self, now: Timestamp) -> String {
        let end = self.expires.as_ref().ok().copied().flatten().unwrap_or(Timestamp::MAX);
        let renewed = if self.renews { "; it is renewed automatically, so check that it was" } else { "" };
        let verb = if end <= now { "has ended at" } else { "ends at" };
        format!("{} {verb} {end}{renewed}", self.what)
    }
}

/// Remembers what was told, so that it is told once a stage.
#[derive(Default)]
pub(super) struct Watch {
    told: Mutex<BTreeMap<String, (Timestamp, i64)>>,
}

impl Watch {
    /// Tells in the log that a stage has come.
    pub(super) fn tell(&self, now: Timestamp, term: &Term) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(stage), Ok(Some(end))) = (term.stage(now), &term.expires) else {
            told.remove(&term.what);
            return;
        };
        if told.insert(term.what.clone(), (*end, stage)) == Some((*end, stage)) {
            return;
        }
        let mut fields = Fields::new();
        if let Some(id) = &term.instance {
            fields = fields.instance(id);
        }
        emit(term.event, &fields, &term.text(now));
    }
}

/// Everything of a configuration that ends.
pub(super) fn terms(config: &Config) -> Vec<Term> {
    let mut terms: Vec<Term> =
        config.instances.iter().map(|i| Term::of_instance(&i.id, i.expires, i.auto_renew)).collect();
    if let Some(tls) = &config.api.tls {
        terms.push(Term::of_certificate("the API", &tls.certificate));
    }
    for instance in &config.instances {
        if let Some(remote) = &instance.remote {
            let whose = format!("the gateway towards {}", instance.id);
            terms.push(Term::of_certificate(&whose, &remote.certificate).concerning(&instance.id));
            let whose = format!("the authority of {}", instance.id);
            terms.push(Term::of_certificate(&whose, &remote.ca).concerning(&instance.id));
        }
    }
    terms
}

/// What `status` says of certificates; of contracts it speaks itself.
fn advice(now: Timestamp, terms: &[Term]) -> Vec<Advice> {
    let certificates = terms.iter().filter(|term| term.event == Event::CertificateExpiring);
    let shown = certificates.filter_map(|term| match &term.expires {
        Ok(_) => term.stage(now).map(|_| Advice {
            code: "CertificateExpiring".to_owned(),
            message: term.text(now),
            remedy: "put a new certificate in its place and reload (SIGHUP)".to_owned(),
        }),
        Err(error) => Some(Advice {
            code: "CertificateUnreadable".to_owned(),
            message: format!("{}: {error}", term.what),
            remedy: "put the file right and reload (SIGHUP)".to_owned(),
        }),
    });
    shown.collect()
}

/// Looks once: tells in the log what is new, and hands `status` what stands.
pub(super) async fn look(parts: &Parts, watch: &Watch) {
    let (config, now) = (parts.config(), parts.service.clock.now());
    // Files are read.
    let found = tokio::task::spawn_blocking(move || terms(&config)).await;
    let Ok(mut found) = found else { return };
    let elsewhere = parts.open().remotes;
    found.extend(elsewhere.iter().filter_map(|(id, keystore)| Some(Term::presented(id, keystore.presented_until()?))));
    found.iter().for_each(|term| watch.tell(now, term));
    parts.admin.set_notices(advice(now, &found));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_is_told_once_and_again_after_a_renewal() {
        let end: Timestamp = "2027-01-31T00:00:00Z".parse().unwrap();
        let term = |end| Term::of_instance(&"kst-1".parse().unwrap(), Some(end), false);
        let before =
            |days: i64, seconds: i64| end - SignedDuration::from_hours(days * 24) + SignedDuration::from_secs(seconds);
        let rows = [
            (before(30, -1), None),
            (before(30, 0), Some(30)),
            (before(8, 0), Some(30)),
            (before(7, 1), Some(7)),
            (before(1, 0), Some(1)),
            (before(0, -1), Some(1)),
            (end, Some(0)),
        ];
        for (now, stage) in rows {
            assert_eq!(term(end).stage(now), stage, "{now}");
        }
        let watch = Watch::default();
        let told = |watch: &Watch| watch.told.lock().unwrap().clone();
        watch.tell(before(31, 0), &term(end));
        assert!(told(&watch).is_empty());
        watch.tell(before(20, 0), &term(end));
        let first = told(&watch);
        watch.tell(before(19, 0), &term(end));
        assert_eq!(told(&watch), first);
        watch.tell(before(6, 0), &term(end));
        assert_ne!(told(&watch), first);
        watch.tell(before(6, 0), &term(end + SignedDuration::from_hours(24 * 365)));
        assert!(told(&watch).is_empty());
        assert!(term(end).text(end).contains("has ended"));
    }

    #[test]
    fn an_unreadable_certificate_is_a_warning_too() {
        let lost = Term::of_certificate("the API", Path::new("/nowhere/tls.pem"));
        let shown = advice(Timestamp::now(), &[lost]);
        let shown = shown.first().unwrap();
        assert!(shown.code == "CertificateUnreadable" && shown.message.contains("/nowhere/tls.pem"));
    }
}
