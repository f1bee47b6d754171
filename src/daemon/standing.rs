//! One line on what the daemon is at, for `systemctl status`.

use jiff::Timestamp;

use crate::config::Config;
use crate::model::{Job, JobState, Scope, WHOLE, seconds_left};

/// What is going on, in the words of an operator; `None`: nothing.
pub(super) fn standing<'a>(jobs: impl Iterator<Item = &'a Job>, config: &Config, now: Timestamp) -> Option<String> {
    let open: Vec<&Job> = jobs.filter(|job| !job.state.is_final()).collect();
    let (waiting, running): (Vec<&Job>, Vec<&Job>) = open.into_iter().partition(|job| job.state == JobState::Queued);
    let mut parts: Vec<String> = running.into_iter().map(|job| of_job(job, config, now)).collect();
    match waiting.len() {
        0 => {}
        1 => parts.push("1 job waits".to_owned()),
        more => parts.push(format!("{more} jobs wait")),
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn of_job(job: &Job, config: &Config, now: Timestamp) -> String {
    let place = place(&job.scope, config);
    if job.state == JobState::RollingBack {
        return format!("rolling back {place}");
    }
    let (done, total) =
        (job.keys_done.saturating_add(job.secrets_done), job.keys_total.saturating_add(job.secrets_total));
    let thousandths = job.state.thousandths(done, total);
    let spent = job.started_at.map(|since| now.duration_since(since).as_millis().max(0));
    let spent = spent.and_then(|millis| u64::try_from(millis).ok()).unwrap_or_default();
    let left = seconds_left(thousandths, WHOLE.saturating_sub(thousandths), spent);
    let left = left.map(|left| format!(", about {} left", roughly(left))).unwrap_or_default();
    let what = if job.rehearsal { "rehearsing" } else { "migrating" };
    format!(
        "{what} {place}: {} of {}, {} %{left} ({})",
        grouped(done),
        grouped(total),
        thousandths / 10,
        job.state.as_str()
    )
}

/// `NAME/REGION`, or the account's ID where it has no name.
fn place(scope: &Scope, config: &Config) -> String {
    let name = config.account(&scope.account).map(|account| account.name.as_str()).filter(|name| !name.is_empty());
    format!("{}/{}", name.unwrap_or(scope.account.as_str()), scope.region)
}

fn roughly(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..5400 => format!("{} min", seconds.saturating_add(30) / 60),
        _ => format!("{} h", seconds.saturating_add(1800) / 3600),
    }
}

/// `1,024`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digits.len().saturating_sub(place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config() -> Config {
        let text = "[[region]]\nid = \"cn-hangzhou\"\n[[account]]\nid = \"1000000000000001\"\nname = \"retail\"\n\
                    [[account]]\nid = \"1000000000000002\"\n";
        Config::parse(Path::new("t.toml"), text).unwrap_or_else(|problems| panic!("{problems:?}")).config
    }

    fn job(state: JobState) -> Job {
        let mut job = crate::admin::testing::job(state);
        (job.keys_done, job.keys_total, job.secrets_done, job.secrets_total) = (300, 1000, 12, 24);
        job.started_at = Some("2026-12-01T02:00:00Z".parse().unwrap());
        job
    }

    #[test]
    fn a_job_is_told_in_figures_and_nothing_is_told_of_nothing() {
        let now = "2026-12-01T02:01:00Z".parse().unwrap();
        let told = |jobs: &[Job]| standing(jobs.iter(), &config(), now);
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[job(JobState::Complete)]), None);
        let copying = job(JobState::Copying);
        let text = "migrating retail/cn-hangzhou: 312 of 1,024, 15 %, about 5 min left (copying)";
        assert_eq!(told(&[copying.clone()]).as_deref(), Some(text));
        let mut other = job(JobState::RollingBack);
        other.scope.account = "1000000000000002".parse().unwrap();
        let text = format!("{text}; rolling back 1000000000000002/cn-hangzhou; 1 job waits");
        assert_eq!(told(&[copying, other, job(JobState::Queued)]), Some(text));
    }

    #[test]
    fn numbers_and_times_are_as_people_write_them() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([5, 60, 89, 91, 5400].map(roughly), ["5 s", "1 min", "1 min", "2 min", "2 h"]);
    }
}
