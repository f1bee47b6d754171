//! `instance …`.

use axum::Json;
use axum::extract::{ConnectInfo, Path, State as Context};

use super::protocol::{Advice, InstanceShape, InstancesShape, ShareRequest};
use super::{AdminError, Peer, State, views};
use crate::catalogue::CatalogueError;
use crate::kms::InstanceFacts;
use crate::model::{AccountId, InstanceState};
use crate::observe::Fields;

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
            return Err(AdminError::locked(
                format!("{} is locked by {} since {}", facts.id, gate.job, gate.since),
                format!("wait for it: `keyferry job watch {}`", gate.job),
            ));
        }
        let changed =
            if share { record.shared_with.insert(account.clone()) } else { record.shared_with.remove(account) };
        if !changed && !share {
            let message = format!("{} is not shared with {account}", facts.id);
            return Err(AdminError::unknown("NotShared", message, "`keyferry instance show` lists its shares"));
        }
        if !changed {
            return Ok(Json(view(state, facts).await?));
        }
        match state.catalogue().update_instance(&record).await {
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
            InstanceState::Error => ("InstanceError", "the log says why (instance.unreachable)"),
            InstanceState::Connecting | InstanceState::Disconnected => {
                ("InstanceUnreachable", "start or repair the instance; what it holds cannot be used until then")
            }
        };
        let message = format!("{id} is {standing}");
        warnings.push(Advice { code: code.to_owned(), message, remedy: remedy.to_owned() });
    }
    Ok(warnings)
}

async fn view(state: &State, facts: &InstanceFacts) -> Result<InstanceShape, AdminError> {
    let taken = state.catalogue().quota(&facts.id).await?.taken(None);
    let by_cli =
        state.catalogue().instance(&facts.id).await?.map(|record| record.shared_with.clone()).unwrap_or_default();
    let gate = state.catalogue().instance_gate(&facts.id).await?;
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
        lock: gate.map(|gate| views::lock(&gate)),
    })
}
