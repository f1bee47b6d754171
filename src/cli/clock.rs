//! `clock …`.

use super::arguments::ClockCommand;
use super::client::{Answer, Client};
use super::describe::instant;
use super::outcome::{Exit, Failure};
use super::terminal::Terminal;
use crate::admin::protocol::ClockShape;

pub(super) async fn clock(terminal: &mut Terminal, client: &Client, command: &ClockCommand) -> Result<Exit, Failure> {
    let ClockCommand::Confirm = command;
    let Answer { raw, shape } = client.post::<ClockShape>("/clock/confirm", &()).await?;
    if terminal.json() {
        terminal.document(&raw);
        return Ok(Exit::Done);
    }
    terminal.print(&match &shape.confirmed {
        Some(step) => format!(
            "Confirmed: it is {}. What fell due between {} and {} is carried out now.",
            instant(&shape.now),
            instant(&step.from),
            instant(&step.to)
        ),
        None => format!("Nothing waits for a confirmation; it is {}.", instant(&shape.now)),
    });
    Ok(Exit::Done)
}
