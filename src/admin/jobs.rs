//! `plan`, `migrate` and `job …`.

use axum::Json;
use axum::extract::{ConnectInfo, Path, State as Context};
use jiff::Timestamp;

use super::protocol::{
    GroupReportShape, GroupShape, JobShape, JobsShape, MigrateRequest, PlanShape, PlansShape, ReportShape,
    ResourcesShape,
};
use super::{AdminError, Peer, State, views};
use crate::audit::read_report;
use crate::catalogue::Demand;
use crate::migration::Order;
use crate::model::{
    AccountId, InstanceId, Job, JobId, JobState, MAX_ACCOUNTS, MAX_SELECTED, Method, ProblemCode, RegionId, Scope,
    Selection,
};
use crate::observe::Fields;
use crate::store::{Stored, Transaction};

pub(super) async fn list(Context(state): Context<State>) -> Result<Json<JobsShape>, AdminError> {
    let mut jobs = Vec::new();
    for job in state.catalogue().jobs().await? {
        // One by one: only this way does a job come with what it left behind.
        jobs.extend(state.catalogue().job(&job.id).await?.map(|job| views::job(&job)));
    }
    Ok(Json(JobsShape { jobs }))
}

pub(super) async fn show(Context(state): Context<State>, Path(id): Path<String>) -> Result<Json<JobShape>, AdminError> {
    find(&state, &id).await.map(Json)
}

pub(super) async fn report(
    Context(state): Context<State>,
    Path(id): Path<String>,
) -> Result<Json<ReportShape>, AdminError> {
    let job = stored(&state, &id).await?;
    report_of(&state, &job).await.map(Json)
}

/// The reports of a group, each as it is filed, with what they add up to.
pub(super) async fn group_report(
    Context(state): Context<State>,
    Path(id): Path<String>,
) -> Result<Json<GroupReportShape>, AdminError> {
    let mut jobs = Vec::new();
    for member in members(&state, &id).await? {
        jobs.push(report_of(&state, &*stored(&state, &member).await?).await?);
    }
    Ok(Json(GroupReportShape::of(id, jobs)))
}

/// The jobs of a group in the order in which they run.
pub(super) async fn members(state: &State, group: &str) -> Result<Vec<String>, AdminError> {
    let jobs = state.catalogue().jobs().await?;
    let of_group = |job: &&Stored<Job>| job.group.as_ref().is_some_and(|id| id.as_str() == group);
    let mut members: Vec<(u32, String)> =
        jobs.iter().filter(of_group).map(|job| (job.group_index, job.id.to_string())).collect();
    if members.is_empty() {
        let message = format!("there is no group {group}");
        return Err(AdminError::unknown("GroupNotFound", message, "a group has the ID of its first job"));
    }
    members.sort();
    Ok(members.into_iter().map(|(_, id)| id).collect())
}

async fn report_of(state: &State, job: &Job) -> Result<ReportShape, AdminError> {
    let plan = state.catalogue().plan(&job.id).await?;
    let (keys, secrets) = views::split(plan.iter().map(|item| &item.resource));
    let (plan_digest, manifest) = (job.plan_digest.clone(), job.manifest.clone());
    let filed = read_report(state.catalogue().store().as_ref(), &job.id).await?;
    // One that was altered is shown as it lies there, and said to be.
    let evidence = match filed.as_ref().and_then(|filed| serde_json::from_slice(&filed.text).ok()) {
        Some(report) => report,
        None => state.migrations().report(job).await?,
    };
    let signature = filed.as_ref().map(views::signature);
    let job = views::job(job);
    Ok(ReportShape { job, keys, secrets, plan_digest, manifest, evidence: Some(evidence), signature })
}

pub(super) async fn cancel(
    Context(state): Context<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<String>,
) -> Result<Json<JobShape>, AdminError> {
    let job = stored(&state, &id).await?;
    let (fields, command) = (Fields::of_job(&job), format!("job cancel {}", job.id));
    state
        .command(peer, &fields, &command, |state| async move {
            state.migrations().cancel(&job.id).await?;
            find(&state, &id).await.map(Json)
        })
        .await
}

