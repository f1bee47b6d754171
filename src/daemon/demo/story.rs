//! The scene: a daemon on loopback with a throw-away configuration, and what the demo shows of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::super::dev::{ACCOUNT, REGION, Scratch, random_hex, write_private};
use super::super::running::Daemon;
use super::super::{DaemonError, load, remotes};
use super::DemoOptions;
use super::client::Client;
use super::elsewhere::Elsewhere;
use super::token::{DemoToken, LABEL};
use crate::kms::Service;
use crate::migration::Migrations;
use crate::model::{Job, JobState, Scope};
use crate::store::Stored;

/// The target.
pub(super) const INSTANCE: &str = "kst-demo1";
/// The schedule in the configuration.
pub(super) const SCHEDULE: &str = "demo-automated-migration";

/// The scene.
pub(super) struct Story {
    daemon: Daemon,
    config: PathBuf,
    text: Zeroizing<String>,
    scope: Scope,
    secret: Zeroizing<String>,
    keys: u32,
    secrets: u32,
    elsewhere: Option<Elsewhere>,
    state: PathBuf,
    token: bool,
}

impl Story {
    /// Writes the configuration and starts the daemon on it.
    pub(super) async fn begin(
        dir: &Scratch,
        options: &DemoOptions,
        token: Option<DemoToken>,
    ) -> Result<Self, DaemonError> {
        let (keys, secrets) = (options.keys, options.secrets);
        let elsewhere = match options.remote {
            true => Some(Elsewhere::start(dir.path())?),
            false => None,
        };
        let scope = Scope { region: REGION.parse().map_err(fault)?, account: ACCOUNT.parse().map_err(fault)? };
        let secret = random_hex(15);
        let state = dir.path().join("state");
        let mut text = configuration(&state.display().to_string(), &secret, keys, secrets, token.as_ref());
        if let Some(elsewhere) = &elsewhere {
            println!("The instance runs as process {}, with a store and a root key of its own", elsewhere.pid());
            text.push_str(&elsewhere.key());
        }
        let text = Zeroizing::new(text);
        let config = dir.path().join("keyferry.toml");
        write_private(&config, &text)?;
        let daemon = Daemon::start(config.clone(), load(&config)?).await?;
        // Its identity is pinned before anything is scheduled.
        remotes::look_at_all(daemon.parts()).await;
        Ok(Self { daemon, config, text, scope, secret, keys, secrets, elsewhere, state, token: token.is_some() })
    }

    /// A client of its API.
    pub(super) fn client(&self) -> Result<Client, DaemonError> {
        let address = self.daemon.address().ok_or_else(|| DaemonError::Demo("no listener".to_owned()))?;
        Client::new(address.to_string(), ACCESS_KEY.to_owned(), self.secret.clone()).map_err(fault)
    }

    /// Adds the automated migration to the configuration, due in a few seconds, and has it read again.
    pub(super) async fn schedule(&mut self, ahead: Duration) -> Result<jiff::Timestamp, DaemonError> {
        let due = jiff::Timestamp::now().saturating_add(ahead).map_err(fault)?;
        let due = due.round(jiff::Unit::Second).map_err(fault)?;
        let entry = format!(
            "\n[[schedule]]\nname = \"{SCHEDULE}\"\nregion = \"{REGION}\"\naccount = \"{ACCOUNT}\"\n\
             instance = \"{INSTANCE}\"\nat = {due}\nresources = \"all\"\nwindow = \"10m\"\nsoak = \"1s\"\nacknowledge = true\n"
        );
        println!("{}", entry.trim());
        write_private(&self.config, &Zeroizing::new(format!("{}{entry}", self.text.as_str())))?;
        self.daemon.reload(None).await;
        Ok(due)
    }

    /// The job of the schedule, once it is there and has ended; prints where it stands meanwhile.
    pub(super) async fn follow(&self, patience: Duration) -> Result<Stored<Job>, DaemonError> {
        let mut changes = self.migrations().changes();
        let mut shown: Option<JobState> = None;
        let ended = async {
            loop {
                let jobs = self.service().catalogue.jobs().await?;
                if let Some(job) = jobs.into_iter().find(|job| job.schedule.as_deref() == Some(SCHEDULE)) {
                    if shown != Some(job.state) {
                        println!("  {}", progress(&job));
                        shown = Some(job.state);
                    }
                    if job.state.is_final()
                        && let Some(whole) = self.service().catalogue.job(&job.id).await?
                    {
                        return Ok(whole);
                    }
                }
                let _ = tokio::time::timeout(LOOK, changes.changed()).await;
            }
        };
        match tokio::time::timeout(patience, ended).await {
            Ok(ended) => ended,
            Err(_) => Err(DaemonError::Demo(format!("the migration did not end within {} s", patience.as_secs()))),
        }
    }

