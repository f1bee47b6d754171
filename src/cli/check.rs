//! `check`.

use super::arguments::CheckArguments;
use super::client::{Answer, Client, segment};
use super::describe;
use super::outcome::{Exit, Failure};
use super::terminal::Terminal;
use crate::admin::protocol::{CheckShape, LeftShape};

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
    }
    let left = shape.regions.iter().any(|scope| scope.keys_not_migrated > 0 || scope.secrets_not_migrated > 0);
    Ok(if options.exit_code && left { Exit::Failed } else { Exit::Done })
}
