//! What is, read when somebody asks: jobs, locks, what is due, what ends, how old backups are.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use crate::backup::shelf::Shelf;
use crate::catalogue::CatalogueError;
use crate::daemon::build::Parts;
use crate::model::{Job, JobState, Scope};
use crate::observe::metrics::METRICS;

/// One value and its label.
type Value = (Option<(&'static str, &'static str)>, f64);

/// Gauges by name.
#[derive(Debug, Default)]
pub(super) struct Figures(Vec<(&'static str, &'static str, Vec<Value>)>);

/// What they are made from.
struct Facts {
    jobs: Vec<Job>,
    now: Timestamp,
    /// For how long each lock is held.
    held: Vec<SignedDuration>,
    suspended: u64,
    outside: u64,
    next: Option<Timestamp>,
    expires: Option<Timestamp>,
    certificate: Option<Timestamp>,
    elsewhere: Option<Timestamp>,
    backup: Option<Timestamp>,
    silence: Duration,
    up: Duration,
}

impl Figures {
    /// Reads them.
    pub(super) async fn read(parts: &Parts) -> Result<Self, CatalogueError> {
        let catalogue = &parts.service.catalogue;
        let (now, config) = (parts.service.clock.now(), parts.config());
        let jobs = catalogue.jobs().await?;
        let runs = |job: &&crate::store::Stored<Job>| !job.state.is_final();
        let mut held = Vec::new();
        for region in &config.regions {
            for account in &config.accounts {
                let scope = Scope { region: region.id.clone(), account: account.id.clone() };
                held.extend(catalogue.gate(&scope).await?.map(|gate| now.duration_since(gate.since)));
            }
        }
        let (mut suspended, mut outside) = (0_u64, 0_u64);
        for mark in catalogue.all_marks().await? {
            let counts = jobs.iter().filter(runs).any(|job| job.id == mark.job);
            let count = if counts { &mut suspended } else { &mut outside };
            *count = count.saturating_add(1);
        }
        let schedules = parts.book.list().await.unwrap_or_default();
        let next = schedules.iter().filter_map(|schedule| schedule.next_run()).min();
        let expires = parts.service.keystores.facts().values().filter_map(|facts| facts.expires).min();
        let certificate = parts.tls.as_ref().and_then(|tls| super::certificate_ends(&tls.certificate()));
        let files = Arc::clone(&config);
        let elsewhere = tokio::task::spawn_blocking(move || super::certificate_ends_elsewhere(&files)).await;
        let shown = parts.open().remotes.into_values().filter_map(|keystore| keystore.presented_until());
        let elsewhere = elsewhere.ok().flatten().into_iter().chain(shown).min();
        let backup = config.backup.as_ref().and_then(|backup| Shelf::read(&backup.directory).ok()?.newest());
        let silence = parts.migrations.heartbeats().longest_silence();
        Ok(Self::of(&Facts {
            jobs: jobs.iter().map(|job| (**job).clone()).collect(),
            now,
            held,
            suspended,
            outside,
            next,
            expires,
            certificate,
            elsewhere,
            backup,
            silence,
            up: parts.service.clock.monotonic().saturating_sub(parts.begun),
        }))
    }

    fn of(facts: &Facts) -> Self {
        let now = facts.now;
        let mut figures = Self::default();
        figures.of_jobs(&facts.jobs, now);
        figures.add(
            "locks",
            "Scopes whose management operations a migration holds back",
            [Some(count(facts.held.len()))],
        );
        let longest = facts.held.iter().max().copied().unwrap_or_default();
        figures.add("lock_held_seconds", "Since when the oldest lock is held; 0: none is", [Some(seconds(longest))]);
        figures.add(
            "rotation_suspended",
            "Resources whose rotation a running job holds back",
            [Some(whole(facts.suspended))],
        );
        let help = "Rotation marks that no running job stands behind; they count for nothing, and there must be none";
        figures.add("rotation_suspended_outside_job", help, [Some(whole(facts.outside))]);
        let until = |at: Option<Timestamp>| [at.map(|at| seconds(at.duration_since(now)))];
        figures.add("schedule_next_seconds", "To the next scheduled run; absent: none is scheduled", until(facts.next));
        let help = "To the end of the instance that ends first; below 0: it has ended; absent: none ends";
        figures.add("instance_expiry_seconds", help, until(facts.expires));
        let help = "To the end of the API's certificate; below 0: it has ended; absent: plain HTTP";
        figures.add("certificate_expiry_seconds", help, until(facts.certificate));
        let help = "To the first end of a certificate towards an instance on another host, ours, its own or its authority's; \
                    below 0: it has ended; absent: there is none";
        figures.add("instance_certificate_expiry_seconds", help, until(facts.elsewhere));
        let age = facts.backup.map(|at| seconds(now.duration_since(at)));
        let help = "Since the newest backup of [backup]; absent: there is none, or no such table";
        figures.add("backup_age_seconds", help, [age]);
        let help =
            "Since the runner, the clock of the schedules or a job last made progress, whichever was longest ago";
        figures.add("worker_silence_seconds", help, [Some(facts.silence.as_secs_f64())]);
        let rejected = f64::from(u8::from(METRICS.config_rejected()));
        figures.add("config_rejected", "1: the configuration file as it is was rejected by a reload", [Some(rejected)]);
        let help = "Notifications that wait for their receiver";
        figures.add("notifications_waiting", help, [Some(whole(METRICS.waiting()))]);
        let help = "Memory of the process that is in use (VmRSS)";
        figures.add("resident_memory_bytes", help, [resident_memory()]);
        figures.add("uptime_seconds", "Since the start", [Some(facts.up.as_secs_f64())]);
        let version = Some(("version", env!("CARGO_PKG_VERSION")));
        figures.0.push(("build_info", "Always 1; the label tells the version", vec![(version, 1.0)]));
        figures
    }

