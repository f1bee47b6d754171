//! `hold` and `release`.

use axum::Json;
use axum::extract::{ConnectInfo, State as Context};

use super::protocol::{HoldRequest, HoldsShape, ReleaseRequest};
use super::{AdminError, Peer, State, views};
use crate::catalogue::Hold;
use crate::model::{AccountId, RegionId};
use crate::observe::Fields;

pub(super) async fn list(Context(state): Context<State>) -> Result<Json<HoldsShape>, AdminError> {
    let holds = state.catalogue().holds().await?;
    Ok(Json(HoldsShape { holds: holds.iter().map(|hold| views::hold(hold)).collect() }))
}

pub(super) async fn hold(
    Context(state): Context<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<HoldRequest>,
) -> Result<Json<HoldsShape>, AdminError> {
    let (region, account) = scope(&state, request.region.as_deref(), request.account.as_deref())?;
    let reason = request.reason.trim().to_owned();
    if reason.is_empty() || reason.len() > MAX_REASON {
        let message = format!("a reason has 1 to {MAX_REASON} bytes");
        return Err(AdminError::usage("InvalidValue", message, "say in a few words why migrations are held"));
    }
    let command = if request.now { "hold --now" } else { "hold" };
    let (fields, command) = (fields(region.as_ref(), account.as_ref()), format!("{command}: {reason}"));
    let hold = Hold { region, account, reason, since: state.now() };
    state
        .command(peer, &fields, &command, |state| async move {
            state.migrations().hold(hold, request.now).await?;
            list(Context(state)).await
        })
        .await
}

pub(super) async fn release(
    Context(state): Context<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<ReleaseRequest>,
) -> Result<Json<HoldsShape>, AdminError> {
    let (region, account) = scope(&state, request.region.as_deref(), request.account.as_deref())?;
    let all = region.is_none() && account.is_none();
    let standing = state.catalogue().holds().await?;
    let lifted: Vec<_> =
        standing.into_iter().filter(|hold| all || (hold.region == region && hold.account == account)).collect();
    if lifted.is_empty() && !all {
        let account = account.as_ref().map_or("every account", AccountId::as_str);
        let region = region.as_ref().map_or("every region", RegionId::as_str);
        let message = format!("no hold was put on exactly {account}, {region}");
        let remedy = "`keyferry status` shows the holds that stand; without --region and --account all are lifted";
        return Err(AdminError::unknown("HoldNotFound", message, remedy));
    }
    let (fields, command) = (fields(region.as_ref(), account.as_ref()), format!("release: {} hold(s)", lifted.len()));
    state
        .command(peer, &fields, &command, |state| async move {
            for hold in &lifted {
                state.catalogue().remove_hold(hold).await?;
            }
            list(Context(state)).await
        })
        .await
}

const MAX_REASON: usize = 1024;

fn scope(
    state: &State,
    region: Option<&str>,
    account: Option<&str>,
) -> Result<(Option<RegionId>, Option<AccountId>), AdminError> {
    let region = region.map(|text| state.known_region(text)).transpose()?;
    let account = account.map(|text| state.known_account(text)).transpose()?;
    Ok((region, account))
}

fn fields(region: Option<&RegionId>, account: Option<&AccountId>) -> Fields {
    let mut fields = Fields::new();
    if let Some(region) = region {
        fields = fields.region(region);
    }
    if let Some(account) = account {
        fields = fields.account(account);
    }
    fields
}
