//! `resources`.

use super::arguments::ResourcesArguments;
use super::client::{Answer, Client, segment};
use super::describe::maybe;
use super::outcome::{Exit, Failure};
use super::table::Table;
use super::terminal::Terminal;
use crate::admin::protocol::ResourceListShape;

pub(super) async fn resources(
    terminal: &mut Terminal,
    client: &Client,
    options: &ResourcesArguments,
) -> Result<Exit, Failure> {
    let instance = segment(options.instance.as_deref().unwrap_or_default());
    let path = format!("/resources?instance={instance}&service_keys={}", options.service_keys);
    let Answer { raw, shape } = client.get::<ResourceListShape>(&path).await?;
    if terminal.json() {
        terminal.document(&raw);
        return Ok(Exit::Done);
    }
    let mut keys = Table::new().whole("Key").wraps("Alias").wraps("Spec and usage").wraps("Instance").wraps("State");
    for key in &shape.keys {
        let usage = key.service.as_ref().map_or_else(|| key.usage.clone(), |product| format!("{} for {product}", key.usage));
        keys.row([
            key.id.clone(),
            if key.alias.is_empty() { "-".to_owned() } else { key.alias.join(" ") },
            format!("{} {usage}", key.spec),
            maybe(key.instance.as_deref()),
            key.state.clone(),
        ]);
    }
    let mut secrets = Table::new().wraps("Secret").wraps("Type").number("Versions").wraps("Instance").whole("Account");
    for secret in &shape.secrets {
        secrets.row([
            secret.name.clone(),
            secret.secret_type.clone(),
            secret.versions.to_string(),
            maybe(secret.instance.as_deref()),
            secret.account.clone(),
        ]);
    }
    if keys.is_empty() && secrets.is_empty() {
        terminal.print("There is nothing.");
        return Ok(Exit::Done);
    }
    let parts: Vec<String> = [keys, secrets].iter().filter(|table| !table.is_empty()).map(Table::render).collect();
    terminal.print(&parts.join("\n\n"));
    Ok(Exit::Done)
}
