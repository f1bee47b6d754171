//! `job report --html`: one page that needs nothing but itself. Everything that comes from outside is escaped, there is no
//! script, and the page forbids itself every request.

use super::describe::{instant, seconds};
use super::report::{group_outcome, outcome, rotates, rotates_now, steps};
use super::terraform;
use crate::admin::protocol::{GroupReportShape, JobShape, ReportShape};
use crate::model::{Report, counted};

/// The page; without evidence (an older daemon) it has the job alone.
pub(super) fn page(report: &ReportShape) -> String {
    let title = text(&format!("Migration report {}", report.job.id));
    document(&title, &format!("<h1>{title}</h1>\n{}", section(report)))
}

/// The page of a group: what it adds up to, then each account's report.
pub(super) fn group_page(group: &GroupReportShape) -> String {
    let title = text(&format!("Migration report of group {}", group.group));
    let when = |at: Option<&str>| at.map_or_else(|| "-".to_owned(), instant);
    let mut body = format!("<h1>{title}</h1>\n<table>\n");
    for (what, value) in [
        ("Jobs", group_outcome(group)),
        ("Moved", format!("{}, {}", counted(group.keys_moved, "key"), counted(group.secrets_moved, "secret"))),
        ("Left behind", group.left_behind.to_string()),
        ("Started, finished", format!("{}, {}", when(group.started_at.as_deref()), when(group.finished_at.as_deref()))),
    ] {
        body += &format!("<tr><th scope=\"row\">{what}</th><td>{}</td></tr>\n", text(&value));
    }
    body += "</table>\n";
    let rows = group.jobs.iter().map(|report| {
        let job = &report.job;
        let failure = job.failure.as_ref().map_or_else(String::new, |f| format!("{}: {}", f.code, f.message));
        let moved = format!(
            "{} of {} keys, {} of {} secrets",
            job.keys_done, job.keys_total, job.secrets_done, job.secrets_total
        );
        row(&[&job.account, &job.id, &job.task_status, &moved, &job.left_behind.len().to_string(), &failure])
    });
    let heads = ["Account", "Job", "Status", "Moved", "Left behind", "Why not"];
    body += &table("Accounts", &heads, &rows.collect::<Vec<_>>());
    for report in &group.jobs {
        body += &format!("<h1>{}</h1>\n{}", text(&format!("Account {}", report.job.account)), section(report));
    }
    document(&title, &body)
}

fn section(report: &ReportShape) -> String {
    let mut body = facts(report);
    if let Some(evidence) = &report.evidence {
        body += &resources(evidence);
        body += &left_behind(&report.job);
        body += &rotation(evidence);
        let rows = steps(evidence).map(|(at, step)| row(&[&at, &step]));
        body += &table("Steps", &["When", "Step"], &rows.collect::<Vec<_>>());
    }
    body
}

