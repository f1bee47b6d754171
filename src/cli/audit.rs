//! `audit …`.

use std::path::Path;

use super::arguments::AuditCommand;
use super::client::{Answer, Client};
use super::describe;
use super::outcome::{Exit, Failure};
use super::terminal::Terminal;
use crate::admin::protocol::{AuditKeyShape, AuditShape};
use crate::audit::{AuditError, Head};
use crate::daemon;

pub(super) async fn audit(
    terminal: &mut Terminal,
    client: impl FnOnce() -> Result<Client, Failure> + Send,
    config: Option<&Path>,
    command: AuditCommand,
) -> Result<Exit, Failure> {
    match command {
        AuditCommand::Verify { head, offline: false } => {
            let path = match &head {
                Some(head) => {
                    let head: Head = head.parse().map_err(|error: AuditError| {
                        Failure::new(Exit::Usage, "InvalidValue", error.to_string(), "copy it whole")
                    })?;
                    format!("/audit/verify?head={head}")
                }
                None => "/audit/verify".to_owned(),
            };
            let Answer { raw, shape } = client()?.get::<AuditShape>(&path).await?;
            if terminal.json() {
                terminal.document(&raw);
            } else {
                terminal.print(&verdict(&shape, head.as_deref()));
            }
            Ok(exit_of(&shape))
        }
        AuditCommand::Verify { head, offline: true } => {
            let shape = daemon::verify_offline(config, head.as_deref()).await.map_err(|error| {
                let (exit, remedy) = if error.exit_code() == Exit::Usage.code() {
                    (Exit::Usage, "the state directory is that of the configuration: name it with --config")
                } else {
                    (Exit::Failed, "while the daemon runs, leave --offline away")
                };
                Failure::new(exit, "Offline", error.to_string(), remedy)
            })?;
            if terminal.json() {
                terminal.document(&shape);
            } else {
                terminal.print(&verdict(&shape, head.as_deref()));
            }
            Ok(exit_of(&shape))
        }
        AuditCommand::Key => {
            let Answer { raw, shape } = client()?.get::<AuditKeyShape>("/audit/key").await?;
            if terminal.json() {
                terminal.document(&raw);
            } else {
                terminal.print(&describe::maybe(shape.public_key.as_deref()));
            }
            Ok(Exit::Done)
        }
    }
}

fn exit_of(shape: &AuditShape) -> Exit {
    if shape.intact { Exit::Done } else { Exit::Failed }
}

fn verdict(shape: &AuditShape, given: Option<&str>) -> String {
    let mut lines = vec![
        match (shape.intact, given) {
            (true, Some(_)) => "Intact: the trail is the one the given head was taken from.".to_owned(),
            (true, None) => {
                "Intact, as far as it can tell of itself; compare with a head from the log (--head).".to_owned()
            }
            (false, _) => format!("NOT INTACT: {} finding(s).", shape.findings.len()),
        },
        format!("Entries    {} (and {} not chained yet)", shape.entries, shape.pending),
        format!("Reports    {}", shape.reports),
        format!("Head       {}", shape.head),
    ];
    if let Some(signed) = &shape.newest_signed {
        lines.push(format!("Signed     number {}, {}", signed.number, describe::instant(&signed.at)));
        lines.push(format!("Signed by  {}", signed.signer));
    }
    lines.extend(shape.findings.iter().map(|finding| format!("  {}: {}", finding.code, finding.message)));
    lines.join("\n")
}
