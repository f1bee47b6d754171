//! `check`.

use super::arguments::CheckArguments;
use super::client::{Answer, Client, segment};
use super::describe;
use super::outcome::{Exit, Failure};
use super::table::wrap;
use super::terminal::Terminal;
use crate::admin::protocol::{CheckShape, LeftShape, ScopeShape};
use crate::model::TaskStatus;

pub(super) async fn check(terminal: &mut Terminal, client: &Client, options: &CheckArguments) -> Result<Exit, Failure> {
    let region = segment(options.region.as_deref().unwrap_or_default());
    let account = segment(options.account.as_deref().unwrap_or_default());
    let Answer { raw, shape } = client.get::<CheckShape>(&format!("/check?region={region}&account={account}")).await?;
    if terminal.json() {
        terminal.document(&raw);
    } else {
        terminal.print(&describe::scopes(&shape.regions));
        for scope in &shape.regions {
            let stuck: &[LeftShape] = scope.not_migratable.as_deref().unwrap_or_default();
            if !stuck.is_empty() {
                terminal.print(&format!("\nCannot migrate, {}/{} ({}):", scope.account, scope.region, stuck.len()));
                terminal.print(&describe::left(stuck));
            }
        }
        terminal.print(&format!("\n{}", wrap(&next_step(&shape.regions), WIDTH).join("\n")));
    }
    let left = shape.regions.iter().any(has_left);
    Ok(if options.exit_code && left { Exit::Failed } else { Exit::Done })
}

fn has_left(scope: &ScopeShape) -> bool {
    scope.keys_not_migrated > 0 || scope.secrets_not_migrated > 0
}

/// What somebody who has read the table does.
fn next_step(scopes: &[ScopeShape]) -> String {
    if let Some(lock) = scopes.iter().find_map(|scope| scope.lock.as_ref()) {
        return format!("Next: `keyferry job watch {}` follows the job that is at work.", lock.job);
    }
    let waits = TaskStatus::Scheduled.as_str();
    match scopes.iter().find(|scope| has_left(scope) && scope.task_status != waits) {
        Some(scope) => format!(
            "Next: `keyferry plan --region {} --account {} --instance INSTANCE --all` shows what would move; \
             `keyferry instance list` has the instances.",
            scope.region, scope.account
        ),
        None if scopes.iter().any(has_left) => {
            "Next: nothing; what is left is scheduled (`keyferry schedule list`) or queued (`keyferry job list`)."
                .to_owned()
        }
        None => "Next: nothing; nothing is left that can migrate.".to_owned(),
    }
}

const WIDTH: usize = 80;
