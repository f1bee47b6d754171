//! `hold` and `release`.

use super::arguments::{HoldArguments, ReleaseArguments};
use super::client::{Answer, Client};
use super::describe;
use super::outcome::{Exit, Failure};
use super::terminal::Terminal;
use crate::admin::protocol::{HoldRequest, HoldsShape, ReleaseRequest};

pub(super) async fn hold(terminal: &mut Terminal, client: &Client, options: HoldArguments) -> Result<Exit, Failure> {
    let HoldArguments { region, account, now, reason } = options;
    let answer = client.post::<HoldsShape>("/holds", &HoldRequest { region, account, reason, now }).await?;
    show(terminal, &answer);
    Ok(Exit::Done)
}

pub(super) async fn release(
    terminal: &mut Terminal,
    client: &Client,
    options: ReleaseArguments,
) -> Result<Exit, Failure> {
    let ReleaseArguments { region, account } = options;
    let answer = client.delete::<HoldsShape>("/holds", &ReleaseRequest { region, account }).await?;
    show(terminal, &answer);
    Ok(Exit::Done)
}

fn show(terminal: &mut Terminal, answer: &Answer<HoldsShape>) {
    if terminal.json() {
        terminal.document(&answer.raw);
    } else if answer.shape.holds.is_empty() {
        terminal.print("Nothing is held.");
    } else {
        terminal.print(&describe::holds(&answer.shape.holds));
    }
}
