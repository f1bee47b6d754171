//! `instance …`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{ConnectInfo, Path, State as Context};

use super::protocol::{Advice, InstanceShape, InstancesShape, RestingShareShape, ShareRequest, TenantShape};
use super::{AdminError, Peer, State, views};
use crate::catalogue::{CatalogueError, Demand, InstanceRecord};
use crate::kms::InstanceFacts;
use crate::model::{AccountId, InstanceId, InstanceState, counted};
use crate::observe::{Event, Fields, emit};
use crate::store::Stored;

pub(super) async fn list(Context(state): Context<State>) -> Result<Json<InstancesShape>, AdminError> {
    let mut instances = Vec::new();
    for facts in state.service().keystores.facts().values() {
        instances.push(view(&state, facts).await?);
    }
    Ok(Json(InstancesShape { instances }))
}

pub(super) async fn show(
    Context(state): Context<State>,
    Path(id): Path<String>,
) -> Result<Json<InstanceShape>, AdminError> {
    let facts = state.known_instance(&id)?;
    Ok(Json(view(&state, &facts).await?))
}

pub(super) async fn share(
    Context(state): Context<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<String>,
    Json(request): Json<ShareRequest>,
) -> Result<Json<InstanceShape>, AdminError> {
    change(&state, peer, &id, &request.account, true).await
}

pub(super) async fn unshare(
    Context(state): Context<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<String>,
    Json(request): Json<ShareRequest>,
) -> Result<Json<InstanceShape>, AdminError> {
    change(&state, peer, &id, &request.account, false).await
}

const ATTEMPTS: usize = 8;

async fn change(
    state: &State,
    peer: Peer,
    id: &str,
    account: &str,
    share: bool,
) -> Result<Json<InstanceShape>, AdminError> {
    let facts = state.known_instance(id)?;
    let account = state.known_account(account)?;
    if account == facts.owner {
        let message = format!("account {account} owns {}", facts.id);
        return Err(AdminError::usage("OwnInstance", message, "name another account"));
    }
    if !share && facts.shared_with.contains(&account) {
        let message = format!("{} is shared with {account} by the configuration file", facts.id);
        return Err(AdminError::state("SharedByConfig", message, "remove it from shared_with there, and reload"));
    }
    let command = if share { "instance share" } else { "instance unshare" };
    let command = format!("{command} {} --with {account}", facts.id);
    let fields = Fields::new().instance(&facts.id).account(&account);
    state.command(peer, &fields, &command, |state| async move { commit(&state, &facts, &account, share).await }).await
}