pub(super) async fn approve(
    Context(state): Context<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<String>,
) -> Result<Json<JobShape>, AdminError> {
    let job = stored(&state, &id).await?;
    let (fields, command) = (Fields::of_job(&job), format!("job approve {}", job.id));
    state
        .command(peer, &fields, &command, |state| async move {
            state.migrations().approve(&job.id).await?;
            find(&state, &id).await.map(Json)
        })
        .await
}

pub(super) async fn plan(
    Context(state): Context<State>,
    Json(request): Json<MigrateRequest>,
) -> Result<Json<PlansShape>, AdminError> {
    let target = Target::read(&state, &request)?;
    let jobs = state.catalogue().jobs().await?;
    let speed = speed(&jobs);
    let mut plans = Vec::new();
    let mut ahead = Demand::default();
    for account in &target.accounts {
        let scope = Scope { region: target.region.clone(), account: account.clone() };
        let plan = state.migrations().plan(&scope, &target.instance, &target.selection, ahead).await?;
        // What is refused brings nothing for the next one to find there.
        if !plan.refuses(&target.selection) {
            ahead.keys = ahead.keys.saturating_add(plan.keys());
            ahead.secrets = ahead.secrets.saturating_add(plan.secrets());
        }
        let (keys, secrets) = views::split(plan.items.iter().map(|item| &item.resource));
        plans.push(PlanShape {
            region: scope.region.to_string(),
            account: account.to_string(),
            instance: target.instance.to_string(),
            estimated_seconds: estimate(plan.items.len(), speed),
            keys,
            secrets,
            refused: plan.refuses(&target.selection),
            problems: plan.problems.iter().map(views::problem).collect(),
            left_behind: plan.left_behind.iter().map(views::left).collect(),
            warnings: plan.warnings.iter().map(views::problem).collect(),
        });
    }
    Ok(Json(PlansShape { plans }))
}

pub(super) async fn migrate(
    Context(state): Context<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<MigrateRequest>,
) -> Result<Json<GroupShape>, AdminError> {
    let target = Target::read(&state, &request)?;
    let accounts: Vec<&str> = target.accounts.iter().map(AccountId::as_str).collect();
    let command = if request.rehearse { "migrate --rehearse" } else { "migrate" };
    let mut fields = Fields::new().region(&target.region).instance(&target.instance);
    if let [account] = target.accounts.as_slice() {
        fields = fields.account(account);
    }
    let command = format!("{command} {}: {} to {}", target.region, accounts.join(", "), target.instance);
    let order = Order {
        region: target.region,
        accounts: target.accounts,
        instance: target.instance,
        selection: target.selection,
        rehearsal: request.rehearse,
        // Whoever asks for a migration by hand has confirmed the instructions, or said --yes to them.
        acknowledged: true,
        method: Method::Manual,
        schedule: None,
        scheduled_for: state.now(),
        window: Order::MANUAL_WINDOW,
        queue: request.queue,
        soak: std::time::Duration::ZERO,
    };
    state
        .command(peer, &fields, &command, |state| async move {
            let ids = state.migrations().submit(order, Transaction::new()).await?;
            let mut jobs = Vec::new();
            for id in &ids {
                jobs.push(find(&state, id.as_str()).await?);
            }
            let group = if jobs.len() > 1 { jobs.first().map(|job| job.id.clone()) } else { None };
            Ok(Json(GroupShape { group, jobs }))
        })
        .await
}

/// The job of an ID as its shape.
pub(super) async fn find(state: &State, id: &str) -> Result<JobShape, AdminError> {
    stored(state, id).await.map(|job| views::job(&job))
}

