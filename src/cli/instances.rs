//! `instance …`.

use super::arguments::InstanceCommand;
use super::client::{Answer, Client, segment};
use super::describe::{instant, maybe_instant};
use super::outcome::{Exit, Failure};
use super::table::Table;
use super::terminal::Terminal;
use crate::admin::protocol::{InstanceShape, InstancesShape, ShareRequest};
use crate::model::counted;

pub(super) async fn instance(
    terminal: &mut Terminal,
    client: &Client,
    command: &InstanceCommand,
) -> Result<Exit, Failure> {
    let answer = match command {
        InstanceCommand::List => {
            let Answer { raw, shape } = client.get::<InstancesShape>("/instances").await?;
            if terminal.json() {
                terminal.document(&raw);
            } else {
                terminal.print(&list(&shape));
            }
            return Ok(Exit::Done);
        }
        InstanceCommand::Show { instance } => {
            client.get::<InstanceShape>(&format!("/instances/{}", segment(instance))).await?
        }
        InstanceCommand::Share { instance, account } => change(client, instance, account, "share").await?,
        InstanceCommand::Unshare { instance, account } => change(client, instance, account, "unshare").await?,
    };
    if terminal.json() {
        terminal.document(&answer.raw);
    } else {
        terminal.print(&describe(&answer.shape));
    }
    Ok(Exit::Done)
}

async fn change(client: &Client, instance: &str, account: &str, what: &str) -> Result<Answer<InstanceShape>, Failure> {
    let path = format!("/instances/{}/{what}", segment(instance));
    client.post(&path, &ShareRequest { account: account.to_owned() }).await
}

fn list(shape: &InstancesShape) -> String {
    let mut table = Table::new()
        .whole("Instance")
        .whole("Region")
        .whole("Owner")
        .wraps("Kind")
        .wraps("Status")
        .wraps("Keys")
        .wraps("Secrets");
    for instance in &shape.instances {
        table.row([
            instance.id.clone(),
            instance.region.clone(),
            instance.owner.clone(),
            instance.kind.clone(),
            instance.status.clone(),
            format!("{}/{}", instance.keys_used, instance.key_quota),
            format!("{}/{}", instance.secrets_used, instance.secret_quota),
        ]);
    }
    if table.is_empty() { "No instance is configured.".to_owned() } else { table.render() }
}

fn describe(instance: &InstanceShape) -> String {
    let renewal = if instance.auto_renew { " (renewed automatically)" } else { "" };
    let shares: Vec<String> = instance
        .shared_with
        .iter()
        .map(|account| {
            let by_cli = instance.shared_by_cli.contains(account);
            let resting = instance.shares_at_rest.iter().find(|share| share.account == *account);
            let resting = resting.map_or_else(String::new, |share| format!("; at rest: {}", share.message));
            format!("{account} ({}{resting})", if by_cli { "by instance share" } else { "by the configuration" })
        })
        .collect();
    let mut lines = vec![
        format!("Instance   {}", instance.id),
        format!("Region     {}", instance.region),
        format!("Owner      {}", instance.owner),
        format!("Kind       {}", instance.kind),
        format!("Status     {}", instance.status),
        format!("Keys       {} of {}", instance.keys_used, instance.key_quota),
        format!("Secrets    {} of {}", instance.secrets_used, instance.secret_quota),
        format!("Expires    {}{renewal}", maybe_instant(instance.expires.as_deref())),
        format!("Shared     {}", if shares.is_empty() { "with nobody".to_owned() } else { shares.join(", ") }),
    ];
    for (n, held) in instance.accounts.iter().enumerate() {
        let reserved = match (held.keys_reserved, held.secrets_reserved) {
            (0, 0) => String::new(),
            (keys, secrets) => {
                format!(" ({} and {} more on their way)", counted(keys, "key"), counted(secrets, "secret"))
            }
        };
        let label = if n == 0 { "Accounts" } else { "" };
        let (keys, secrets) = (counted(held.keys, "key"), counted(held.secrets, "secret"));
        lines.push(format!("{label:<10} {}: {keys}, {secrets}{reserved}", held.account));
    }
    if let Some(lock) = &instance.lock {
        lines.push(format!("Locked     by {} since {}", lock.job, instant(&lock.since)));
    }
    lines.join("\n")
}
