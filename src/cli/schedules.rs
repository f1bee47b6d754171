//! `schedule …`.

use super::arguments::{AddArguments, ScheduleCommand};
use super::client::{Answer, Client, segment};
use super::describe::{instant, maybe, maybe_instant};
use super::migrate::resources;
use super::outcome::{Exit, Failure};
use super::table::Table;
use super::terminal::Terminal;
use crate::admin::protocol::{EntryShape, ResourcesShape, RunsShape, ScheduleShape, SchedulesShape};

pub(super) async fn schedule(
    terminal: &mut Terminal,
    client: &Client,
    command: ScheduleCommand,
) -> Result<Exit, Failure> {
    let answer: Answer<ScheduleShape> = match command {
        ScheduleCommand::List => return list(terminal, client).await,
        ScheduleCommand::Next { name, count } => return next(terminal, client, &name, count).await,
        ScheduleCommand::Add(options) => client.post("/schedules", &entry(*options)).await?,
        ScheduleCommand::Show { name } => client.get(&path(&name)).await?,
        ScheduleCommand::Pause { name } => client.post(&format!("{}/pause", path(&name)), &()).await?,
        ScheduleCommand::Resume { name } => client.post(&format!("{}/resume", path(&name)), &()).await?,
        ScheduleCommand::Cancel { name } => client.post(&format!("{}/cancel", path(&name)), &()).await?,
    };
    if terminal.json() {
        terminal.document(&answer.raw);
    } else {
        terminal.print(&describe(&answer.shape));
    }
    Ok(Exit::Done)
}

async fn list(terminal: &mut Terminal, client: &Client) -> Result<Exit, Failure> {
    let Answer { raw, shape } = client.get::<SchedulesShape>("/schedules").await?;
    let mut table = Table::new().wraps("Schedule").wraps("Source").wraps("State").whole("Next run").wraps("When");
    for schedule in &shape.schedules {
        table.row([
            schedule.entry.name.clone(),
            schedule.source.clone(),
            schedule.state.clone(),
            maybe_instant(schedule.next_run.as_deref()),
            when(&schedule.entry),
        ]);
    }
    if terminal.json() {
        terminal.document(&raw);
    } else if table.is_empty() {
        terminal.print("There is no schedule.");
    } else {
        terminal.print(&table.render());
    }
    Ok(Exit::Done)
}

async fn next(terminal: &mut Terminal, client: &Client, name: &str, count: u32) -> Result<Exit, Failure> {
    let Answer { raw, shape } = client.get::<RunsShape>(&format!("{}/next?count={count}", path(name))).await?;
    if terminal.json() {
        terminal.document(&raw);
    } else if shape.runs.is_empty() {
        terminal.print("It will not run.");
    } else {
        let mut table = Table::new().whole("Local").whole("UTC");
        for run in &shape.runs {
            table.row([run.local.clone(), instant(&run.utc)]);
        }
        terminal.print(&table.render());
    }
    Ok(Exit::Done)
}

fn path(name: &str) -> String {
    format!("/schedules/{}", segment(name))
}

fn entry(options: AddArguments) -> EntryShape {
    let resources = resources(&options.selection.resources);
    EntryShape {
        name: options.name,
        region: options.selection.region,
        accounts: options.selection.accounts,
        instance: options.selection.instance,
        at: options.at,
        cron: options.cron,
        time_zone: options.time_zone,
        resources,
        window: Some(options.window),
        if_missed: Some(options.if_missed),
        soak: Some(options.soak),
        rehearse: options.rehearse,
        acknowledge: options.acknowledge,
    }
}

fn when(entry: &EntryShape) -> String {
    match (&entry.at, &entry.cron) {
        (Some(at), _) => format!("at {}", instant(at)),
        (None, Some(cron)) => format!("{cron} {}", entry.time_zone.as_deref().unwrap_or_default()),
        (None, None) => "-".to_owned(),
    }
}

fn describe(schedule: &ScheduleShape) -> String {
    let entry = &schedule.entry;
    let what = match &entry.resources {
        ResourcesShape::Word(_) => "everything that can migrate".to_owned(),
        ResourcesShape::Picked { keys, secrets } => {
            format!("keys {}; secrets {}", names(keys), names(secrets))
        }
    };
    [
        format!("Schedule   {} (from {})", entry.name, schedule.source),
        format!("State      {}", schedule.state),
        format!("When       {}", when(entry)),
        format!("Next run   {}", maybe_instant(schedule.next_run.as_deref())),
        format!("Last job   {}", maybe(schedule.last_job.as_deref())),
        format!("Scope      {}/{} -> {}", entry.accounts.join(", "), entry.region, entry.instance),
        format!("Resources  {what}"),
        format!("Window     {}, soak {}", maybe(entry.window.as_deref()), maybe(entry.soak.as_deref())),
        format!("If missed  {}", maybe(entry.if_missed.as_deref())),
        format!("Rehearsal  {}", if entry.rehearse { "yes" } else { "no" }),
        format!(
            "Read       {}",
            if entry.acknowledge { "the instructions are acknowledged" } else { "not acknowledged" }
        ),
    ]
    .join("\n")
}

fn names(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
