//! `job …`.

use super::arguments::JobCommand;
use super::client::{Answer, Client, segment};
use super::outcome::{Exit, Failure};
use super::table::Table;
use super::terminal::Terminal;
use super::watch::{self, Telling};
use super::{describe, page, report, terraform};
use crate::admin::protocol::{JobShape, JobsShape, ReportShape};

pub(super) async fn job(terminal: &mut Terminal, client: &Client, command: &JobCommand) -> Result<Exit, Failure> {
    match command {
        JobCommand::List => {
            let Answer { raw, shape } = client.get::<JobsShape>("/jobs").await?;
            if terminal.json() {
                terminal.document(&raw);
            } else {
                terminal.print(&list(&shape.jobs));
            }
        }
        JobCommand::Show { job } => show(terminal, &client.get(&path(job)).await?),
        JobCommand::Watch { job } => {
            let telling = if terminal.json() { Telling::Documents } else { Telling::Data };
            let Some(ended) = watch::until_ended(terminal, client, job, telling).await? else {
                return Ok(Exit::Interrupted);
            };
            if !terminal.json() {
                terraform::tell_next(terminal, &ended.shape);
            }
            return Ok(exit_of(&ended.shape, false));
        }
        JobCommand::Cancel { job } => {
            let answer = client.post::<JobShape>(&format!("{}/cancel", path(job)), &()).await?;
            show(terminal, &answer);
            if answer.shape.finished_at.is_none() {
                terminal.talk(&format!("It is rolled back; follow it with `keyferry job watch {job}`."));
            }
        }
        JobCommand::Report { job, html } => {
            let Answer { raw, shape } = client.get::<ReportShape>(&format!("{}/report", path(job))).await?;
            if terminal.json() {
                terminal.document(&raw);
            } else if *html {
                terminal.print(&page::page(&shape));
            } else {
                terminal.print(&report::text(&shape));
            }
        }
    }
    Ok(Exit::Done)
}

/// The exit code of a job that has ended.
pub(super) fn exit_of(job: &JobShape, strict: bool) -> Exit {
    match job.state.as_str() {
        "complete" if strict && !job.left_behind.is_empty() => Exit::Failed,
        "complete" | "rehearsed" => Exit::Done,
        _ => Exit::Failed,
    }
}

fn path(job: &str) -> String {
    format!("/jobs/{}", segment(job))
}

fn show(terminal: &mut Terminal, answer: &Answer<JobShape>) {
    if terminal.json() {
        terminal.document(&answer.raw);
    } else {
        terminal.print(&describe::job(&answer.shape));
    }
}

fn list(jobs: &[JobShape]) -> String {
    let mut table = Table::new().whole("Job").wraps("Scope").wraps("Moved").wraps("Started").wraps("Status");
    for job in jobs {
        let rehearsal = if job.rehearsal { " (rehearsal)" } else { "" };
        table.row([
            job.id.clone(),
            format!("{} {}", job.account, job.region),
            format!("{}/{} keys {}/{} secrets", job.keys_done, job.keys_total, job.secrets_done, job.secrets_total),
            describe::maybe_instant(job.started_at.as_deref()).replace('T', " "),
            format!("{}{rehearsal}", job.task_status),
        ]);
    }
    if table.is_empty() { "There is no job.".to_owned() } else { table.render() }
}
