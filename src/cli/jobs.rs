//! `job …`.

use super::arguments::JobCommand;
use super::client::{Answer, Client, segment};
use super::outcome::{Exit, Failure};
use super::table::Table;
use super::terminal::Terminal;
use super::watch::{self, Telling};
use super::{describe, page, report, terraform};
use crate::admin::protocol::{GroupReportShape, JobShape, JobsShape, ReportShape};

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
        JobCommand::Watch { job, alone } => {
            let telling = if terminal.json() { Telling::Documents } else { Telling::Data };
            let Some(ended) = watch::until_ended(terminal, client, job, (telling, *alone)).await? else {
                return Ok(Exit::Interrupted);
            };
            if ended.len() > 1 && telling == Telling::Data {
                let jobs: Vec<JobShape> = ended.iter().map(|job| job.shape.clone()).collect();
                terminal.print(&list(&jobs));
            }
            if !terminal.json() {
                for job in &ended {
                    tell_ending(terminal, &job.shape);
                    terraform::tell_next(terminal, &job.shape);
                }
            }
            return Ok(exit_of(ended.iter().map(|job| &job.shape), false));
        }
        JobCommand::Approve { job } => {
            show(terminal, &client.post(&format!("{}/approve", path(job)), &()).await?);
        }
        JobCommand::Cancel { job } => {
            let answer = client.post::<JobShape>(&format!("{}/cancel", path(job)), &()).await?;
            show(terminal, &answer);
            if answer.shape.finished_at.is_none() {
                terminal.talk(&format!("It is rolled back; follow it with `keyferry job watch {job}`."));
            }
        }
        JobCommand::Report { job, alone, html } => {
            let Answer { raw, shape } = client.get::<ReportShape>(&format!("{}/report", path(job))).await?;
            if shape.job.group.as_ref() == Some(&shape.job.id) && !alone {
                group_report(terminal, client, job, *html).await?;
            } else if terminal.json() {
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

async fn group_report(terminal: &mut Terminal, client: &Client, group: &str, html: bool) -> Result<(), Failure> {
    let path = format!("/groups/{}/report", segment(group));
    let Answer { raw, shape } = client.get::<GroupReportShape>(&path).await?;
    if terminal.json() {
        terminal.document(&raw);
    } else if html {
        terminal.print(&page::group_page(&shape));
    } else {
        terminal.print(&report::group_text(&shape));
    }
    Ok(())
}

/// The exit code of jobs that have ended: a failure counts before a refusal by preflight, that before success.
pub(super) fn exit_of<'a>(jobs: impl Iterator<Item = &'a JobShape>, strict: bool) -> Exit {
    let exits = jobs.map(|job| match job.state.as_str() {
        "complete" if strict && !job.left_behind.is_empty() => Exit::Failed,
        "complete" | "rehearsed" => Exit::Done,
        _ if job.was_refused() => Exit::Refused,
        _ => Exit::Failed,
    });
    exits.fold(Exit::Done, |worst, exit| match (worst, exit) {
        (Exit::Failed, _) | (_, Exit::Failed) => Exit::Failed,
        (Exit::Refused, _) | (_, Exit::Refused) => Exit::Refused,
        _ => Exit::Done,
    })
}

/// How a job ended that did not complete, and why: its bar is gone from the screen by then.
fn tell_ending(terminal: &mut Terminal, job: &JobShape) {
    match &job.failure {
        Some(failure) => {
            terminal.talk(&format!("{}: {}: {}: {}", job.id, job.task_status, failure.code, failure.message));
            terminal.talk(&format!("  -> {}", failure.remedy));
        }
        None if job.state == "complete" => {}
        None => terminal.talk(&format!("{}: {}", job.id, job.task_status)),
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

pub(super) fn list(jobs: &[JobShape]) -> String {
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
