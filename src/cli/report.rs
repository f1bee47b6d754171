//! `job report` as text.

use super::{describe, terraform};
use crate::admin::protocol::{GroupReportShape, JobShape, ReportShape};
use crate::model::{Report, ReportResource, ReportRotation, ResourceKind, RotationFacts, counted};

/// The report of a group as text: what it adds up to, then each account's.
pub(super) fn group_text(group: &GroupReportShape) -> String {
    let jobs: Vec<JobShape> = group.jobs.iter().map(|report| report.job.clone()).collect();
    let mut lines = vec![
        format!("Group      {} ({})", group.group, counted(jobs.len(), "account")),
        format!("Jobs       {}", group_outcome(group)),
        format!("Moved      {}, {}", counted(group.keys_moved, "key"), counted(group.secrets_moved, "secret")),
        format!("Left       {} behind", group.left_behind),
        format!("Started    {}", describe::maybe_instant(group.started_at.as_deref())),
        format!("Finished   {}", describe::maybe_instant(group.finished_at.as_deref())),
        String::new(),
        super::jobs::list(&jobs),
    ];
    lines.extend(group.jobs.iter().map(|report| format!("\n{}\n{}", "=".repeat(72), text(report))));
    lines.join("\n")
}

/// How the jobs of a group stand, in words.
pub(super) fn group_outcome(group: &GroupReportShape) -> String {
    let mut parts = vec![format!("{} done", group.jobs_done)];
    for (count, what) in
        [(group.jobs_refused, "refused by preflight"), (group.jobs_failed, "failed"), (group.jobs_left, "not ended")]
    {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    parts.join(", ")
}

/// The report as text.
pub(super) fn text(report: &ReportShape) -> String {
    let mut lines = vec![describe::job(&report.job)];
    if let Some(command) = terraform::next_step(&report.job) {
        lines.push(format!("Next       {command}"));
        lines
            .push("           before the next `terraform apply` of a configuration that manages what moved".to_owned());
    }
    for (what, digest) in [("Plan", &report.plan_digest), ("Manifest", &report.manifest)] {
        if let Some(digest) = digest {
            lines.push(format!("{what:<10} SHA-256 {digest}"));
        }
    }
    let Some(evidence) = &report.evidence else {
        return lines.join("\n");
    };
    if let Some(by) = &evidence.asked_by {
        lines.push(format!("Asked by   {by}"));
    }
    lines.push(format!("From       {}", evidence.from));
    lines.push(format!("To         {}", evidence.to));
    match &report.signature {
        Some(signature) => {
            let altered = if signature.intact { "" } else { " - ALTERED AFTER IT WAS FILED" };
            lines.push(format!("Filed      {}{altered}", describe::instant(&signature.at)));
            lines.push(format!("           SHA-256 {}", signature.digest));
            lines.push(format!("Signed by  {}", signature.signer));
        }
        None => lines.push("Filed      not yet: as the records are now".to_owned()),
    }
    lines.extend(evidence.notes.iter().map(|note| format!("Note       {note}")));
    for (what, kind) in [("Keys", ResourceKind::Key), ("Secrets", ResourceKind::Secret)] {
        let found: Vec<String> =
            evidence.resources.iter().filter(|item| item.resource.kind() == kind).map(resource).collect();
        lines.push(format!("\n{what} of the plan ({}):", found.len()));
        lines.extend(found);
    }
    if !evidence.rotation.is_empty() {
        lines.push(format!("\nRotation, before and after ({}):", evidence.rotation.len()));
        lines.extend(evidence.rotation.iter().map(rotation));
    }
    lines.push("\nSteps:".to_owned());
    lines.extend(steps(evidence).map(|(at, step)| format!("  {at} {step}")));
    lines.join("\n")
}

/// Instants and steps.
pub(super) fn steps(report: &Report) -> impl Iterator<Item = (String, String)> {
    report.steps.iter().map(|step| {
        let at = step.at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        (at, format!("{} -> {}", step.from.as_str(), step.to.as_str()))
    })
}

/// What became of a resource.
pub(super) fn outcome(resource: &ReportResource) -> &'static str {
    let proved = |served: bool| {
        !resource.versions.is_empty()
            && resource
                .versions
                .iter()
                .all(|v| if served { v.served_proved_at.is_some() } else { v.copy_proved_at.is_some() })
    };
    match (resource.moved, proved(true), proved(false)) {
        (true, true, _) => "moved, proved twice",
        (true, false, _) => "moved",
        (false, _, true) => "proved, not moved",
        (false, _, false) => "not moved",
    }
}

/// How something rotates, in words.
pub(super) fn rotates(facts: &RotationFacts) -> String {
    match (facts.enabled, facts.interval_seconds, &facts.next) {
        (false, ..) => "off".to_owned(),
        (true, interval, next) => {
            let every = interval.map_or_else(String::new, |seconds| format!(" every {} h", seconds / 3600));
            let next = next.map_or_else(String::new, |at| format!(", next {}", describe::instant(&at.to_string())));
            format!("on{every}{next}")
        }
    }
}

/// How it rotates after the job, in words.
pub(super) fn rotates_now(rotation: &ReportRotation) -> String {
    match (&rotation.after, rotation.held) {
        (None, _) => "the resource is gone".to_owned(),
        (Some(_), true) => "held back".to_owned(),
        (Some(facts), false) => rotates(facts),
    }
}

fn resource(resource: &ReportResource) -> String {
    let spec = resource.spec.as_ref().map_or_else(String::new, |spec| format!(" ({spec})"));
    let versions: Vec<&str> = resource.versions.iter().map(|version| version.id.as_str()).collect();
    format!(
        "  {}{spec}: {}\n      {}\n      versions: {}",
        resource.resource,
        outcome(resource),
        resource.proof,
        versions.join(", ")
    )
}

fn rotation(rotation: &ReportRotation) -> String {
    format!("  {}: {} -> {}", rotation.resource, rotates(&rotation.before), rotates_now(rotation))
}