    /// Those of jobs.
    fn of_jobs(&mut self, jobs: &[Job], now: Timestamp) {
        let by_state = JobState::ALL.iter().map(|state| {
            let many = jobs.iter().filter(|job| job.state == *state).count();
            (Some(("state", state.as_str())), count(many))
        });
        self.0.push(("jobs", "Jobs by state", by_state.collect()));
        let running: Vec<&Job> =
            jobs.iter().filter(|job| !job.state.is_final() && job.state != JobState::Queued).collect();
        let sum = |of: fn(&Job) -> u64| whole(running.iter().map(|job| of(job)).fold(0, u64::saturating_add));
        let kinds = |keys: f64, secrets: f64| vec![(Some(("kind", "key")), keys), (Some(("kind", "secret")), secrets)];
        self.0.push((
            "migration_resources_done",
            "Resources of running jobs that are through the present phase",
            kinds(sum(|job| job.keys_done), sum(|job| job.secrets_done)),
        ));
        self.0.push((
            "migration_resources_planned",
            "Resources in the plans of running jobs",
            kinds(sum(|job| job.keys_total), sum(|job| job.secrets_total)),
        ));
        let far = running.iter().map(|job| {
            let done = job.keys_done.saturating_add(job.secrets_done);
            job.state.thousandths(done, job.keys_total.saturating_add(job.secrets_total))
        });
        let far = far.min().map(|thousandths| whole(thousandths) / 1000.0);
        let help = "How far the running job is, 0 to 1; of several the one that is least far; absent: none runs";
        self.add("migration_progress_ratio", help, [far]);
        let bounded = running.iter().filter(|job| !job.state.is_past_return() && job.state != JobState::RollingBack);
        let ends = bounded.map(|job| job.window_end.duration_since(now)).min().map(seconds);
        let help =
            "To the end of the window of the job whose window ends first, before its first purge; absent: none runs";
        self.add("migration_window_remaining_seconds", help, [ends]);
    }

    /// A gauge without labels; without a value it is left out.
    fn add(&mut self, name: &'static str, help: &'static str, value: [Option<f64>; 1]) {
        self.0.push((name, help, value.into_iter().flatten().map(|value| (None, value)).collect()));
    }
}

impl Collector for Figures {
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

fn count(number: usize) -> f64 {
    whole(u64::try_from(number).unwrap_or(u64::MAX))
}

#[allow(clippy::cast_precision_loss, reason = "a figure to look at; exact up to 2^53")]
const fn whole(number: u64) -> f64 {
    number as f64
}

fn seconds(duration: SignedDuration) -> f64 {
    duration.as_secs_f64()
}

fn resident_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(whole(kibibytes.saturating_mul(1024)))
}

#[cfg(test)]
impl Figures {
    /// With a value for each.
    pub(super) fn sample() -> Self {
        let now = Timestamp::now();
        let soon = Some(now.saturating_add(SignedDuration::from_hours(5)).unwrap_or(now));
        Self::of(&Facts {
            jobs: vec![crate::admin::testing::job(JobState::Copying), crate::admin::testing::job(JobState::Complete)],
            now,
            held: vec![SignedDuration::from_secs(7), SignedDuration::from_secs(90)],
            suspended: 3,
            outside: 0,
            next: soon,
            expires: soon,
            certificate: soon,
            elsewhere: soon,
            backup: Some(now),
            silence: Duration::from_secs(1),
            up: Duration::from_secs(100),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_what_is() {
        let figures = Figures::sample();
        let value = |name: &str, label: Option<&str>| {
            let (_, _, values) = figures.0.iter().find(|(found, _, _)| *found == name)?;
            values.iter().find(|(found, _)| found.map(|(_, value)| value) == label).map(|(_, value)| *value)
        };
        assert_eq!(value("locks", None), Some(2.0));
        assert_eq!(value("lock_held_seconds", None), Some(90.0));
        assert_eq!(value("rotation_suspended_outside_job", None), Some(0.0));
        assert_eq!((value("jobs", Some("copying")), value("jobs", Some("queued"))), (Some(1.0), Some(0.0)));
        assert_eq!(value("migration_resources_planned", Some("secret")), Some(3.0));
        // One of five resources: a fifth of the 350 thousandths that copying is, behind 50.
        assert_eq!(value("migration_progress_ratio", None), Some(0.12));
        assert!(value("resident_memory_bytes", None).is_some_and(|bytes| bytes > 1_000_000.0));
        let idle = Figures::of(&facts_of_nothing());
        assert!(idle.0.iter().any(|(name, _, values)| *name == "schedule_next_seconds" && values.is_empty()));
        assert!(idle.0.iter().any(|(name, _, values)| *name == "migration_progress_ratio" && values.is_empty()));
        let certificate = "instance_certificate_expiry_seconds";
        assert!(idle.0.iter().any(|(name, _, values)| *name == certificate && values.is_empty()));
    }

    fn facts_of_nothing() -> Facts {
        Facts {
            jobs: Vec::new(),
            now: Timestamp::now(),
            held: Vec::new(),
            suspended: 0,
            outside: 0,
            next: None,
            expires: None,
            certificate: None,
            elsewhere: None,
            backup: None,
            silence: Duration::ZERO,
            up: Duration::ZERO,
        }
    }
}
