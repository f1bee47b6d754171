//! How a command ends.

use serde::Serialize;
use thiserror::Error;

use super::table::wrap;
use super::terminal::Terminal;
use crate::admin::protocol::{Advice, ErrorShape, ProblemShape};

/// Exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done; also a rehearsal whose proofs all held.
    Done,
    /// The job failed, was canceled or rolled back; or the command failed.
    Failed,
    /// Usage or configuration.
    Usage,
    /// The daemon cannot be reached.
    Unreachable,
    /// Refused by preflight.
    Refused,
    /// The scope is locked by another job.
    Locked,
    /// Ctrl-C while waiting: 128 + SIGINT, as shells have it. The job goes on.
    Interrupted,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Refused => 4,
            Self::Locked => 5,
            Self::Interrupted => 130,
        }
    }

    /// The code that goes with the HTTP status of an admin error.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        match status {
            400 | 404 | 405 | 413 | 415 => Self::Usage,
            422 => Self::Refused,
            423 => Self::Locked,
            _ => Self::Failed,
        }
    }
}

/// Why a command did not do what was asked: cause, remedy and exit code.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", .error.message)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// Code, cause and remedy.
    pub error: Advice,
    /// Every problem, where preflight refused.
    pub problems: Vec<ProblemShape>,
}

impl Failure {
    /// A failure with one cause.
    #[must_use]
    pub fn new(exit: Exit, code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        let error = Advice { code: code.to_owned(), message: message.into(), remedy: remedy.into() };
        Self { exit, error, problems: Vec::new() }
    }

    /// What the daemon answered.
    #[must_use]
    pub fn answered(status: u16, body: ErrorShape) -> Self {
        Self { exit: Exit::of_status(status), error: body.error, problems: body.problems }
    }

    /// Tells it, as JSON where that was asked for, and answers the exit code.
    pub fn report(&self, terminal: &mut Terminal) -> Exit {
        if terminal.json() {
            terminal.document(&Document { error: &self.error, problems: &self.problems });
        } else {
            // Its code is what `keyferry explain` takes, and what a search in the documentation finds.
            terminal.talk(&format!("keyferry: {}: {}", self.error.code, self.error.message));
            // One that is all there is to tell is told once.
            let alone = |problem: &ProblemShape| problem.id.is_none() && problem.message == self.error.message;
            for problem in self.problems.iter().filter(|problem| self.problems.len() > 1 || !alone(problem)) {
                indented(&problem_line(problem)).iter().for_each(|line| terminal.talk(line));
            }
            if !self.error.remedy.is_empty() {
                terminal.talk(&format!("  -> {}", self.error.remedy));
            }
        }
        self.exit
    }
}

/// A paragraph at two blanks, its further lines at four, that fits 80 columns.
pub(super) fn indented(text: &str) -> Vec<String> {
    let lines = wrap(text, 76).into_iter().enumerate();
    lines.map(|(n, line)| if n == 0 { format!("  {line}") } else { format!("    {line}") }).collect()
}

/// A problem in one line.
pub(super) fn problem_line(problem: &ProblemShape) -> String {
    let about = match (&problem.kind, &problem.id) {
        (Some(kind), Some(id)) => format!("{kind} {id}: "),
        _ => String::new(),
    };
    let remedy = if problem.remedy.is_empty() { String::new() } else { format!(" -> {}", problem.remedy) };
    format!("{}: {about}{}{remedy}", problem.code, problem.message)
}

#[derive(Serialize)]
struct Document<'a> {
    error: &'a Advice,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    problems: &'a [ProblemShape],
}
