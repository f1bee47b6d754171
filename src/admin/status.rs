//! `status` and `check`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{RawQuery, State as Context};

use super::protocol::{Advice, CheckShape, NextShape, StatusShape};
use super::query::Parameters;
use super::scopes::{Surroundings, row};
use super::{AdminError, State, clock, instances, views};
use crate::model::{JobId, JobState, ProblemCode, ScheduleState};

pub(super) async fn check(
    Context(state): Context<State>,
    RawQuery(query): RawQuery,
) -> Result<Json<CheckShape>, AdminError> {
    let wanted = Parameters::new(query.as_deref());
    let region = wanted.text("region").map(|text| state.known_region(text)).transpose()?;
    let account = wanted.text("account").map(|text| state.known_account(text)).transpose()?;
    let around = Surroundings::read(&state).await?;
    let mut regions = Vec::new();
    for scope in state.scopes(region.as_ref(), account.as_ref()) {
        regions.push(row(&state, &around, &scope, true).await?);
    }
    Ok(Json(CheckShape { regions }))
}

pub(super) async fn status(Context(state): Context<State>) -> Result<Json<StatusShape>, AdminError> {
    let around = Surroundings::read(&state).await?;
    let mut scopes = Vec::new();
    for scope in state.scopes(None, None) {
        scopes.push(row(&state, &around, &scope, false).await?);
    }
    let open = || around.jobs.iter().filter(|job| !job.state.is_final());
    let job = match open().find(|job| job.state != JobState::Queued).or_else(|| open().next()) {
        Some(job) => state.catalogue().job(&job.id).await?.map(|job| views::job(&job)),
        None => None,
    };
    let next = around.schedules.iter().filter_map(|s| s.next_run().map(|at| (at, &s.entry.name))).min();
    let holds = state.catalogue().holds().await?;
    Ok(Json(StatusShape {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: state.uptime().as_secs(),
        scopes,
        job,
        next: next.map(|(at, name)| NextShape { schedule: name.clone(), at: views::time(at) }),
        rotation_held: rotation_held(&state, &around).await?,
        holds: holds.iter().map(|hold| views::hold(hold)).collect(),
        warnings: warnings(&state, &around)
            .into_iter()
            .chain(clock::warning(&state).await?)
            .chain(instances::warnings(&state).await?)
            .collect(),
    }))
}

/// A mark counts only while its job runs.
async fn rotation_held(state: &State, around: &Surroundings) -> Result<u64, AdminError> {
    let mut held: BTreeMap<_, u64> = BTreeMap::new();
    for mark in state.catalogue().all_marks().await? {
        let count = held.entry(mark.job.clone()).or_default();
        *count = count.saturating_add(1);
    }
    let runs = |id: &JobId| around.jobs.iter().any(|job| job.id == *id && !job.state.is_final());
    Ok(held.iter().filter(|(id, _)| runs(id)).map(|(_, count)| count).sum())
}

fn warnings(state: &State, around: &Surroundings) -> Vec<Advice> {
    let mut warnings: Vec<Advice> = state.rejected().into_iter().chain(state.warnings().iter().cloned()).collect();
    warnings.extend(state.notices().iter().cloned());
    warnings.extend(state.seal().iter().flat_map(|seal| seal.warnings()));
    let now = state.now();
    let margin = state.migrations().settings().expiry_margin;
    for facts in state.service().keystores.facts().values() {
        let soon = facts.expires.filter(|at| now.checked_add(margin).is_ok_and(|limit| *at <= limit));
        if let Some(expires) = soon {
            let renewed = if facts.auto_renew { "; it is renewed automatically, so check that it was" } else { "" };
            warnings.push(Advice {
                code: ProblemCode::InstanceExpiring.to_string(),
                message: format!(
                    "{} {} at {expires}{renewed}",
                    facts.id,
                    if expires <= now { "has ended" } else { "expires" }
                ),
                remedy: "renew the instance and change `expires`; no migration whose window ends later starts"
                    .to_owned(),
            });
        }
    }
    for job in around.jobs.iter().filter(|job| job.state.may_hold_lock() && job.window_end < now) {
        warnings.push(Advice {
            code: "LockOverdue".to_owned(),
            message: format!("{} still locks {} after the end of its window", job.id, job.scope),
            remedy: format!("see what it waits for: `keyferry job show {}`", job.id),
        });
    }
    for job in around.jobs.iter().filter(|job| job.state == JobState::Queued && job.awaits_approval()) {
        let asked_by = job.approval.as_ref().map_or("somebody", |approval| approval.asked_by.as_str());
        warnings.push(Advice {
            code: "AwaitingApproval".to_owned(),
            message: format!(
                "{} was asked for by {asked_by} and waits for an approval until {}",
                job.id, job.window_end
            ),
            remedy: format!("somebody else: `keyferry job approve {}`, or cancel it", job.id),
        });
    }
    let waiting = around.schedules.iter().filter(|s| s.state == ScheduleState::Active && !s.entry.acknowledge);
    for schedule in waiting.filter(|s| s.next_run().is_some()) {
        warnings.push(Advice {
            code: ProblemCode::TerraformUnchecked.to_string(),
            message: format!("nobody has acknowledged the Migration Instructions for {}", schedule.entry.name),
            remedy: "read them (`keyferry plan` shows them), then set acknowledge = true in the schedule".to_owned(),
        });
    }
    warnings
}
