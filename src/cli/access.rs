//! `policy …` and `role …`.

use std::path::Path;

use super::access_arguments::{ExplainArguments, PolicyCommand, RoleCommand};
use super::client::{Answer, Client};
use super::describe::instant;
use super::outcome::{Exit, Failure};
use super::terminal::Terminal;
use crate::access::Policy;
use crate::admin::protocol::{
    CredentialsRequest, CredentialsShape, DecisionShape, ExplainRequest, ExplanationShape, IdentitiesShape,
};
use crate::config::parse_duration;

pub(super) async fn policy(
    terminal: &mut Terminal,
    client: impl FnOnce() -> Result<Client, Failure> + Send,
    command: &PolicyCommand,
) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::Explain(asked) => explain(terminal, &client()?, asked).await,
        PolicyCommand::Identities => {
            let Answer { raw, shape } = client()?.get::<IdentitiesShape>("/identities").await?;
            if terminal.json() {
                terminal.document(&raw);
            } else {
                terminal.print(&shape.identities.join("\n"));
            }
            Ok(Exit::Done)
        }
        PolicyCommand::Check { file, resource } => check(terminal, file, *resource),
    }
}

pub(super) async fn role(terminal: &mut Terminal, client: &Client, command: &RoleCommand) -> Result<Exit, Failure> {
    let RoleCommand::Credentials { account, role, session, duration } = command;
    let lasts = parse_duration(duration).map_err(|error| {
        Failure::new(Exit::Usage, "InvalidValue", format!("--duration {duration}: {error}"), "such as 1h or 30m")
    })?;
    let request = CredentialsRequest {
        account: account.clone(),
        role: role.clone(),
        session: session.clone(),
        seconds: lasts.as_secs(),
    };
    let Answer { raw, shape } = client.post::<CredentialsShape>("/roles/credentials", &request).await?;
    if terminal.json() {
        terminal.document(&raw);
        return Ok(Exit::Done);
    }
    terminal.talk(&format!(
        "For {} until {}. Whoever has these lines has the role.",
        shape.role,
        instant(&shape.expires_at)
    ));
    terminal.print(&format!(
        "export ALIBABA_CLOUD_ACCESS_KEY_ID={}\nexport ALIBABA_CLOUD_ACCESS_KEY_SECRET={}\nexport ALIBABA_CLOUD_SECURITY_TOKEN={}",
        shape.access_key_id, shape.access_key_secret, shape.security_token
    ));
    Ok(Exit::Done)
}

async fn explain(terminal: &mut Terminal, client: &Client, asked: &ExplainArguments) -> Result<Exit, Failure> {
    let request = ExplainRequest {
        identity: asked.identity.clone(),
        action: asked.action.clone(),
        resource: asked.resource.clone(),
        source_ip: asked.source_ip.clone(),
        secure: asked.secure,
        at: asked.at.clone(),
    };
    let Answer { raw, shape } = client.post::<ExplanationShape>("/policy/explain", &request).await?;
    if terminal.json() {
        terminal.document(&raw);
    } else {
        terminal.print(&text(&shape));
    }
    let allowed = shape.now.allowed && shape.also.iter().all(|also| also.now.allowed);
    Ok(if allowed { Exit::Done } else { Exit::Failed })
}

fn text(shape: &ExplanationShape) -> String {
    let place = match (&shape.instance, shape.exists) {
        (_, false) => "there is no such thing: decided by its name alone".to_owned(),
        (Some(instance), true) => format!("in {instance}"),
        (None, true) => "in the shared KMS, where nothing has a policy of its own".to_owned(),
    };
    let after = match &shape.after_migration {
        None => None,
        Some(after) if after.allowed == shape.now.allowed => {
            Some("the same; its default policy changes nothing here".to_owned())
        }
        Some(after) => Some(said(after)),
    };
    let mut lines = vec![
        format!("Identity   {}", shape.identity),
        format!("Action     {}", shape.action),
        format!("Resource   {}", shape.resource),
    ];
    if shape.resource.contains(":key/") || shape.resource.contains(":secret/") {
        lines.push(format!("           {place}"));
    }
    lines.push(format!("Now        {}", said(&shape.now)));
    lines.extend(after.map(|after| format!("Migrated   {after}")));
    for also in &shape.also {
        lines.push(format!("Also needs {} on {}", also.action, also.resource));
        lines.push(format!("Now        {}", said(&also.now)));
        let changed = also.after_migration.as_ref().filter(|after| after.allowed != also.now.allowed);
        lines.extend(changed.map(|after| format!("Migrated   {}", said(after))));
    }
    lines.join("\n")
}

fn said(decision: &DecisionShape) -> String {
    decision.reason.clone()
}

fn check(terminal: &mut Terminal, file: &Path, resource: bool) -> Result<Exit, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::new(Exit::Usage, "Unreadable", format!("{}: {error}", file.display()), "name a readable file")
    })?;
    let read = if resource { Policy::resource(&text) } else { Policy::identity(&text) };
    let policy = read.map_err(|fault| {
        Failure::new(Exit::Usage, "InvalidPolicy", format!("{}: {fault}", file.display()), "see docs/access.md")
    })?;
    let statements = policy.statements().len();
    if terminal.json() {
        terminal.document(&serde_json::json!({ "file": file, "statements": statements }));
    } else {
        terminal.print(&format!("{} is a policy with {statements} statement(s).", file.display()));
    }
    Ok(Exit::Done)
}
