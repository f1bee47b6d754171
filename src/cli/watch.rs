//! Following a job until it has ended, also across a restart of the daemon.

use std::time::Duration;

use super::client::{Answer, Client, segment};
use super::outcome::{Exit, Failure};
use super::progress::Progress;
use super::terminal::Terminal;
use crate::admin::protocol::JobShape;

/// How progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// A JSON document a line, as data.
    Documents,
    /// Lines of text as data (a bar, where it can be drawn).
    Data,
    /// As talk: something else is the data.
    Talk,
}

/// Follows a job; `None` after Ctrl-C, which leaves the job running.
pub(super) async fn until_ended(
    terminal: &mut Terminal,
    client: &Client,
    job: &str,
    telling: Telling,
) -> Result<Option<Answer<JobShape>>, Failure> {
    let mut progress = Progress::new(terminal.draws() && telling != Telling::Documents);
    let mut tries = 0;
    loop {
        let followed = tokio::select! {
            followed = follow(terminal, client, job, telling, &mut progress) => followed,
            _ = tokio::signal::ctrl_c() => {
                progress.clear();
                terminal.talk(&format!("{job} goes on; follow it with `keyferry job watch {job}`, stop it with `keyferry job cancel {job}`."));
                return Ok(None);
            }
        };
        match followed {
            Ok(Followed::Ended(job)) => {
                progress.clear();
                return Ok(Some(*job));
            }
            Ok(Followed::BrokenOff { seen }) => tries = if seen { 0 } else { tries + 1 },
            Err(failure) if failure.exit == Exit::Unreachable && progress.has_begun() && tries < TRIES => tries += 1,
            Err(failure) => {
                progress.clear();
                return Err(failure);
            }
        }
        if tries <= 1 {
            terminal.talk("The connection to the daemon broke off; trying again.");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// For how long a restarting daemon is waited for.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);

enum Followed {
    Ended(Box<Answer<JobShape>>),
    BrokenOff { seen: bool },
}

async fn follow(
    terminal: &mut Terminal,
    client: &Client,
    job: &str,
    telling: Telling,
    progress: &mut Progress,
) -> Result<Followed, Failure> {
    let mut lines = client.lines(&format!("/jobs/{}/watch", segment(job))).await?;
    let mut seen = false;
    while let Some(answer) = lines.next::<JobShape>().await? {
        seen = true;
        let text = progress.update(&answer.shape);
        match telling {
            Telling::Documents => terminal.line(&answer.raw),
            Telling::Data | Telling::Talk => match text {
                Some(text) if telling == Telling::Data => terminal.print(&text),
                Some(text) => terminal.talk(&text),
                None => {}
            },
        }
        if answer.shape.finished_at.is_some() {
            return Ok(Followed::Ended(Box::new(answer)));
        }
    }
    Ok(Followed::BrokenOff { seen })
}
