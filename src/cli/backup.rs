//! `backup` and `restore`.

use std::path::Path;

use super::arguments::{BackupArguments, RestoreArguments};
use super::client::Client;
use super::outcome::{Exit, Failure};
use super::terminal::Terminal;
use crate::admin::protocol::{Advice, BackupRequest};
use crate::backup::filing::Filing;
use crate::crypto::archive::ArchiveKey;
use crate::daemon::{self, BackupContents, DaemonError};
use crate::keystore::software::rootkey;
use crate::model::SystemRandom;

pub(super) async fn backup(
    terminal: &mut Terminal,
    client: &Client,
    options: &BackupArguments,
) -> Result<Exit, Failure> {
    let io = |error: std::io::Error| {
        failed(&options.file, &error.to_string(), "name a file that is not there, in a place that you may write to")
    };
    let mut filing = Filing::begin(&options.file).map_err(io)?;
    let (key, made) = rootkey::key_file(&options.key_file, true, &SystemRandom)
        .map_err(|error| Failure::new(Exit::Usage, "BackupKey", error.to_string(), "name another --key-file"))?;
    if made {
        terminal.talk(&format!(
            "made the backup key {}: keep a copy apart from the backups; without it none of them can be read",
            options.key_file.display()
        ));
    }
    let request = BackupRequest { key: hex::encode(key.as_slice()).into() };
    let mut answer = client.stream("/backup", &request).await?;
    while let Some(bytes) = answer.next_bytes().await? {
        filing.write(&bytes).map_err(io)?;
    }
    filing.sync().map_err(io)?;
    // What was written is read back before it is called a backup.
    let contents = daemon::inspect_backup(filing.partial(), &ArchiveKey::new(key))
        .map_err(|error| failed(filing.partial(), &error.to_string(), "try again"))?;
    filing.name().map_err(io)?;
    show(terminal, &options.file, &contents, &[], "Written and read back:");
    Ok(Exit::Done)
}

pub(super) async fn restore(
    terminal: &mut Terminal,
    config: Option<&Path>,
    options: &RestoreArguments,
) -> Result<Exit, Failure> {
    let (key, _) = rootkey::key_file(&options.key_file, false, &SystemRandom)
        .map_err(|error| Failure::new(Exit::Usage, "BackupKey", error.to_string(), "name the key of the backup"))?;
    let key = ArchiveKey::new(key);
    let (done, warnings) = if options.check {
        let whole = daemon::inspect_backup(&options.file, &key)
            .map_err(|error| failed(&options.file, &error.to_string(), "nothing has been changed"))?;
        (whole, Vec::new())
    } else {
        daemon::restore(config, &options.file, &key).await.map_err(|error| {
            let exit = if error.exit_code() == Exit::Usage.code() { Exit::Usage } else { Exit::Failed };
            let (code, remedy) = match &error {
                DaemonError::InstanceIsNewer(_) => ("InstanceIsNewer", NEWER),
                _ => ("Restore", "put right what is named and restore again; the daemon does not start on half of it"),
            };
            Failure::new(exit, code, error.to_string(), remedy)
        })?
    };
    show(terminal, &options.file, &done, &warnings, if options.check { "Whole:" } else { "Restored:" });
    Ok(Exit::Done)
}

const NEWER: &str = "nothing has been changed; restore a newer backup, or, to do without what is named, keep the instance from \
                     being reached (stop its process) and restore again: docs/remote.md";

fn show(terminal: &mut Terminal, file: &Path, contents: &BackupContents, warnings: &[Advice], done: &str) {
    if terminal.json() {
        terminal.document(&serde_json::json!({ "file": file, "contents": contents, "warnings": warnings }));
        return;
    }
    for warning in warnings {
        terminal.talk(&format!("warning: {}\n  -> {}", warning.message, warning.remedy));
    }
    let mut lines = vec![
        format!("{done} {}", file.display()),
        format!("As of      {}", contents.manifest.at),
        format!("Holds      {} records and {} slots in {} parts", contents.records, contents.files, contents.parts),
    ];
    for key in &contents.manifest.root_keys {
        lines.push(format!("Needs      root key {} of {}", key.id, key.keystore));
    }
    terminal.print(&lines.join("\n"));
}

fn failed(path: &Path, why: &str, remedy: &str) -> Failure {
    Failure::new(Exit::Failed, "Backup", format!("{}: {why}", path.display()), remedy)
}
