//! `resources`.

use std::collections::BTreeMap;

use super::arguments::ResourcesArguments;
use super::client::{Answer, Client, segment};
use super::outcome::{Exit, Failure};
use super::table::Table;
use super::terminal::Terminal;
use crate::admin::protocol::{KeyShape, ResourceListShape, SecretShape};

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
    let mut places: BTreeMap<Place<'_>, (Vec<&KeyShape>, Vec<&SecretShape>)> = BTreeMap::new();
    for key in &shape.keys {
        let place = (key.region.as_str(), key.account.as_str(), key.instance.as_deref());
        places.entry(place).or_default().0.push(key);
    }
    for secret in &shape.secrets {
        let place = (secret.region.as_str(), secret.account.as_str(), secret.instance.as_deref());
        places.entry(place).or_default().1.push(secret);
    }
    if places.is_empty() {
        terminal.print("There is nothing.");
        return Ok(Exit::Done);
    }
    let parts: Vec<String> = places.iter().map(|(place, (keys, secrets))| describe(*place, keys, secrets)).collect();
    terminal.print(&parts.join("\n\n"));
    Ok(Exit::Done)
}

/// Region, account, and the instance unless it is the shared KMS.
type Place<'a> = (&'a str, &'a str, Option<&'a str>);

fn describe((region, account, instance): Place<'_>, keys: &[&KeyShape], secrets: &[&SecretShape]) -> String {
    let mut parts = vec![format!("{account}/{region}, {}", instance.unwrap_or("shared KMS"))];
    let mut table = Table::new().whole("Key").wraps("Alias").wraps("Spec and usage").wraps("State");
    for key in keys {
        let product = key.service.as_ref().map_or_else(String::new, |product| format!(" for {product}"));
        let alias = if key.alias.is_empty() { "-".to_owned() } else { key.alias.join(" ") };
        table.row([key.id.clone(), alias, format!("{} {}{product}", key.spec, key.usage), key.state.clone()]);
    }
    parts.extend((!table.is_empty()).then(|| table.render()));
    let mut table = Table::new().wraps("Secret").whole("Type").number("Versions");
    for secret in secrets {
        table.row([secret.name.clone(), secret.secret_type.clone(), secret.versions.to_string()]);
    }
    parts.extend((!table.is_empty()).then(|| table.render()));
    parts.join("\n")
}
