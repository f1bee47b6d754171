//! Instances on other hosts, which no backup holds: whether one of them is newer than the backup that is being restored.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::admin::protocol::Advice;
use crate::backup::Manifest;
use crate::catalogue::Catalogue;
use crate::config::Config;
use crate::daemon::stores::existing_control;
use crate::daemon::{DaemonError, remotes};
use crate::doctor;
use crate::keystore::remote::{RemoteKeystore, Timeouts};
use crate::keystore::{Held, Keystore as _};
use crate::model::{InstanceId, Random, SystemRandom};

/// Asks every instance on another host for what it holds, and compares that with the restored control store. Answers a
/// warning for each that could not be asked.
///
/// # Errors
/// [`DaemonError::InstanceIsNewer`]; a store that cannot be read.
pub(super) async fn ask(config: &Config, restored: &Path, manifest: &Manifest) -> Result<Vec<Advice>, DaemonError> {
    let catalogue = Catalogue::new(existing_control(restored).await?);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let remotes = remotes::of(config, &catalogue, &random, TIMEOUTS).await?;
    let answers = remotes.into_iter().map(|(id, keystore)| async move {
        let answer = held(&keystore).await;
        (id, keystore, answer)
    });
    let (mut warnings, mut newer) = (Vec::new(), Vec::new());
    for (id, keystore, answer) in futures::future::join_all(answers).await {
        match answer {
            Answer::Away(why) => warnings.push(unasked(&id, &why)),
            Answer::Silent(why) => newer.push(format!(
                "{id} answers, but does not tell whether it is newer than the backup of {}: {why}",
                manifest.at
            )),
            Answer::Holds(held) => {
                let found = doctor::newer(&catalogue, keystore.id(), &held).await?;
                if !found.is_empty() {
                    newer.push(format!("{id} is newer than the backup of {}: {}", manifest.at, first(&found)));
                }
            }
        }
    }
    if newer.is_empty() { Ok(warnings) } else { Err(DaemonError::InstanceIsNewer(newer)) }
}

enum Answer {
    /// It cannot be reached, or is not the one that was pinned.
    Away(String),
    /// It is there, and what it holds is not known all the same.
    Silent(String),
    Holds(Vec<Held>),
}

async fn held(keystore: &RemoteKeystore) -> Answer {
    match timeout(HELLO, keystore.probe()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Answer::Away(error.to_string()),
        Err(_) => return Answer::Away(format!("no answer in {} s", HELLO.as_secs())),
    }
    match keystore.inventory().await {
        Ok(held) => Answer::Holds(held),
        Err(error) => Answer::Silent(error.to_string()),
    }
}

fn unasked(id: &InstanceId, why: &str) -> Advice {
    Advice {
        code: "InstanceUnreachable".to_owned(),
        message: format!("{id} was not asked whether it is newer than the backup: {why}"),
        remedy: "once it answers, `keyferry doctor` lists what came to it, or went from it, after the backup"
            .to_owned(),
    }
}

/// As many as somebody reads.
fn first(found: &[String]) -> String {
    let mut text = found.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if let Some(more) = found.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text += &format!("; and {more} more");
    }
    text
}

const SHOWN: usize = 5;
/// How long an instance may take to say that it is there. One that hangs does not.
const HELLO: Duration = Duration::from_secs(8);
/// One that is there has its time: it opens every record to tell what it holds.
const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(3), quick: Duration::from_secs(5), slow: Duration::from_secs(60) };
