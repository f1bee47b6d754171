//! `terraform …`: configurations that manage what moved.

mod arguments;
mod check;
mod endpoint;
mod rewrite;
mod sarif;
mod sources;

pub(super) use arguments::TerraformCommand;

use super::client::Client;
use super::outcome::{Exit, Failure};
use super::terminal::Terminal;
use crate::admin::protocol::JobShape;
use crate::terraform::{Assessment, Problem, TerraformError};

/// Carries a command out; `client` is made only where the daemon is asked.
pub(super) async fn terraform(
    terminal: &mut Terminal,
    client: impl FnOnce() -> Result<Client, Failure> + Send,
    command: &TerraformCommand,
) -> Result<Exit, Failure> {
    match command {
        TerraformCommand::Check(options) => check::check(terminal, client, options).await,
        TerraformCommand::Rewrite(options) => rewrite::rewrite(terminal, client, options).await,
    }
}

/// What to run after a job that moved something: Terraform does not know of it yet.
pub(super) fn next_step(job: &JobShape) -> Option<String> {
    let moved = job.state == "complete" && !job.rehearsal && (job.keys_total > 0 || job.secrets_total > 0);
    moved.then(|| format!("keyferry terraform check DIR --job {}", job.id))
}

/// Tells the next step, as talk.
pub(super) fn tell_next(terminal: &mut Terminal, job: &JobShape) {
    if let Some(command) = next_step(job) {
        terminal.talk(&format!("Before the next `terraform apply`: `{command}`"));
    }
}

fn failed(error: &TerraformError) -> Failure {
    let (exit, code, remedy) = match error {
        TerraformError::Directory { .. } | TerraformError::Empty(_) => {
            (Exit::Usage, "NoConfiguration", "name the directory that holds the configuration")
        }
        TerraformError::File { .. } => (Exit::Usage, "FileUnreadable", "see `keyferry terraform check --help`"),
        TerraformError::Version(_) => (Exit::Usage, "InvalidValue", "a version is written as 1.235.0"),
        TerraformError::Write { .. } => (
            Exit::Failed,
            "WriteFailed",
            "resolve that, then run the same command again: what is done is not done twice",
        ),
    };
    Failure::new(exit, code, error.to_string(), remedy)
}

fn problem_line(problem: &Problem) -> String {
    let line = problem.line.map_or_else(String::new, |line| format!(":{line}"));
    format!("{}{line}: {}", problem.file.display(), problem.message)
}

/// What could not be read, and what is worth knowing, as talk.
fn talk_about(terminal: &mut Terminal, assessment: &Assessment) {
    for problem in &assessment.problems {
        terminal.talk(&format!("not read: {}", problem_line(problem)));
    }
    for note in &assessment.notes {
        terminal.talk(&format!("note: {note}"));
    }
}
