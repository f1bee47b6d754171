//! What is, read when somebody asks: jobs, locks, what is due, what ends, how old backups are.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::gauges::{Gauges, count, seconds, until, whole};
use crate::backup::shelf::Shelf;
use crate::catalogue::CatalogueError;
use crate::daemon::build::Parts;
use crate::model::{Job, JobState, Scope};
use crate::observe::metrics::METRICS;

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

/// Reads them.
pub(super) async fn read(parts: &Parts) -> Result<Gauges, CatalogueError> {
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
    Ok(of(&Facts {
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

fn of(facts: &Facts) -> Gauges {
    let now = facts.now;
    let mut figures = Gauges::default();
    of_jobs(&mut figures, &facts.jobs, now);
    figures.add("locks", "Scopes whose management operations a migration holds back", Some(count(facts.held.len())));
    let longest = facts.held.iter().max().copied().unwrap_or_default();
    figures.add("lock_held_seconds", "Since when the oldest lock is held; 0: none is", Some(seconds(longest)));
    figures.add(
        "rotation_suspended",
        "Resources whose rotation a running job holds back",
        Some(whole(facts.suspended)),
    );
    let help = "Rotation marks that no running job stands behind; they count for nothing, and there must be none";
    figures.add("rotation_suspended_outside_job", help, Some(whole(facts.outside)));
    figures.add(
        "schedule_next_seconds",
        "To the next scheduled run; absent: none is scheduled",
        until(now, facts.next),
    );
    figures.of_ends(now, facts.expires, facts.certificate);
    let help = "To the first end of a certificate towards an instance on another host, ours, its own or its authority's; \
                below 0: it has ended; absent: there is none";
    figures.add("instance_certificate_expiry_seconds", help, until(now, facts.elsewhere));
    let age = facts.backup.map(|at| seconds(now.duration_since(at)));
    let help = "Since the newest backup of [backup]; absent: there is none, or no such table";
    figures.add("backup_age_seconds", help, age);
    let help = "Notifications that wait for their receiver";
    figures.add("notifications_waiting", help, Some(whole(METRICS.waiting())));
    figures.of_process(facts.silence, facts.up);
    figures
}

/// Those of jobs.
fn of_jobs(figures: &mut Gauges, jobs: &[Job], now: Timestamp) {
    let by_state = JobState::ALL.iter().map(|state| {
        let many = jobs.iter().filter(|job| job.state == *state).count();
        (Some(("state", state.as_str())), count(many))
    });
    figures.family("jobs", "Jobs by state", by_state.collect());
    let running: Vec<&Job> = jobs.iter().filter(|job| !job.state.is_final() && job.state != JobState::Queued).collect();
    let sum = |of: fn(&Job) -> u64| whole(running.iter().map(|job| of(job)).fold(0, u64::saturating_add));
    let kinds = |keys: f64, secrets: f64| vec![(Some(("kind", "key")), keys), (Some(("kind", "secret")), secrets)];
    figures.family(
        "migration_resources_done",
        "Resources of running jobs that are through the present phase",
        kinds(sum(|job| job.keys_done), sum(|job| job.secrets_done)),
    );
    figures.family(
        "migration_resources_planned",
        "Resources in the plans of running jobs",
        kinds(sum(|job| job.keys_total), sum(|job| job.secrets_total)),
    );
    let far = running.iter().map(|job| {
        let done = job.keys_done.saturating_add(job.secrets_done);
        job.state.thousandths(done, job.keys_total.saturating_add(job.secrets_total))
    });
    let far = far.min().map(|thousandths| whole(thousandths) / 1000.0);
    let help = "How far the running job is, 0 to 1; of several the one that is least far; absent: none runs";
    figures.add("migration_progress_ratio", help, far);
    let bounded = running.iter().filter(|job| !job.state.is_past_return() && job.state != JobState::RollingBack);
    let ends = bounded.map(|job| job.window_end.duration_since(now)).min().map(seconds);
    let help = "To the end of the window of the job whose window ends first, before its first purge; absent: none runs";
    figures.add("migration_window_remaining_seconds", help, ends);
}

/// With a value for each.
#[cfg(test)]
pub(super) fn sample() -> Gauges {
    let now = Timestamp::now();
    let soon = Some(now.saturating_add(SignedDuration::from_hours(5)).unwrap_or(now));
    of(&Facts {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_what_is() {
        let figures = sample();
        let value = |name, label| figures.value(name, label);
        assert_eq!(value("locks", None), Some(2.0));
        assert_eq!(value("lock_held_seconds", None), Some(90.0));
        assert_eq!(value("rotation_suspended_outside_job", None), Some(0.0));
        assert_eq!((value("jobs", Some("copying")), value("jobs", Some("queued"))), (Some(1.0), Some(0.0)));
        assert_eq!(value("migration_resources_planned", Some("secret")), Some(3.0));
        // One of five resources: a fifth of the 350 thousandths that copying is, behind 50.
        assert_eq!(value("migration_progress_ratio", None), Some(0.12));
        assert!(value("resident_memory_bytes", None).is_some_and(|bytes| bytes > 1_000_000.0));
        let idle = of(&facts_of_nothing());
        for name in [
            "schedule_next_seconds",
            "migration_progress_ratio",
            "instance_expiry_seconds",
            "certificate_expiry_seconds",
            "instance_certificate_expiry_seconds",
        ] {
            assert!(idle.is_absent(name), "{name}");
        }
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
