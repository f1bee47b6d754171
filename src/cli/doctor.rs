//! `doctor`.

use super::client::{Answer, Client};
use super::outcome::{Exit, Failure};
use super::terminal::Terminal;
use crate::doctor::{Examination, Finding};

pub(super) async fn doctor(terminal: &mut Terminal, client: &Client) -> Result<Exit, Failure> {
    let Answer { raw, shape } = client.get::<Examination>("/doctor").await?;
    if terminal.json() {
        terminal.document(&raw);
    } else {
        terminal.print(&describe(&shape));
    }
    Ok(if shape.findings.is_empty() { Exit::Done } else { Exit::Failed })
}

fn describe(shape: &Examination) -> String {
    let seen = &shape.examined;
    let mut lines = vec![format!(
        "Examined {} keys and {} secrets; opened {} versions in the keystores.",
        seen.keys, seen.secrets, seen.records
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
