//! Text that several commands share.

use jiff::Timestamp;

use super::table::{Table, wrap};
use crate::admin::protocol::{HoldShape, JobShape, LeftShape, ScopeShape};

/// An instant to the second.
pub(super) fn instant(text: &str) -> String {
    text.parse::<Timestamp>().map_or_else(|_| text.to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

pub(super) fn maybe(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

pub(super) fn maybe_instant(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), instant)
}

/// Seconds as people say them, such as `2m 05s`.
pub(super) fn seconds(total: u64) -> String {
    let (hours, minutes, seconds) = (total / 3600, total / 60 % 60, total % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m {seconds:02}s"),
        _ => format!("{hours}h {minutes:02}m"),
    }
}

/// The Migration Information table, with the locks that stand below it.
pub(super) fn scopes(scopes: &[ScopeShape]) -> String {
    if scopes.is_empty() {
        return "No region or no account is configured.".to_owned();
    }
    let mut table = Table::new()
        .whole("Region")
        .whole("Account")
        .number("Keys left")
        .number("Keys moved")
        .number("Secrets left")
        .number("Secrets moved")
        .wraps("Task Status");
    for scope in scopes {
        table.row([
            scope.region.clone(),
            scope.account.clone(),
            scope.keys_not_migrated.to_string(),
            scope.keys_migrated.to_string(),
            scope.secrets_not_migrated.to_string(),
            scope.secrets_migrated.to_string(),
            scope.task_status.clone(),
        ]);
    }
    let locks = scopes.iter().filter_map(|scope| {
        let lock = scope.lock.as_ref()?;
        Some(format!(
            "\nLocked: {}/{} by {}\n  since {}; the window ends at {}",
            scope.account,
            scope.region,
            lock.job,
            instant(&lock.since),
            instant(&lock.until)
        ))
    });
    table.render() + &locks.collect::<String>()
}

/// What stays, with reasons: two lines or more each.
pub(super) fn left(items: &[LeftShape]) -> String {
    let lines = items.iter().flat_map(|item| {
        let reason = wrap(&format!("{}: {}", item.code, item.message), 74);
        let reason = reason.into_iter().map(|line| format!("      {line}"));
        std::iter::once(format!("  {} {}", item.kind, item.id)).chain(reason)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A fact whose text may be long: its further lines stand under its first.
fn fact(name: &str, text: &str) -> Vec<String> {
    let lines = wrap(text, 69).into_iter().enumerate();
    lines.map(|(n, line)| format!("{:<11}{line}", if n == 0 { name } else { "" })).collect()
}

/// A job, one fact a line.
pub(super) fn job(job: &JobShape) -> String {
    let rehearsal = if job.rehearsal { " (rehearsal)" } else { "" };
    let mut lines = vec![
        format!("Job        {}{rehearsal}", job.id),
        format!("Status     {} ({})", job.task_status, job.state),
        format!("Scope      {}/{} -> {}", job.account, job.region, job.instance),
        format!(
            "Method     {}",
            job.schedule.as_ref().map_or_else(|| job.method.clone(), |name| format!("{} by {name}", job.method))
        ),
        format!("Keys       {} of {}", job.keys_done, job.keys_total),
        format!("Secrets    {} of {}", job.secrets_done, job.secrets_total),
        format!("Scheduled  {}", instant(&job.scheduled_for)),
        format!("Started    {}", maybe_instant(job.started_at.as_deref())),
        format!("Finished   {}", maybe_instant(job.finished_at.as_deref())),
        format!("Blocked    {}", blocked(job)),
    ];
    if let Some(group) = &job.group {
        lines.push(format!("Group      {group}"));
    }
    if let Some(approval) = &job.approval {
        let by = approval.approved_by.as_ref().map_or_else(
            || format!("waits for somebody else's `keyferry job approve {}`", job.id),
            |person| format!("given by {person}"),
        );
        lines.push(format!("Approval   asked for by {}; {by}", approval.asked_by));
    }
    if let Some(failure) = &job.failure {
        lines.extend(fact("Failure", &format!("{}: {}", failure.code, failure.message)));
        lines.extend(fact("", &format!("-> {}", failure.remedy)));
    }
    for warning in &job.warnings {
        lines.extend(fact("Warning", &super::outcome::problem_line(warning)));
    }
    if !job.left_behind.is_empty() {
        lines.push(format!("\nLeft behind ({}):", job.left_behind.len()));
        lines.push(left(&job.left_behind));
    }
    lines.join("\n")
}

/// Holds, one a line.
pub(super) fn holds(holds: &[HoldShape]) -> String {
    let line = |hold: &HoldShape| {
        let account = hold.account.as_deref().unwrap_or("every account");
        let region = hold.region.as_deref().unwrap_or("every region");
        format!("Held: {account}, {region}, since {}: {}", instant(&hold.since), hold.reason)
    };
    holds.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn blocked(job: &JobShape) -> String {
    let Some(since) = job.locked_at.as_deref() else {
        return "not at all".to_owned();
    };
    let Some(until) = job.unlocked_at.as_deref() else {
        return format!("since {}", instant(since));
    };
    let length = since.parse::<Timestamp>().ok().zip(until.parse::<Timestamp>().ok());
    match length.and_then(|(from, to)| u64::try_from(to.as_millisecond().saturating_sub(from.as_millisecond())).ok()) {
        Some(millis) => format!("{}.{:03}s ({} to {})", millis / 1000, millis % 1000, instant(since), instant(until)),
        None => format!("{} to {}", instant(since), instant(until)),
    }
}
