//! One case: a migration that is interrupted once or more, restarted until it ends, and held to every invariant.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clear::found_in_the_clear;
use crate::client::Client;
use crate::daemon::{Came, Daemon, copy};
use crate::intruder::Intruder;
use crate::population::Known;
use crate::stores::{Holdings, look};

/// A region that is filled once and copied for each case.
pub struct Region {
    directory: tempfile::TempDir,
    known: Known,
    holdings: Holdings,
}

/// How one process of a case is interrupted.
#[derive(Debug, Clone)]
pub enum Blow {
    /// By failpoints.
    At(String),
    /// `kill -9` so long after the migration was asked for (or, in a recovery, after the start).
    Kill(Duration),
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How many of the blows fell.
    pub fell: usize,
    /// How often a client was kept from managing because of the migration.
    pub refused: usize,
    /// The last state of the job; `none` when it was never created.
    pub state: String,
    /// What does not hold.
    pub broken: Vec<String>,
}

impl Region {
    pub async fn fill() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(directory.path(), "").await.unwrap();
        let known = Known::fill(&Client::new(&daemon.address)).await.unwrap();
        daemon.stop().await;
        let found = look(directory.path()).await;
        assert_eq!(found.broken, Vec::<String>::new());
        assert_eq!(found_in_the_clear(directory.path()), Vec::<String>::new());
        Self { directory, known, holdings: found.holdings }
    }

    /// A key that rotates.
    pub fn first_key(&self) -> &str {
        self.known.rotating()
    }

    pub fn copied(&self, to: &Path) -> PathBuf {
        let directory = to.join("case");
        copy(self.directory.path(), &directory);
        directory
    }

    /// All failpoints that a run passes, in order, with those named armed.
    pub async fn trace(&self, failpoints: &str) -> Vec<String> {
        let room = tempfile::tempdir().unwrap();
        let directory = self.copied(room.path());
        let mut daemon = Daemon::start(&directory, &format!("trace,{failpoints}")).await.unwrap();
        assert_eq!(daemon.migrate(), Some(0));
        assert_eq!(daemon.outcome().await, Came::End);
        if daemon.job().unwrap()["state"] != "complete" {
            // A roll-back is tended after its end.
            daemon.passing("clean_up.remove.after").await;
        }
        daemon.passed()
    }

    /// All failpoints that the recovery from a blow passes.
    pub async fn recovery(&self, blow: &Blow) -> BTreeSet<String> {
        let room = tempfile::tempdir().unwrap();
        let directory = self.copied(room.path());
        strike(&directory, blow, true, self.known.managed()).await;
        let mut daemon = Daemon::start(&directory, "trace").await.unwrap();
        if !daemon.has_ended() {
            assert_eq!(daemon.outcome().await, Came::End, "{}", daemon.tail());
        }
        if daemon.job().is_some_and(|job| job["state"] != "complete") {
            // A roll-back is tended after its end, unless that was done before the blow.
            let _ = tokio::time::timeout(TENDING, daemon.passing("clean_up.remove.after")).await;
        }
        daemon.stop().await.into_iter().collect()
    }

    /// Runs a case.
    pub async fn run(&self, blows: &[Blow]) -> Verdict {
        let room = tempfile::tempdir().unwrap();
        let directory = self.copied(room.path());
        let (mut fell, mut refused) = (0, 0);
        for (n, blow) in blows.iter().enumerate() {
            let (this_fell, this_refused) = strike(&directory, blow, n == 0, self.known.managed()).await;
            fell += usize::from(this_fell);
            refused += this_refused;
        }
        let mut daemon = match Daemon::start(&directory, "").await {
            Ok(daemon) => daemon,
            Err(tail) => {
                let broken = vec![format!("no start: {tail}")];
                return Verdict { fell, refused, state: "unknown".into(), broken };
            }
        };
        let intruder = Intruder::begin(&daemon, self.known.managed(), true);
        let mut job = daemon.job();
        if job.as_ref().is_some_and(|job| job["finished_at"].is_null()) {
            let came = daemon.outcome().await;
            assert_eq!(came, Came::End, "{}", daemon.tail());
            job = daemon.job();
        }
        refused += intruder.end();
        let state = job.map_or("none".to_owned(), |job| job["state"].as_str().unwrap().to_owned());
        let moved = state == "complete";
        if !moved {
            // What a roll-back leaves to be done is done at the latest by the next start.
            daemon.stop().await;
            daemon = Daemon::start(&directory, "").await.unwrap();
        }
        let mut broken = self.known.broken(&Client::new(&daemon.address), moved).await;
        if !["complete", "failed", "none"].contains(&state.as_str()) {
            broken.push(format!("the job ended {state}"));
        }
        let (_, status) = daemon.cli(&["status"]);
        if status["rotation_held"] != 0 {
            broken.push(format!("rotation is held: {status}"));
        }
        if let Some(stranded) = daemon.seen.iter().find(|line| line["event"] == "rotation.stranded") {
            broken.push(format!("a mark was stranded: {stranded}"));
        }
        if moved {
            daemon.kill();
        } else {
            // What it has begun to tend it ends before it leaves.
            daemon.stop().await;
        }
        let found = look(&directory).await;
        broken.extend(found.broken);
        let right = if moved { found.holdings.are_moved_from(&self.holdings) } else { found.holdings == self.holdings };
        if !right {
            broken.push(format!("material lies where it must not: {:?}", found.holdings));
        }
        broken.extend(found_in_the_clear(&directory).iter().map(|file| format!("something secret is in {file}")));
        Verdict { fell, refused, state, broken }
    }
}

/// Lets one process run into its blow; whether it fell, and how often a client was refused until then.
async fn strike(directory: &Path, blow: &Blow, first: bool, managed: &str) -> (bool, usize) {
    let failpoints = match blow {
        Blow::At(failpoints) => failpoints.as_str(),
        Blow::Kill(_) => "",
    };
    let Ok(mut daemon) = Daemon::start(directory, failpoints).await else {
        // It died while it recovered.
        return (true, 0);
    };
    if first {
        daemon.migrate();
    }
    let intruder = Intruder::begin(&daemon, managed, !first);
    let fell = match blow {
        Blow::Kill(after) => {
            // A job that ended before this process began cannot be interrupted by it.
            let over = !first && daemon.has_ended();
            let ended = daemon.run_for(*after).await;
            daemon.kill();
            !over && !ended
        }
        Blow::At(_) => {
            let came = if !first && daemon.has_ended() { Came::End } else { daemon.outcome().await };
            match came {
                Came::Died => {
                    assert!(daemon.aborted(), "it died by itself: {}", daemon.tail());
                    true
                }
                Came::Stalled => {
                    daemon.kill();
                    true
                }
                Came::End => {
                    // Some points are passed after the end of the job.
                    let died = TENDED.iter().any(|point| failpoints.contains(point))
                        && tokio::time::timeout(TENDING, daemon.outcome()).await == Ok(Came::Died);
                    daemon.kill();
                    died
                }
            }
        }
    };
    (fell, intruder.end())
}

/// Points of what is tended after a roll-back, and when that comes at the latest.
const TENDED: [&str; 3] = ["clean_up.remove", "target.forget", "source.close"];
const TENDING: Duration = Duration::from_secs(15);
