//! `demo`: the whole story on a throw-away state directory, over the same code paths as `run`.
//!
//! It fills a region through the API, keeps applications working, schedules an automated migration in the configuration,
//! shows that management is refused meanwhile, and proves afterwards that everything that must hold does.

mod checks;
mod client;
mod elsewhere;
mod keys;
mod secrets;
mod story;
mod token;
mod traffic;

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::DaemonError;
use super::dev::Scratch;
use crate::model::JobState;
use crate::observe::{LogFormat, LogLevel, logger};
use checks::Checks;
use client::Client;
use story::{Story, fault};
use traffic::Traffic;

/// How large, and where.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Keys to make, at least one of each kind.
    pub keys: u32,
    /// Secrets to make, at least one of each kind.
    pub secrets: u32,
    /// A directory of which a fresh part is used, and kept; `None`: a temporary one that is removed at the end.
    pub dir: Option<PathBuf>,
    /// The instance runs as a process of its own, behind mutual TLS.
    pub remote: bool,
    /// Into a hardware instance, with SoftHSM2 as its token.
    pub hardware: bool,
}

impl Default for DemoOptions {
    fn default() -> Self {
        Self { keys: 24, secrets: 24, dir: None, hardware: false, remote: false }
    }
}

/// Tells the story on standard output; its last line is `Migration Complete`.
///
/// # Errors
/// When it cannot go on, or a check does not hold.
pub async fn demo(options: DemoOptions) -> Result<(), DaemonError> {
    let begun = Instant::now();
    let dir = Scratch::new("demo", options.dir.as_deref())?;
    let token = if options.hardware { token::here(dir.path())? } else { None };
    if options.hardware && token.is_none() {
        return token::tell_elsewhere(dir.path(), &options).await;
    }
    log_into(&dir)?;
    println!("A KMS with one region, one account and one dedicated instance, in {}", dir.path().display());
    let mut story = Story::begin(&dir, &options, token).await?;
    let outcome = tell(&mut story, begun).await;
    story.end().await;
    drop(dir);
    let failed = outcome?;
    if failed > 0 {
        return Err(DaemonError::Checks(failed));
    }
    println!("\nMigration Complete");
    Ok(())
}

async fn tell(story: &mut Story, begun: Instant) -> Result<usize, DaemonError> {
    let client = story.client()?;
    let (keys, secrets) = story.sizes();
    println!("\nFilling the region through the API");
    let mut keys = keys::fill(&client, keys).await.map_err(fault)?;
    if story.has_token() {
        keys.iter_mut().for_each(keys::Key::stays_unless_hardware_takes_it);
    }
    let first = keys.first().map(|key| key.id.clone()).unwrap_or_default();
    let secrets = secrets::fill(&client, &first, secrets).await.map_err(fault)?;
    let made: usize = keys.iter().map(|key| key.made.len()).sum();
    println!("  {} keys, {} secrets; {made} ciphertexts and signatures made with them", keys.len(), secrets.len());
    story.table().await?;

    println!("Applications start: they encrypt, decrypt, sign, verify and read secrets all the time");
    let traffic = Traffic::start(&client, &keys, &secrets);
    println!("\nAn automated migration is added to the configuration file, which is read again (SIGHUP):\n");
    let due = story.schedule(AHEAD).await?;
    println!("\nIt is due at {due}");
    let what = keys.first().map(|key| key.what).unwrap_or_default();
    let refused = tokio::spawn(refusal(client.clone(), first.clone(), what));
    let job = story.follow(PATIENCE).await;
    let refused = refused.await.map_err(fault)?;
    let job = job?;
    println!("  {} application calls so far", traffic.calls());
    story.table().await?;

    println!("Checking everything that must hold");
    let mut checks = Checks::default();
    let reason = job.failure.as_ref().map(|f| format!("{}: {}", f.code, f.message)).unwrap_or_default();
    checks.tell("the job has completed", job.state == JobState::Complete, &reason);
    checks.tell("a management operation was refused meanwhile", refused, "it was never refused");
    let left: Vec<&str> = job.left_behind.iter().map(|left| left.resource.name()).collect();
    let stay: Vec<&str> = keys.iter().filter(|key| !key.moves).map(|key| key.id.as_str()).collect();
    let only =
        stay.iter().all(|id| left.contains(id)) && keys.iter().all(|k| !k.moves || !left.contains(&k.id.as_str()));
    checks.tell("what cannot migrate was left behind, nothing else", only, &left.join(", "));
    let (calls, failures, first_failure) = traffic.stop().await;
    let text = format!("applications made {calls} calls, {failures} of them failed");
    checks.tell(&text, failures == 0 && calls > 0, &first_failure.unwrap_or_default());
    checks.open_again(story, &client, &keys).await.map_err(fault)?;
    checks.source_is_empty(story).await?;
    checks.apart(story);
    checks.secrets(&client, &secrets).await.map_err(fault)?;
    checks.keys(&client, &keys).await.map_err(fault)?;
    if story.has_token() {
        checks.in_token(story, &client, &keys).await.map_err(fault)?;
    }
    println!("\n{:.1} s", begun.elapsed().as_secs_f64());
    Ok(checks.failed())
}

const AHEAD: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(120);
const REFUSAL_EVERY: Duration = Duration::from_millis(50);

/// Tries a management operation that changes nothing until it is refused; false when it never was.
async fn refusal(client: Client, key: String, description: &'static str) -> bool {
    let trying = async {
        loop {
            let parameters = [("KeyId", key.as_str()), ("Description", description)];
            match client.call("UpdateKeyDescription", &parameters).await {
                Err(error) if error.code == "Rejected.Migrating" => {
                    println!("  refused: {error}");
                    return true;
                }
                Ok(_) | Err(_) => tokio::time::sleep(REFUSAL_EVERY).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, trying).await.unwrap_or(false)
}

/// The daemon's log goes where it does not disturb the story.
fn log_into(dir: &Scratch) -> Result<(), DaemonError> {
    let path = dir.path().join("keyferry.log");
    let file = File::create(&path).map_err(|error| DaemonError::Path {
        path,
        error,
        remedy: "the directory must be writable",
    })?;
    let (subscriber, _) = logger(LogFormat::Json, LogLevel::Info, Box::new(file));
    // A process that has a logger already keeps it.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}
