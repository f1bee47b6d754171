//! `terraform rewrite`.

use serde::Serialize;

use super::arguments::{RewriteOptions, StrategyWord};
use super::sources::assessed;
use super::{failed, talk_about};
use crate::cli::client::Client;
use crate::cli::outcome::{Exit, Failure};
use crate::cli::terminal::Terminal;
use crate::model::counted;
use crate::terraform::{self, Problem, Rewrite};

/// The JSON document.
#[derive(Serialize)]
struct Document<'a> {
    strategy: &'static str,
    provider: Option<String>,
    written: bool,
    #[serde(flatten)]
    rewrite: &'a Rewrite,
    problems: &'a [Problem],
}

pub(super) async fn rewrite(
    terminal: &mut Terminal,
    client: impl FnOnce() -> Result<Client, Failure> + Send,
    options: &RewriteOptions,
) -> Result<Exit, Failure> {
    let found = assessed(terminal, client, &options.sources).await?;
    let assessment = &found.assessment;
    let rewrite = terraform::rewrite(&found.configuration, assessment, options.strategy.strategy(), found.version);
    if options.sources.plan && options.strategy == StrategyWord::InstanceId {
        terminal.talk(
            "note: before the migration the instance ID is the very difference that replaces; apply this change only \
             after it (ignore-changes may be applied before).",
        );
    }
    if options.write {
        rewrite.write().map_err(|error| failed(&error))?;
    }
    if terminal.json() {
        terminal.document(&Document {
            strategy: match options.strategy {
                StrategyWord::IgnoreChanges => "ignore-changes",
                StrategyWord::InstanceId => "instance-id",
            },
            provider: found.version.map(|version| version.to_string()),
            written: options.write,
            rewrite: &rewrite,
            problems: &assessment.problems,
        });
    } else {
        talk_about(terminal, assessment);
        tell(terminal, &rewrite, options.write);
    }
    let whole = rewrite.left.is_empty() && assessment.problems.is_empty();
    Ok(if whole { Exit::Done } else { Exit::Failed })
}

fn tell(terminal: &mut Terminal, rewrite: &Rewrite, written: bool) {
    for file in &rewrite.files {
        match &file.diff {
            _ if written => terminal.print(&format!(
                "{}: {} changed",
                file.file.display(),
                counted(file.resources.len(), "resource")
            )),
            Some(diff) => terminal.print(diff),
            None => terminal.talk(&format!(
                "{}: {} to change, not shown: a line that changes holds a secret (--write changes it)",
                file.file.display(),
                counted(file.resources.len(), "resource")
            )),
        }
    }
    for left in &rewrite.left {
        terminal.talk(&format!("left: {}:{}: {}: {}", left.file.display(), left.line, left.address, left.reason));
    }
    if written && !rewrite.files.is_empty() {
        terminal.talk("Run `terraform plan` and look for \"must be replaced\" before the next apply.");
    }
}
