//! How far a job is: phase, rate and time left, as a bar or as plain lines.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::describe::seconds;
use crate::admin::protocol::JobShape;
use crate::model::{JobState, WHOLE, seconds_left};

/// Progress of one job, as this command has seen it; of a group that of the job at work.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    job: String,
    phase: String,
    /// When the phase was first seen, and what was done of it then.
    since: Instant,
    done_then: u64,
    /// When the job was first seen at work, and how far it was then, in thousandths.
    begun: Option<(Instant, u64)>,
}

impl Progress {
    /// Draws a bar on standard error, or makes lines.
    pub(super) fn new(draws: bool) -> Self {
        let bar = draws.then(|| {
            let bar = ProgressBar::with_draw_target(Some(WHOLE), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{prefix:13} [{bar:20}] {percent:>3}%  {msg}") {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        Self { bar, job: String::new(), phase: String::new(), since: Instant::now(), done_then: 0, begun: None }
    }

    pub(super) const fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Takes the newest look at the job; answers a line where no bar is drawn.
    pub(super) fn update(&mut self, job: &JobShape) -> Option<String> {
        let now = Instant::now();
        let done = job.keys_done.saturating_add(job.secrets_done);
        let thousandths = thousandths(job);
        if job.id != self.job {
            (self.job, self.phase, self.begun) = (job.id.clone(), String::new(), None);
        }
        let (began, from) = *self.begun.get_or_insert((now, thousandths));
        if job.state != self.phase {
            (self.phase, self.since, self.done_then) = (job.state.clone(), now, done);
        }
        let rate = rate(done.saturating_sub(self.done_then), millis(self.since, now));
        let left =
            seconds_left(thousandths.saturating_sub(from), WHOLE.saturating_sub(thousandths), millis(began, now));
        let mut message =
            format!("{}/{} keys  {}/{} secrets", job.keys_done, job.keys_total, job.secrets_done, job.secrets_total);
        if let Some(rate) = rate {
            message.push_str(&format!("  {rate}/s"));
        }
        if let Some(left) = left.filter(|_| job.finished_at.is_none()) {
            message.push_str(&format!("  {} left", seconds(left)));
        }
        match &self.bar {
            Some(bar) => {
                // Of a group the bar shows who is at work.
                if job.group.is_some() {
                    message = format!("{}  {message}", job.account);
                }
                if job.group.is_none() || job.state != "queued" {
                    bar.set_prefix(job.state.clone());
                    bar.set_message(message);
                    bar.set_position(thousandths);
                }
                None
            }
            None => {
                let account = job.group.as_ref().map_or_else(String::new, |_| format!("{}  ", job.account));
                Some(format!("{}  {account}{:<13} {:>3}%  {message}", job.id, job.state, thousandths / 10))
            }
        }
    }

    /// Takes the bar off the screen.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How far a job is. A state that this release does not know is one of its ends.
pub(super) fn thousandths(job: &JobShape) -> u64 {
    let total = job.keys_total.saturating_add(job.secrets_total);
    let done = job.keys_done.saturating_add(job.secrets_done);
    let state = JobState::ALL.into_iter().find(|state| state.as_str() == job.state);
    state.map_or(WHOLE, |state| state.thousandths(done, total))
}

fn millis(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
}

/// Resources a second, once there is enough to tell.
fn rate(done: u64, millis: u64) -> Option<u64> {
    if done == 0 || millis < 200 { None } else { done.saturating_mul(1000).checked_div(millis) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::job_shape;

    #[test]
    fn a_rate_needs_something_to_go_by() {
        assert_eq!((rate(0, 5000), rate(10, 100), rate(100, 2000)), (None, None, Some(50)));
        assert_eq!(thousandths(&job_shape("complete")), WHOLE);
    }

    #[test]
    fn lines_name_the_job_and_its_phase() {
        let mut progress = Progress::new(false);
        let line = progress.update(&job_shape("copying"));
        assert!(line.is_some_and(|line| line.contains("copying") && line.contains("1/2 keys")));
    }
}