    /// Prints the Migration Information of the scope.
    pub(super) async fn table(&self) -> Result<(), DaemonError> {
        let counts = self.migrations().counts(&self.scope).await?;
        let jobs = self.service().catalogue.jobs().await?;
        let status = match jobs.last().map(|job| job.state) {
            Some(JobState::Complete) => "Migration Complete",
            Some(state) if state.is_final() => "Migration Failed",
            Some(_) => "Migrating",
            None => "Not Started",
        };
        println!("\n  Migration Information of account {ACCOUNT}");
        println!("  {:<12} {:>17} {:>9} {:>17} {:>9}", "", "Keys", "", "Secrets", "");
        println!(
            "  {:<12} {:>17} {:>9} {:>17} {:>9}  Task status",
            "Region", "not migrated", "migrated", "not migrated", "migrated"
        );
        println!(
            "  {:<12} {:>17} {:>9} {:>17} {:>9}  {status}\n",
            REGION,
            counts.keys_not_migrated,
            counts.keys_migrated,
            counts.secrets_not_migrated,
            counts.secrets_migrated
        );
        Ok(())
    }

    /// The scope that moves.
    pub(super) fn scope(&self) -> Scope {
        self.scope.clone()
    }

    /// The service behind the API.
    pub(super) fn service(&self) -> &Service {
        &self.daemon.parts().service
    }

    /// The state directory of the gateway, if the instance is elsewhere.
    pub(super) fn gateway_alone(&self) -> Option<&Path> {
        self.elsewhere.as_ref().map(|_| self.state.as_path())
    }

    /// How many keys and secrets to make at least.
    pub(super) fn sizes(&self) -> (usize, usize) {
        let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        (size(self.keys), size(self.secrets))
    }

    /// Whether the instance is a hardware instance.
    pub(super) const fn has_token(&self) -> bool {
        self.token
    }

    /// Ends the daemon.
    pub(super) async fn end(self) {
        self.daemon.stop().await;
    }

    fn migrations(&self) -> &Migrations {
        &self.daemon.parts().migrations
    }
}

/// An error of the demo itself.
pub(super) fn fault(error: impl std::fmt::Display) -> DaemonError {
    DaemonError::Demo(error.to_string())
}

const ACCESS_KEY: &str = "LTAIdemo";
const LOOK: Duration = Duration::from_millis(200);

fn progress(job: &Job) -> String {
    let state = serde_json::to_value(job.state).unwrap_or_default();
    format!(
        "{:<14} keys {}/{}  secrets {}/{}",
        state.as_str().unwrap_or_default(),
        job.keys_done,
        job.keys_total,
        job.secrets_done,
        job.secrets_total
    )
}

fn configuration(state: &str, secret: &str, keys: u32, secrets: u32, token: Option<&DemoToken>) -> String {
    let kind = match token {
        None => "kind = \"software\"".to_owned(),
        Some(DemoToken { module, pin_file }) => {
            let (module, pin_file) = (module.display().to_string(), pin_file.display().to_string());
            format!(
                "kind = \"hardware\"\npkcs11 = {{ module = {module:?}, token = {LABEL:?}, pin_file = {pin_file:?} }}"
            )
        }
    };
    // Room for what there is and a little more.
    let (key_quota, secret_quota) = (keys.saturating_add(100), secrets.saturating_add(100));
    format!(
        r#"state_dir = {state:?}

[api]
listen = "127.0.0.1:0"

[[region]]
id = "{REGION}"
service_keys = ["ecs"]

[[account]]
id = "{ACCOUNT}"
name = "retail"

[[account.access_key]]
id = "{ACCESS_KEY}"
secret = "{secret}"

[[instance]]
id = "{INSTANCE}"
region = "{REGION}"
owner = "{ACCOUNT}"
{kind}
key_quota = {key_quota}
secret_quota = {secret_quota}
"#
    )
}