/// `title` and `body` are HTML.
fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>"
    )
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1a1a1a;\
background:#fff}table{border-collapse:collapse;width:100%;margin:.5rem 0 2rem}th,td{text-align:left;vertical-align:top;\
padding:.3rem .6rem;border-bottom:1px solid #ddd;overflow-wrap:anywhere}th{white-space:nowrap}\
.bad{color:#a40000;font-weight:600}small{color:#555}@media print{body{margin:0}}";

/// Text as it may stand in an element or a quoted attribute (HTML Living Standard, 13.1).
fn text(plain: &str) -> String {
    let mut escaped = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

fn facts(report: &ReportShape) -> String {
    let job = &report.job;
    let when = |at: Option<&str>| at.map_or_else(|| "-".to_owned(), instant);
    let mut rows = vec![
        ("Status", format!("{} ({})", job.task_status, job.state)),
        ("Rehearsal", if job.rehearsal { "yes: everything was rolled back" } else { "no" }.to_owned()),
        ("Account, region", format!("{}, {}", job.account, job.region)),
        ("Method", job.schedule.as_ref().map_or_else(|| job.method.clone(), |s| format!("{} by {s}", job.method))),
        ("Keys", format!("{} of {}", job.keys_done, job.keys_total)),
        ("Secrets", format!("{} of {}", job.secrets_done, job.secrets_total)),
        ("Scheduled for", instant(&job.scheduled_for)),
        ("Started, finished", format!("{}, {}", when(job.started_at.as_deref()), when(job.finished_at.as_deref()))),
    ];
    if let Some(evidence) = &report.evidence {
        rows.insert(3, ("From, to", format!("{} -> {}", evidence.from, evidence.to)));
        rows.insert(4, ("Asked by", evidence.asked_by.clone().unwrap_or_else(|| "-".to_owned())));
        let blocked = evidence.blocked_millis.map_or_else(
            || "not at all, or not over".to_owned(),
            |millis| format!("{} ({millis} ms)", seconds(millis.div_ceil(1000))),
        );
        rows.push(("Management blocked", blocked));
        rows.extend(evidence.notes.iter().map(|note| ("Note", note.clone())));
    }
    if let Some(failure) = &job.failure {
        rows.push(("Failure", format!("{}: {} -> {}", failure.code, failure.message, failure.remedy)));
    }
    rows.extend(terraform::next_step(job).map(|command| ("Before the next terraform apply", command)));
    for (what, digest) in [("Plan, SHA-256", &report.plan_digest), ("Manifest, SHA-256", &report.manifest)] {
        rows.extend(digest.clone().map(|digest| (what, digest)));
    }
    let mut table = String::from("<table>\n");
    for (what, value) in rows {
        table += &format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", text(what), text(&value));
    }
    table += "</table>\n";
    match &report.signature {
        None => table + "<p><small>Not filed yet: this is how the records stood when it was printed.</small></p>\n",
        Some(signature) => {
            let altered = "<p class=\"bad\">This report was altered after it was filed.</p>\n";
            let warning = if signature.intact { "" } else { altered };
            let filed = format!(
                "Filed at {}; SHA-256 {}; Ed25519 signature {} by {}. Check it with keyferry audit verify.",
                instant(&signature.at),
                signature.digest,
                signature.signature,
                signature.signer
            );
            format!("{table}{warning}<p><small>{}</small></p>\n", text(&filed))
        }
    }
}

fn resources(report: &Report) -> String {
    let at = |instant: &Option<jiff::Timestamp>| {
        instant.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    };
    let mut rows = Vec::new();
    for resource in &report.resources {
        for (n, version) in resource.versions.iter().enumerate() {
            let first = n == 0;
            let of_first = |value: String| if first { value } else { String::new() };
            rows.push(row(&[
                &of_first(resource.resource.to_string()),
                &of_first(resource.spec.clone().unwrap_or_default()),
                &of_first(outcome(resource).to_owned()),
                &version.id,
                &at(&version.copy_proved_at),
                &at(&version.served_proved_at),
                &of_first(resource.proof.clone()),
            ]));
        }
    }
    let heads = ["Resource", "Spec", "Outcome", "Version", "Copy proved", "Proved as served", "How"];
    table(&format!("Resources ({})", report.resources.len()), &heads, &rows)
}

fn left_behind(job: &JobShape) -> String {
    let rows =
        job.left_behind.iter().map(|left| row(&[&format!("{}/{}", left.kind, left.id), &left.code, &left.message]));
    table(&format!("Left behind ({})", job.left_behind.len()), &["Resource", "Code", "Why"], &rows.collect::<Vec<_>>())
}

fn rotation(report: &Report) -> String {
    let rows = report
        .rotation
        .iter()
        .map(|rotation| row(&[&rotation.resource.to_string(), &rotates(&rotation.before), &rotates_now(rotation)]));
    let title = format!("Rotation ({})", report.rotation.len());
    table(&title, &["Resource", "Before", "After"], &rows.collect::<Vec<_>>())
}

fn table(title: &str, heads: &[&str], rows: &[String]) -> String {
    if rows.is_empty() {
        return format!("<h2>{}</h2>\n<p>None.</p>\n", text(title));
    }
    let heads: String = heads.iter().map(|head| format!("<th scope=\"col\">{}</th>", text(head))).collect();
    let title = text(title);
    format!(
        "<h2>{title}</h2>\n<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{}</tbody>\n</table>\n",
        rows.concat()
    )
}

fn row(cells: &[&str]) -> String {
    let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", text(cell))).collect();
    format!("<tr>{cells}</tr>\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::admin::protocol::{Advice, LeftShape, SignatureShape};

    const HOSTILE: &str = "\"><script src=//x></script><img src=x onerror='y'>&amp;\u{1b}[2J";

    fn hostile() -> ReportShape {
        let mut job = crate::cli::tests::job_shape("failed");
        job.schedule = Some(HOSTILE.to_owned());
        job.failure =
            Some(Advice { code: HOSTILE.to_owned(), message: HOSTILE.to_owned(), remedy: HOSTILE.to_owned() });
        job.left_behind = vec![LeftShape {
            kind: "secret".to_owned(),
            id: HOSTILE.to_owned(),
            code: HOSTILE.to_owned(),
            message: HOSTILE.to_owned(),
        }];
        let evidence = serde_json::from_value(serde_json::json!({
            "schema": 1, "job": job.id, "group": null, "state": "failed", "method": "manual", "schedule": HOSTILE,
            "rehearsal": false, "asked_by": HOSTILE, "asked_at": null,
            "scope": { "region": "cn-hangzhou", "account": "1000000000000001" }, "from": HOSTILE, "to": HOSTILE,
            "scheduled_for": "2026-12-01T02:00:00Z", "started_at": null, "finished_at": null, "locked_at": null,
            "unlocked_at": null, "blocked_millis": 1500, "failure": null,
            "resources": [{
                "kind": "secret", "id": "db/password", "spec": HOSTILE, "moved": true, "proof": HOSTILE,
                "versions": [
                    { "id": HOSTILE, "copy_proved_at": "2026-12-01T02:00:00Z", "served_proved_at": null },
                    { "id": "v2", "copy_proved_at": null, "served_proved_at": null },
                ],
            }],
            "left_behind": [], "rotation": [], "steps": [], "plan_digest": null, "manifest": null,
            "notes": [HOSTILE, "a note of the run"],
        }));
        let signature = SignatureShape {
            at: HOSTILE.to_owned(),
            digest: HOSTILE.to_owned(),
            signer: HOSTILE.to_owned(),
            signature: HOSTILE.to_owned(),
            intact: false,
        };
        ReportShape {
            job,
            keys: Vec::new(),
            secrets: Vec::new(),
            plan_digest: Some(HOSTILE.to_owned()),
            manifest: None,
            evidence: Some(evidence.unwrap()),
            signature: Some(signature),
        }
    }

    #[test]
    fn hostile_names_stay_text_and_nothing_is_loaded_from_anywhere() {
        let mut second = hostile();
        second.job.account = HOSTILE.to_owned();
        for page in [page(&hostile()), group_page(&GroupReportShape::of(HOSTILE.to_owned(), vec![hostile(), second]))] {
            stays_text(&page);
            assert!(page.contains("<td>a note of the run</td>"), "{page}");
        }
    }

    fn stays_text(page: &str) {
        // Every tag on the page is one that this file writes.
        const OURS: [&str; 19] = [
            "!DOCTYPE", "html", "head", "meta", "title", "style", "body", "h1", "h2", "table", "thead", "tbody", "tr",
            "th", "td", "p", "small", "br", "-",
        ];
        for tag in page.split('<').skip(1) {
            let name: String =
                tag.trim_start_matches('/').chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '!').collect();
            assert!(OURS.contains(&name.as_str()), "<{tag}");
        }
        for forbidden in ["<script", "<img", "src=//x>", " href=", "url(", "@import", "\u{1b}", "onerror='"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(page.contains("&lt;script src=//x&gt;") && page.contains("&amp;amp;"));
        assert!(page.contains("default-src 'none'"));
        assert!(page.contains("altered after it was filed"));
    }
}