/// Reads a selection in the protocol's words; whether it can be migrated is preflight's to say.
pub(super) fn selection(resources: &ResourcesShape) -> Result<Selection, AdminError> {
    let ResourcesShape::Picked { keys, secrets } = resources else {
        return Ok(Selection::All);
    };
    if keys.is_empty() && secrets.is_empty() {
        return Err(AdminError::usage("InvalidValue", "nothing is selected", "name keys or secrets, or select all"));
    }
    Ok(Selection::Picked {
        keys: keys.iter().map(|id| id.parse()).collect::<Result<_, _>>()?,
        secrets: secrets.iter().map(|name| name.parse()).collect::<Result<_, _>>()?,
    })
}

/// Refuses a selection by hand that no run could ever take.
pub(super) fn check_size(selection: &Selection) -> Result<(), AdminError> {
    let Selection::Picked { keys, secrets } = selection else { return Ok(()) };
    for (count, what) in [(keys.len(), "keys"), (secrets.len(), "secrets")] {
        if count > MAX_SELECTED {
            let message = format!("{count} {what} are selected; at most {MAX_SELECTED} can be picked by hand");
            let remedy = "select all, or migrate in several runs";
            return Err(AdminError::usage(ProblemCode::TooManySelected.as_str(), message, remedy));
        }
    }
    Ok(())
}

/// Checks accounts in the protocol's words: at least one, not too many, all known, none twice.
pub(super) fn accounts(state: &State, texts: &[String]) -> Result<Vec<AccountId>, AdminError> {
    if texts.len() > MAX_ACCOUNTS {
        let message = format!("{} accounts are named; at most {MAX_ACCOUNTS} run as one group", texts.len());
        return Err(AdminError::usage("InvalidValue", message, "name fewer, and the others in a run of their own"));
    }
    let mut accounts: Vec<AccountId> = Vec::new();
    for text in texts {
        let account = state.known_account(text)?;
        if accounts.contains(&account) {
            return Err(AdminError::usage("InvalidValue", format!("account {account} is named twice"), "name it once"));
        }
        accounts.push(account);
    }
    if accounts.is_empty() {
        return Err(AdminError::usage("InvalidValue", "no account is named", "name at least one with --account"));
    }
    Ok(accounts)
}

struct Target {
    region: RegionId,
    accounts: Vec<AccountId>,
    instance: InstanceId,
    selection: Selection,
}

impl Target {
    fn read(state: &State, request: &MigrateRequest) -> Result<Self, AdminError> {
        Ok(Self {
            region: state.known_region(&request.region)?,
            accounts: accounts(state, &request.accounts)?,
            instance: state.known_instance(&request.instance)?.id,
            selection: selection(&request.resources)?,
        })
    }
}

async fn stored(state: &State, id: &str) -> Result<Stored<Job>, AdminError> {
    // What is not a job ID is the ID of no job: that is what whoever typed it wants to hear.
    let Ok(parsed) = id.parse::<JobId>() else {
        return Err(AdminError::no_job(id));
    };
    state.catalogue().job(&parsed).await?.ok_or_else(|| AdminError::no_job(id))
}

/// Milliseconds a thousand resources took in the newest job that completed and moved something.
fn speed(jobs: &[Stored<Job>]) -> Option<u64> {
    let moved = |job: &Job| job.keys_total.saturating_add(job.secrets_total);
    let complete = jobs.iter().rev().find(|job| job.state == JobState::Complete && moved(job) > 0)?;
    let millis = |at: Timestamp| u64::try_from(at.as_millisecond()).ok();
    let soak = u64::try_from(complete.soak.as_millis()).ok()?;
    let took = millis(complete.finished_at?)?.checked_sub(millis(complete.started_at?)?)?.saturating_sub(soak);
    took.saturating_mul(1000).checked_div(moved(complete))
}

fn estimate(resources: usize, speed: Option<u64>) -> Option<u64> {
    let millis = u64::try_from(resources).ok()?.saturating_mul(speed?).div_ceil(1000);
    Some(millis.div_ceil(1000))
}
