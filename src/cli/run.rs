//! `run` and `demo`: the daemon in this process.

use std::path::PathBuf;

use super::arguments::{DemoArguments, Role, RunArguments};
use super::outcome::{Exit, Failure};
use crate::daemon::{self, DemoOptions, DevOptions, RunOptions};

pub(super) async fn run(config: Option<PathBuf>, options: RunArguments) -> Result<Exit, Failure> {
    if options.role == Role::Instance {
        if options.dev {
            let message = "--dev has its instance in the same process";
            return Err(Failure::new(Exit::Usage, "UnsupportedRole", message, "leave --role out"));
        }
        return daemon::run_instance(config).await.map(|()| Exit::Done).map_err(|error| failed(&error));
    }
    let dev = options.dev.then_some(DevOptions { dir: options.dir });
    daemon::run(RunOptions { config, dev }).await.map(|()| Exit::Done).map_err(|error| failed(&error))
}

pub(super) async fn demo(options: DemoArguments) -> Result<Exit, Failure> {
    let DemoArguments { keys, secrets, dir, hardware, remote } = options;
    daemon::demo(DemoOptions { keys, secrets, dir, hardware, remote })
        .await
        .map(|()| Exit::Done)
        .map_err(|error| failed(&error))
}

fn failed(error: &daemon::DaemonError) -> Failure {
    // A configuration that does not do is told apart from a daemon that fails (contract: 2 and 1).
    let exit = if error.exit_code() == Exit::Usage.code() { Exit::Usage } else { Exit::Failed };
    let remedy =
        if exit == Exit::Usage { "put it right and start again; `keyferry config check` reads it alone" } else { "" };
    Failure::new(exit, "Daemon", error.to_string(), remedy)
}
