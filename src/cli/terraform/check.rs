//! `terraform check`.

use serde::Serialize;

use super::arguments::CheckOptions;
use super::sources::{Assessed, assessed};
use super::{sarif, talk_about};
use crate::cli::client::Client;
use crate::cli::outcome::{Exit, Failure};
use crate::cli::terminal::Terminal;
use crate::model::counted;
use crate::terraform::{Assessment, Certainty, Finding, Rule};

/// The JSON document.
#[derive(Serialize)]
struct Document<'a> {
    directory: std::borrow::Cow<'a, str>,
    provider: Option<String>,
    keys_moved: usize,
    secrets_moved: usize,
    clean: bool,
    #[serde(flatten)]
    assessment: &'a Assessment,
}

pub(super) async fn check(
    terminal: &mut Terminal,
    client: impl FnOnce() -> Result<Client, Failure> + Send,
    options: &CheckOptions,
) -> Result<Exit, Failure> {
    let found = assessed(terminal, client, &options.sources).await?;
    let assessment = &found.assessment;
    if terminal.json() {
        terminal.document(&Document {
            directory: options.sources.dir.to_string_lossy(),
            provider: found.version.map(|version| version.to_string()),
            keys_moved: found.moved.keys.len(),
            secrets_moved: found.moved.secrets.len(),
            clean: assessment.is_clean(),
            assessment,
        });
    } else if options.sarif {
        talk_about(terminal, assessment);
        terminal.document(&sarif::log(assessment));
    } else {
        talk_about(terminal, assessment);
        for finding in &assessment.findings {
            terminal.print(&described(finding));
        }
        let summary = summary(&found, options.sources.plan);
        terminal.print(&summary);
    }
    Ok(if assessment.is_clean() { Exit::Done } else { Exit::Failed })
}

fn described(finding: &Finding) -> String {
    let what = match finding.rule {
        Rule::WouldBeReplaced => "would be replaced",
        Rule::WouldStopRotating => "would stop rotating",
        Rule::Undecided => "cannot be told",
    };
    let certainty = match finding.certainty {
        Certainty::Certain => " (certain)",
        Certainty::Likely => " (likely)",
        Certainty::Undecided => "",
    };
    let place = format!("{}:{}:{}", finding.file.display(), finding.line, finding.column);
    let mut lines = vec![format!("{place}: {} {what}{certainty}", finding.address)];
    lines.push(format!("    {}", finding.message));
    for dependent in &finding.dependents {
        let place = format!("{}:{}", dependent.file.display(), dependent.line);
        lines.push(format!("    {} ({place}) {}", dependent.address, dependent.effect));
    }
    lines.push(format!("    -> {}", finding.remedy));
    lines.join("\n")
}

fn summary(found: &Assessed, planned: bool) -> String {
    let assessment = &found.assessment;
    let moved = format!(
        "{} and {} {}; {} of the KMS in the configuration, data sources included",
        counted(found.moved.keys.len(), "key"),
        counted(found.moved.secrets.len(), "secret"),
        if planned { "would move" } else { "moved" },
        counted(assessment.resources.len(), "resource"),
    );
    let provider = found.version.map_or_else(
        || "provider: version not known, taken for one that replaces (--provider)".to_owned(),
        |version| format!("provider {version}"),
    );
    let findings = counted(assessment.findings.len(), "finding");
    let undecided = assessment.findings.iter().all(|finding| finding.rule == Rule::Undecided);
    let verdict = match (assessment.findings.len(), assessment.problems.len()) {
        (0, 0) => "Clean: the next apply replaces none of them.".to_owned(),
        (0, n) => format!("Nothing was found, but {} could not be read.", counted(n, "file")),
        _ if undecided => format!("{findings}: somebody has to look."),
        _ => {
            format!("{findings}. `keyferry terraform rewrite` with the same options shows the change that keeps them.")
        }
    };
    format!("{verdict}\n({moved}; {provider})")
}
