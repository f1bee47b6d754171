//! The command line: client commands talk to the daemon's admin socket; `run`, `demo` and `config` work here.
//!
//! Data goes to standard output, talk to standard error. Exit codes are those of [`Exit`].

mod access;
mod access_arguments;
mod arguments;
mod audit;
mod backup;
mod check;
mod client;
mod clock;
mod config;
mod describe;
mod doctor;
mod explain;
mod generate;
mod holds;
mod instances;
mod instructions;
mod jobs;
mod migrate;
mod outcome;
mod page;
mod progress;
mod report;
mod resources;
mod run;
mod schedules;
mod seal;
mod socket;
mod status;
mod table;
mod terminal;
mod terraform;
#[cfg(test)]
mod tests;
mod usage;
mod watch;

pub use arguments::{Arguments, Command};
pub use outcome::{Exit, Failure};
pub use terminal::Terminal;

use std::process::ExitCode;

use clap::Parser;

use crate::daemon;
use client::Client;

/// Reads the arguments of the process, carries the command out and answers its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return ExitCode::from(usage::tell(&error, std::env::args_os())),
    };
    let mut terminal = Terminal::of_process(arguments.json);
    let exit = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(execute(arguments, &mut terminal)),
        Err(error) => {
            terminal.talk(&format!("keyferry: no worker threads ({error})"));
            Exit::Failed
        }
    };
    daemon::leave_tokens();
    ExitCode::from(exit.code())
}

/// Carries a command out; what it has to say goes to the terminal.
pub async fn execute(arguments: Arguments, terminal: &mut Terminal) -> Exit {
    match dispatch(arguments, terminal).await {
        Ok(exit) => exit,
        Err(failure) => failure.report(terminal),
    }
}

async fn dispatch(arguments: Arguments, terminal: &mut Terminal) -> Result<Exit, Failure> {
    let Arguments { config, socket, json: _, command } = arguments;
    let client = || socket::find(socket.as_deref(), config.as_deref()).map(Client::new);
    match command {
        Command::Run(options) => run::run(config, options).await,
        Command::Demo(options) => run::demo(options).await,
        Command::Config { command } => config::config(terminal, config.as_deref(), &command),
        Command::Check(options) => check::check(terminal, &client()?, &options).await,
        Command::Resources(options) => resources::resources(terminal, &client()?, &options).await,
        Command::Plan(selection) => migrate::plan(terminal, &client()?, &selection).await,
        Command::Migrate(options) => migrate::migrate(terminal, &client()?, &options).await,
        Command::Schedule { command } => schedules::schedule(terminal, &client()?, command).await,
        Command::Job { command } => jobs::job(terminal, &client()?, &command).await,
        Command::Audit { command } => audit::audit(terminal, client, config.as_deref(), command).await,
        Command::Seal { command } => seal::seal(terminal, client, config.as_deref(), command).await,
        Command::Backup(options) => backup::backup(terminal, &client()?, &options).await,
        Command::Restore(options) => backup::restore(terminal, config.as_deref(), &options).await,
        Command::Doctor { repair } => doctor::doctor(terminal, &client()?, repair).await,
        Command::Clock { command } => clock::clock(terminal, &client()?, &command).await,
        Command::Hold(options) => holds::hold(terminal, &client()?, options).await,
        Command::Release(options) => holds::release(terminal, &client()?, options).await,
        Command::Instance { command } => instances::instance(terminal, &client()?, &command).await,
        Command::Terraform { command } => terraform::terraform(terminal, client, &command).await,
        Command::Policy { command } => access::policy(terminal, client, &command).await,
        Command::Role { command } => access::role(terminal, &client()?, &command).await,
        Command::Status => status::status(terminal, &client()?).await,
        Command::Explain(options) => explain::explain(terminal, &options),
        Command::Generate(options) => generate::generate(&options),
    }
}
