//! `seal …`.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use super::arguments::SealCommand;
use super::client::{Answer, Client};
use super::outcome::{Exit, Failure};
use super::terminal::Terminal;
use crate::admin::protocol::{RootKeyShape, RotateRequest, SealShape};
use crate::config::{Config, locate};
use crate::daemon;
use crate::model::counted;

pub(super) async fn seal(
    terminal: &mut Terminal,
    client: impl FnOnce() -> Result<Client, Failure> + Send,
    config: Option<&Path>,
    command: SealCommand,
) -> Result<Exit, Failure> {
    let answer = match command {
        SealCommand::Status => client()?.get::<SealShape>("/seal").await?,
        SealCommand::Rotate { name, wait } => rotate(&client()?, name, wait).await?,
        SealCommand::Export { to } => return export(terminal, client().ok(), config, &to).await,
    };
    if terminal.json() {
        terminal.document(&answer.raw);
    } else {
        let texts: Vec<String> = answer.shape.root_keys.iter().map(describe).collect();
        terminal.print(&texts.join("\n\n"));
    }
    Ok(Exit::Done)
}

async fn rotate(client: &Client, name: Option<String>, wait: bool) -> Result<Answer<SealShape>, Failure> {
    let mut answer = client.post::<SealShape>("/seal/rotate", &RotateRequest { name }).await?;
    while wait && answer.shape.root_keys.iter().any(|key| key.state == "exchanging") {
        tokio::time::sleep(LOOK_EVERY).await;
        answer = client.get::<SealShape>("/seal").await?;
    }
    Ok(answer)
}

/// Done here and not by the daemon: root keys never pass the socket, and the file is where the caller wants it.
async fn export(
    terminal: &mut Terminal,
    client: Option<Client>,
    config: Option<&Path>,
    to: &Path,
) -> Result<Exit, Failure> {
    let path = locate(config);
    let loaded = Config::load(&path).map_err(|problems| {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::new(Exit::Usage, "InvalidConfig", texts.join("\n"), "`keyferry config check` shows each mistake")
    })?;
    let failed = |error: std::io::Error, remedy: &str| {
        Failure::new(Exit::Failed, "Export", format!("{}: {error}", to.display()), remedy)
    };
    let text = daemon::export_root_keys(&loaded.config).map_err(|error| {
        let remedy = "run it as a user who may read every root key; a credential is escrowed where it is made";
        Failure::new(Exit::Failed, "RootKey", error.to_string(), remedy)
    })?;
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let mut file = opened.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => failed(error, "nothing is overwritten; name a file that is not there"),
        _ => failed(error, "name a place that you may write to"),
    })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    });
    written.map_err(|error| failed(error, "the file is not whole; remove it and try again"))?;
    let noted = match client {
        Some(client) => client.post::<SealShape>("/seal/exported", &()).await.map(drop),
        None => Err(Failure::new(Exit::Unreachable, "Unreachable", "no socket", "")),
    };
    if let Err(failure) = noted {
        terminal.talk(&format!("warning: the daemon could not note this in its audit trail: {failure}"));
    }
    let lines = text.lines().count();
    if terminal.json() {
        terminal.document(&serde_json::json!({ "file": to, "root_keys": lines }));
    } else {
        terminal.print(&format!(
            "{lines} root key(s) in {}, as lines NAME ID KEY. Whoever has this file and the data can read everything: keep \
             it apart from both.",
            to.display()
        ));
    }
    Ok(Exit::Done)
}

fn describe(key: &RootKeyShape) -> String {
    let state = match key.state.as_str() {
        "settled" => "everything is sealed under it".to_owned(),
        "exchanging" => {
            format!("being exchanged: {} is still needed", key.before.as_deref().unwrap_or("the one before"))
        }
        "by_hand" => format!("everything is sealed under it; put {} in the place of the one below", key.next_place),
        other => other.to_owned(),
    };
    let mut lines = vec![
        format!("Root key   {}", key.id),
        format!("Of         {} ({})", key.names.join(", "), counted(key.keystores, "keystore")),
        format!("State      {state}"),
        format!("Place      {}", key.place),
    ];
    if key.beside_data {
        lines.push("Warning    it lies beside the data it seals: whoever gets the disk has both".to_owned());
    }
    for retired in &key.retired {
        lines.push(format!("Retired    {} in {}: only backups from before need it", retired.id, retired.place));
    }
    lines.join("\n")
}

const LOOK_EVERY: Duration = Duration::from_millis(200);
