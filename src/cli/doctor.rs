//! `doctor`.

use super::client::{Answer, Client};
use super::outcome::{Exit, Failure};
use super::terminal::Terminal;
use crate::doctor::{Examination, Finding, Treatment};
use crate::model::counted;

pub(super) async fn doctor(terminal: &mut Terminal, client: &Client, repair: bool) -> Result<Exit, Failure> {
    let (raw, repaired, examination) = if repair {
        let Answer { raw, shape } = client.post::<Treatment>("/doctor", &()).await?;
        (raw, shape.repaired, shape.examination)
    } else {
        let Answer { raw, shape } = client.get::<Examination>("/doctor").await?;
        (raw, Vec::new(), shape)
    };
    if terminal.json() {
        terminal.document(&raw);
    } else {
        let mut lines: Vec<String> = repaired
            .iter()
            .flat_map(|one| [format!("Repaired: {}: {}", one.subject, one.done), format!("  -> {}", one.remedy)])
            .collect();
        lines.push(describe(&examination));
        terminal.print(&lines.join("\n"));
    }
    Ok(if examination.findings.is_empty() { Exit::Done } else { Exit::Failed })
}

fn describe(shape: &Examination) -> String {
    let seen = &shape.examined;
    let mut lines = vec![format!(
        "Examined {} and {}; opened {} in the keystores.",
        counted(seen.keys, "key"),
        counted(seen.secrets, "secret"),
        counted(seen.records, "version")
    )];
    if shape.findings.is_empty() {
        lines.push("Nothing is wrong.".to_owned());
    }
    for finding in &shape.findings {
        lines.push(format!("{:?}: {}{}", finding.code, subject(finding), finding.message));
        lines.push(format!("  -> {}", finding.remedy));
    }
    lines.join("\n")
}

fn subject(finding: &Finding) -> String {
    let parts = [&finding.kind, &finding.id, &finding.account, &finding.region, &finding.keystore];
    let known: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    if known.is_empty() { String::new() } else { format!("{}: ", known.join(" ")) }
}