async fn commit(
    state: &State,
    facts: &InstanceFacts,
    account: &AccountId,
    share: bool,
) -> Result<Json<InstanceShape>, AdminError> {
    for _ in 0..ATTEMPTS {
        let Some(mut record) = state.catalogue().instance(&facts.id).await? else {
            let message = format!("{} has not been set up yet", facts.id);
            return Err(AdminError::state("InstanceNotActive", message, "look into the daemon's log for why"));
        };
        if let Some(gate) = state.catalogue().instance_gate(&facts.id).await? {
            let fields = Fields::new().instance(&facts.id).account(account).job(&gate.job).code("ScopeLocked");
            emit(Event::OperationRefused, &fields, "the shares of an instance stay as they are while a job holds it");
            return Err(AdminError::locked(
                format!("{} is locked by {} since {}", facts.id, gate.job, gate.since),
                format!("wait for it: `keyferry job watch {}`", gate.job),
            ));
        }
        let changed = if share {
            may_share(state, facts, account)?;
            if !record.shared_with.insert(account.clone()) {
                return Ok(Json(view(state, facts).await?));
            }
            state.catalogue().update_instance(&record).await
        } else {
            if !record.shared_with.remove(account) {
                let message = format!("{} is not shared with {account}", facts.id);
                let remedy = format!("`keyferry instance show {}` lists its shares", facts.id);
                return Err(AdminError::unknown("NotShared", message, remedy));
            }
            take_away(state, &record, account).await?
        };
        match changed {
            Ok(()) => return Ok(Json(view(state, facts).await?)),
            Err(CatalogueError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(AdminError::busy())
}

/// Instances that are enabled and do not answer as they should.
pub(super) async fn warnings(state: &State) -> Result<Vec<Advice>, AdminError> {
    let mut warnings = Vec::new();
    for id in state.service().keystores.facts().keys() {
        let standing = state.service().instance_state(id).await?;
        let (code, remedy) = match standing {
            InstanceState::Connected | InstanceState::Uninitialized => continue,
            InstanceState::Error => ("InstanceError", "put right what is named, or see the log (instance.unreachable)"),
            InstanceState::Connecting | InstanceState::Disconnected => {
                ("InstanceUnreachable", "start or repair the instance; what it holds cannot be used until then")
            }
        };
        let why = state.service().keystores.target(id).and_then(|target| target.trouble());
        let message = why.map_or_else(|| format!("{id} is {standing}"), |why| format!("{id} is {standing}: {why}"));
        warnings.push(Advice { code: code.to_owned(), message, remedy: remedy.to_owned() });
    }
    Ok(warnings)
}

/// Refuses what the resource directories do not allow, with the reason.
fn may_share(state: &State, facts: &InstanceFacts, account: &AccountId) -> Result<(), AdminError> {
    state.service().keystores.check_share(&facts.owner, account).map_err(|refusal| {
        let message = format!("{} cannot be shared with {account}: {refusal}", facts.id);
        AdminError::state(refusal.code(), message, refusal.remedy())
    })
}

/// Takes a share away, unless the account has something in the instance.
async fn take_away(
    state: &State,
    record: &Stored<InstanceRecord>,
    account: &AccountId,
) -> Result<Result<(), CatalogueError>, AdminError> {
    let tenant = state.catalogue().tenant(&record.id, account).await?;
    let held = tenant.as_ref().map(|tenant| tenant.used).unwrap_or_default();
    if held != Demand::default() {
        let (keys, secrets) = (counted(held.keys, "key"), counted(held.secrets, "secret"));
        let message = format!("account {account} has {keys} and {secrets} in {}", record.id);
        let remedy = "a share ends when the account has nothing there any more";
        return Err(AdminError::state("InstanceInUse", message, remedy));
    }
    Ok(state.catalogue().unshare_instance(record, account, tenant.as_ref()).await)
}

/// What each account holds there or has reserved. One job at a time holds an instance.
async fn tenants(state: &State, id: &InstanceId) -> Result<Vec<TenantShape>, AdminError> {
    let mut tenants: BTreeMap<AccountId, (Demand, Demand)> = BTreeMap::new();
    for (account, used) in state.catalogue().usage_by_account(id).await? {
        if used != Demand::default() {
            tenants.entry(account).or_default().0 = used;
        }
    }
    for (job, reserved) in state.catalogue().quota(id).await?.reserved {
        if let Some(job) = state.catalogue().job_summary(&job).await? {
            tenants.entry(job.scope.account.clone()).or_default().1 = reserved;
        }
    }
    let shapes = tenants.into_iter().map(|(account, (used, reserved))| TenantShape {
        account: account.to_string(),
        keys: used.keys,
        secrets: used.secrets,
        keys_reserved: reserved.keys,
        secrets_reserved: reserved.secrets,
    });
    Ok(shapes.collect())
}

async fn view(state: &State, facts: &InstanceFacts) -> Result<InstanceShape, AdminError> {
    let taken = state.catalogue().quota(&facts.id).await?.taken(None);
    let by_cli =
        state.catalogue().instance(&facts.id).await?.map(|record| record.shared_with.clone()).unwrap_or_default();
    let gate = state.catalogue().instance_gate(&facts.id).await?;
    let at_rest = by_cli.iter().filter_map(|account| {
        let refusal = state.service().keystores.check_share(&facts.owner, account).err()?;
        let (code, message) = (refusal.code().to_owned(), refusal.to_string());
        Some(RestingShareShape { account: account.to_string(), code, message })
    });
    Ok(InstanceShape {
        id: facts.id.to_string(),
        region: facts.region.to_string(),
        owner: facts.owner.to_string(),
        status: state.service().instance_state(&facts.id).await?.to_string(),
        kind: if facts.hardware { "hardware" } else { "software" }.to_owned(),
        key_quota: facts.key_quota,
        keys_used: taken.keys,
        secret_quota: facts.secret_quota,
        secrets_used: taken.secrets,
        expires: facts.expires.map(views::time),
        auto_renew: facts.auto_renew,
        shared_with: facts.shared_with.union(&by_cli).map(ToString::to_string).collect(),
        shared_by_cli: by_cli.iter().map(ToString::to_string).collect(),
        shares_at_rest: at_rest.collect(),
        accounts: tenants(state, &facts.id).await?,
        lock: gate.map(|gate| views::lock(&gate)),
    })
}
