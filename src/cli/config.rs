//! `config check` and `config show`: local, without a daemon.

use std::path::Path;

use super::arguments::ConfigCommand;
use super::outcome::{Exit, Failure};
use super::terminal::Terminal;
use crate::config::{Config, locate};

pub(super) fn config(terminal: &mut Terminal, file: Option<&Path>, command: &ConfigCommand) -> Result<Exit, Failure> {
    let path = locate(file);
    let loaded = match Config::load(&path) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let count = match texts.len() {
                1 => "1 mistake".to_owned(),
                n => format!("{n} mistakes"),
            };
            let message = format!("{} has {count}:\n{}", path.display(), texts.join("\n"));
            return Err(Failure::new(
                Exit::Usage,
                "InvalidConfig",
                message,
                "config/keyferry.toml documents every key",
            ));
        }
    };
    for warning in &loaded.warnings {
        terminal.talk(&format!("warning: {warning}"));
    }
    match command {
        ConfigCommand::Check if terminal.json() => {
            let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
            terminal.document(&serde_json::json!({ "file": path, "valid": true, "warnings": warnings }));
        }
        ConfigCommand::Check => terminal.print(&format!("{} is valid.", path.display())),
        ConfigCommand::Show => {
            let text = loaded.config.to_masked_toml();
            match toml::from_str::<toml::Table>(&text) {
                Ok(table) if terminal.json() => terminal.document(&table),
                _ => terminal.print(&text),
            }
        }
    }
    Ok(Exit::Done)
}
