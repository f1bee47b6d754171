//! `status`.

use super::client::{Answer, Client};
use super::describe::{self, instant, seconds};
use super::outcome::{Exit, Failure};
use super::terminal::Terminal;
use crate::admin::protocol::{ScopeShape, StatusShape};

pub(super) async fn status(terminal: &mut Terminal, client: &Client) -> Result<Exit, Failure> {
    let Answer { raw, shape } = client.get::<StatusShape>("/status").await?;
    if terminal.json() {
        terminal.document(&raw);
    } else {
        let text = screen(&shape, terminal.colours());
        terminal.print(&text);
    }
    Ok(Exit::Done)
}

fn screen(status: &StatusShape, colours: bool) -> String {
    let bold = |text: &str| {
        if colours { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
    };
    let mut parts = vec![
        format!("keyferry {}, up {}", status.version, seconds(status.uptime_seconds)),
        format!("\n{}", describe::scopes(&status.scopes)),
    ];
    if let Some(job) = &status.job {
        parts.push(format!("\n{}", bold(&describe::job(job))));
    }
    parts.push(String::new());
    parts.push(match &status.next {
        Some(next) => format!("Next: {} at {}", next.schedule, instant(&next.at)),
        None => "Next: nothing is scheduled".to_owned(),
    });
    let locked = |scope: &ScopeShape| scope.lock.is_some();
    if status.rotation_held > 0 || status.scopes.iter().any(locked) {
        parts.push(format!("Rotation held back: {}", status.rotation_held));
    }
    if !status.holds.is_empty() {
        parts.push(describe::holds(&status.holds));
    }
    for warning in &status.warnings {
        parts.push(format!("{} {}: {}\n  -> {}", bold("Warning"), warning.code, warning.message, warning.remedy));
    }
    parts.join("\n")
}
