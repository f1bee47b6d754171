//! Following jobs until they have ended, also across a restart of the daemon.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::client::{Answer, Client, segment};
use super::outcome::{Exit, Failure};
use super::progress::Progress;
use super::terminal::Terminal;
use crate::admin::protocol::{JobShape, JobsShape};

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

/// Follows a job, or with the ID of a group all of its jobs unless the first is wanted `alone`; answers them as they
/// ended, in the order in which they ran. `None` after Ctrl-C, which leaves them running.
pub(super) async fn until_ended(
    terminal: &mut Terminal,
    client: &Client,
    job: &str,
    (telling, alone): (Telling, bool),
) -> Result<Option<Vec<Answer<JobShape>>>, Failure> {
    let mut followed = Followed {
        path: format!("/jobs/{}/watch{}", segment(job), if alone { "?alone=true" } else { "" }),
        group: (!alone).then(|| job.to_owned()),
        members: Vec::new(),
        ended: BTreeMap::new(),
        telling,
        progress: Progress::new(terminal.draws() && telling != Telling::Documents),
    };
    // Caught from here on: who presses Ctrl-C at the first line is told what goes on, too.
    let mut interrupt = signal(SignalKind::interrupt()).ok();
    let mut tries = 0;
    loop {
        let outcome = tokio::select! {
            outcome = followed.follow(terminal, client) => outcome,
            () = interrupted(&mut interrupt) => {
                followed.progress.clear();
                terminal.talk(&format!("{job} goes on; follow it with `keyferry job watch {job}`, stop it with `keyferry job cancel {job}`."));
                return Ok(None);
            }
        };
        match outcome {
            Ok(Outcome::Ended) => {
                followed.progress.clear();
                return Ok(Some(followed.in_order()));
            }
            Ok(Outcome::BrokenOff { seen }) => tries = if seen { 0 } else { tries + 1 },
            Err(failure) if failure.exit == Exit::Unreachable && followed.progress.has_begun() && tries < TRIES => {
                tries += 1;
            }
            Err(failure) => {
                followed.progress.clear();
                return Err(failure);
            }
        }
        if tries <= 1 {
            terminal.talk("The connection to the daemon broke off; trying again.");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits for Ctrl-C; for ever where it cannot be caught: then it ends the process.
async fn interrupted(caught: &mut Option<Signal>) {
    match caught {
        Some(caught) => drop(caught.recv().await),
        None => std::future::pending().await,
    }
}

/// For how long a restarting daemon is waited for.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);

enum Outcome {
    Ended,
    BrokenOff { seen: bool },
}

struct Followed {
    path: String,
    /// What to follow beyond the one job, if it is a group's ID.
    group: Option<String>,
    /// Which jobs there are, once one was seen.
    members: Vec<String>,
    ended: BTreeMap<String, Answer<JobShape>>,
    telling: Telling,
    progress: Progress,
}

impl Followed {
    async fn follow(&mut self, terminal: &mut Terminal, client: &Client) -> Result<Outcome, Failure> {
        let mut lines = client.lines(&self.path).await?;
        let mut seen = false;
        while let Some(answer) = lines.next::<JobShape>().await? {
            seen = true;
            if self.members.is_empty() {
                self.members = self.find_members(client, &answer.shape).await?;
            }
            if self.ended.contains_key(&answer.shape.id) {
                // Told before the connection broke off.
                continue;
            }
            let text = self.progress.update(&answer.shape);
            match self.telling {
                Telling::Documents => terminal.line(&answer.raw),
                Telling::Data | Telling::Talk => match text {
                    Some(text) if self.telling == Telling::Data => terminal.print(&text),
                    Some(text) => terminal.talk(&text),
                    None => {}
                },
            }
            if answer.shape.finished_at.is_some() {
                self.ended.insert(answer.shape.id.clone(), answer);
                if self.members.iter().all(|id| self.ended.contains_key(id)) {
                    return Ok(Outcome::Ended);
                }
            }
        }
        Ok(Outcome::BrokenOff { seen })
    }

    async fn find_members(&self, client: &Client, first: &JobShape) -> Result<Vec<String>, Failure> {
        if first.group.is_none() || first.group != self.group {
            return Ok(vec![first.id.clone()]);
        }
        // Oldest first, and the IDs of a group rise with its order.
        let all = client.get::<JobsShape>("/jobs").await?.shape.jobs;
        Ok(all.into_iter().filter(|job| job.group == first.group).map(|job| job.id).collect())
    }

    fn in_order(mut self) -> Vec<Answer<JobShape>> {
        let members = std::mem::take(&mut self.members);
        members.into_iter().filter_map(|id| self.ended.remove(&id)).collect()
    }
}
