//! `schedule …`.

use axum::Json;
use axum::extract::{ConnectInfo, Path, RawQuery, State as Context};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::protocol::{EntryShape, RunShape, RunsShape, ScheduleShape, SchedulesShape};
use super::query::Parameters;
use super::{AdminError, Peer, State, jobs, views};
use crate::config::parse_duration;
use crate::model::{self, Cron, IfMissed, ProblemCode, ScheduleEntry, ScheduleState, When};
use crate::observe::{Event, Fields, emit};
use crate::schedule::next_runs;

pub(super) async fn list(Context(state): Context<State>) -> Result<Json<SchedulesShape>, AdminError> {
    let schedules = state.book().list().await?;
    Ok(Json(SchedulesShape { schedules: schedules.iter().map(|schedule| views::schedule(schedule)).collect() }))
}

pub(super) async fn show(
    Context(state): Context<State>,
    Path(name): Path<String>,
) -> Result<Json<ScheduleShape>, AdminError> {
    let schedule = state.book().get(&name).await?;
    Ok(Json(views::schedule(&schedule)))
}

pub(super) async fn next(
    Context(state): Context<State>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<RunsShape>, AdminError> {
    let schedule = state.book().get(&name).await?;
    let count = Parameters::new(query.as_deref()).text("count").and_then(|n| n.parse().ok()).unwrap_or(DEFAULT_RUNS);
    if schedule.state != ScheduleState::Active {
        return Ok(Json(RunsShape { runs: Vec::new() }));
    }
    let zone = match &schedule.entry.when {
        When::At(_) => TimeZone::system(),
        When::Cron { time_zone, .. } => model::time_zone(time_zone).unwrap_or(TimeZone::UTC),
    };
    let runs = next_runs(&schedule.entry.when, schedule.floor().max(state.now()), count.min(MAX_RUNS));
    let local = |at: Timestamp| at.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    Ok(Json(RunsShape {
        runs: runs.into_iter().map(|at| RunShape { local: local(at), utc: views::time(at) }).collect(),
    }))
}

pub(super) async fn add(
    Context(state): Context<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<EntryShape>,
) -> Result<Json<ScheduleShape>, AdminError> {
    let entry = entry(&state, &request)?;
    let fields = Fields::new().schedule(&entry.name).region(&entry.region).instance(&entry.instance);
    if let When::At(at) = entry.when
        && at <= state.now()
    {
        return Err(AdminError::usage("InvalidValue", format!("{at} is past"), "name an instant to come"));
    }
    let command = format!("schedule add {}", entry.name);
    let added =
        state.command(peer, &fields, &command, |state| async move { Ok(state.book().add(entry).await?) }).await?;
    emit(Event::ScheduleRegistered, &fields, "a schedule was added on the command line");
    Ok(Json(views::schedule(&added)))
}

pub(super) async fn pause(
    Context(state): Context<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(name): Path<String>,
) -> Result<Json<ScheduleShape>, AdminError> {
    let (fields, command) = (Fields::new().schedule(&name), format!("schedule pause {name}"));
    state
        .command(peer, &fields, &command, |state| async move {
            Ok(Json(views::schedule(&state.book().pause(&name).await?)))
        })
        .await
}

pub(super) async fn resume(
    Context(state): Context<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(name): Path<String>,
) -> Result<Json<ScheduleShape>, AdminError> {
    let (fields, command) = (Fields::new().schedule(&name), format!("schedule resume {name}"));
    state
        .command(peer, &fields, &command, |state| async move {
            Ok(Json(views::schedule(&state.book().resume(&name).await?)))
        })
        .await
}

pub(super) async fn cancel(
    Context(state): Context<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(name): Path<String>,
) -> Result<Json<ScheduleShape>, AdminError> {
    let (fields, command) = (Fields::new().schedule(&name), format!("schedule cancel {name}"));
    state
        .command(peer, &fields, &command, |state| async move {
            Ok(Json(views::schedule(&state.book().cancel(&name).await?)))
        })
        .await
}

const DEFAULT_RUNS: usize = 5;
const MAX_RUNS: usize = 100;

/// The entry of a request, held to the rules of the configuration file.
fn entry(state: &State, shape: &EntryShape) -> Result<ScheduleEntry, AdminError> {
    let fits = (1..=64).contains(&shape.name.len())
        && shape.name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && shape.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !fits {
        let message = format!("{:?} is not a schedule's name", shape.name);
        return Err(invalid(message, "1 to 64 letters, digits and . _ -, beginning with a letter or digit"));
    }
    let region = state.known_region(&shape.region)?;
    let facts = state.known_instance(&shape.instance)?;
    if facts.region != region {
        let message = format!("{} is in {}, not in {region}", facts.id, facts.region);
        let remedy = "name an instance of the region: resources never leave theirs";
        return Err(AdminError::usage(ProblemCode::RegionMismatch.as_str(), message, remedy));
    }
    let window = duration("--window", shape.window.as_deref())?.unwrap_or(ScheduleEntry::DEFAULT_WINDOW);
    let soak = duration("--soak", shape.soak.as_deref())?.unwrap_or_default();
    if window.is_zero() {
        return Err(invalid("a window of 0s".to_owned(), "a window in which the migration can run, such as 2h"));
    }
    if soak >= window {
        return Err(invalid(
            "the soak is not shorter than the window".to_owned(),
            "make it shorter, or the window longer",
        ));
    }
    let if_missed = match shape.if_missed.as_deref() {
        None | Some("run") => IfMissed::Run,
        Some("skip") => IfMissed::Skip,
        Some(other) => {
            return Err(invalid(format!("{other:?} is not a policy for missed runs"), "run or skip"));
        }
    };
    let resources = jobs::selection(&shape.resources)?;
    jobs::check_size(&resources)?;
    Ok(ScheduleEntry {
        name: shape.name.clone(),
        accounts: jobs::accounts(state, &shape.accounts)?,
        region,
        instance: facts.id,
        when: when(shape)?,
        resources,
        window,
        if_missed,
        soak,
        rehearse: shape.rehearse,
        acknowledge: shape.acknowledge,
    })
}

fn when(shape: &EntryShape) -> Result<When, AdminError> {
    match (&shape.at, &shape.cron, &shape.time_zone) {
        (Some(at), None, None) => at.parse().map(When::At).map_err(|_| {
            invalid(format!("{at:?} is not an instant"), "RFC 3339 with an offset, such as 2026-12-01T02:00:00+08:00")
        }),
        (None, Some(pattern), Some(time_zone)) => match Cron::parse(pattern, time_zone) {
            Ok(_) => Ok(When::Cron { pattern: pattern.clone(), time_zone: time_zone.clone() }),
            Err(error) => {
                Err(invalid(error.to_string(), "five fields and an IANA zone: \"0 2 * * Sun\", Asia/Shanghai"))
            }
        },
        _ => Err(invalid(
            "a schedule has either an instant, or a pattern with its time zone".to_owned(),
            "--at INSTANT, or --cron PATTERN with --time-zone ZONE",
        )),
    }
}

fn duration(option: &str, text: Option<&str>) -> Result<Option<std::time::Duration>, AdminError> {
    let refused = |error| invalid(format!("{option}: {error}"), "such as 2h, 1h30m or 0s");
    text.map(parse_duration).transpose().map_err(refused)
}

fn invalid(message: String, remedy: &str) -> AdminError {
    AdminError::usage("InvalidValue", message, remedy)
}
