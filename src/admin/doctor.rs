//! `doctor`.

use axum::Json;
use axum::extract::{ConnectInfo, State as Context};

use super::{AdminError, Peer, State};
use crate::doctor::{self, Examination, Treatment};
use crate::observe::Fields;

pub(super) async fn examine(Context(state): Context<State>) -> Result<Json<Examination>, AdminError> {
    Ok(Json(doctor::examine(state.service()).await?))
}

/// Puts right what is provably safe.
pub(super) async fn repair(
    Context(state): Context<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Json<Treatment>, AdminError> {
    let actor = peer.actor();
    state
        .command(peer, &Fields::new(), "doctor --repair", |state| async move {
            Ok(Json(doctor::repair(state.service(), &actor).await?))
        })
        .await
}
