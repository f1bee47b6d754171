//! `status`.

use super::client::{Answer, Client};
use super::describe::{self, instant, seconds};
use super::outcome::{Exit, Failure};
use super::progress::thousandths;
use super::terminal::Terminal;
use crate::admin::protocol::{JobShape, ScopeShape, StatusShape};
use crate::model::WHOLE;

pub(super) async fn status(terminal: &mut Terminal, client: &Client) -> Result<Exit, Failure> {
    let Answer { raw, shape } = client.get::<StatusShape>("/status").await?;
    if terminal.json() {
        terminal.document(&raw);
    } else {
        let text = screen(&shape, terminal.colours());
        terminal.print(&text);
    }
    Ok(Exit::Done)
}

fn screen(status: &StatusShape, colours: bool) -> String {
    let bold = |text: &str| {
        if colours { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
    };
    let mut parts = vec![
        format!("keyferry {}, up {}", status.version, seconds(status.uptime_seconds)),
        format!("\n{}", describe::scopes(&status.scopes)),
    ];
    if let Some(job) = &status.job {
        parts.push(format!("\n{}", at_work(job, &bold)));
    }
    parts.push(String::new());
    parts.push(match &status.next {
        Some(next) => format!("Next: {} at {}", next.schedule, instant(&next.at)),
        None => "Next: nothing is scheduled".to_owned(),
    });
    let locked = |scope: &ScopeShape| scope.lock.is_some();
    if status.rotation_held > 0 || status.scopes.iter().any(locked) {
        parts.push(format!("Rotation held back: {}", status.rotation_held));
    }
    if !status.holds.is_empty() {
        parts.push(describe::holds(&status.holds));
    }
    for warning in &status.warnings {
        parts.push(format!("{} {}: {}\n  -> {}", bold("Warning"), warning.code, warning.message, warning.remedy));
    }
    parts.join("\n")
}

/// The job that runs or waits, at a glance.
fn at_work(job: &JobShape, bold: &dyn Fn(&str) -> String) -> String {
    let what = match (job.state.as_str(), job.rehearsal) {
        ("queued", _) => "Waiting",
        ("rolling_back", _) => "Rolling back",
        (_, true) => "Rehearsing",
        (_, false) => "Migrating",
    };
    let through = thousandths(job);
    let filled =
        usize::try_from(through.saturating_mul(BAR).checked_div(WHOLE).unwrap_or_default()).unwrap_or_default();
    let bar: String =
        (0..usize::try_from(BAR).unwrap_or_default()).map(|n| if n < filled { '=' } else { ' ' }).collect();
    let mut lines = vec![
        format!("{}  {}/{} -> {}", bold(what), job.account, job.region, job.instance),
        format!("  {}: {}", job.id, job.state),
    ];
    if !matches!(job.state.as_str(), "queued" | "rolling_back") {
        lines.push(format!("  [{bar}] {} %", through / 10));
        lines.push(format!(
            "  {} of {} keys, {} of {} secrets are through this phase",
            job.keys_done, job.keys_total, job.secrets_done, job.secrets_total
        ));
    }
    if let Some(end) = &job.window_end {
        lines.push(format!("  the window ends at {}", instant(end)));
    }
    lines.push(format!("  follow it: keyferry job watch {}", job.id));
    lines.join("\n")
}

const BAR: u64 = 40;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cli::tests::job_shape;

    fn status(job: Option<JobShape>) -> StatusShape {
        StatusShape {
            version: "0.1.0".to_owned(),
            uptime_seconds: 3725,
            scopes: Vec::new(),
            job,
            next: None,
            rotation_held: 0,
            holds: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_screen_is_calm_and_coloured_only_where_it_may_be() {
        let job = job_shape("copying");
        let plain = screen(&status(Some(job.clone())), false);
        assert!(!plain.contains('\u{1b}') && plain.lines().all(|line| line.chars().count() <= 80), "{plain}");
        assert!(plain.lines().count() <= 12 && plain.contains("Migrating  ") && plain.contains(" %"), "{plain}");
        assert!(plain.contains(&format!("follow it: keyferry job watch {}", job.id)), "{plain}");
        let coloured = screen(&status(Some(job)), true);
        assert!(coloured.contains("\u{1b}[1mMigrating\u{1b}[0m"), "{coloured}");
        assert!(!screen(&status(None), true).contains("follow it"));
        let waiting = screen(&status(Some(job_shape("queued"))), false);
        assert!(waiting.contains("Waiting") && !waiting.contains('['), "{waiting}");
    }
}
