//! `seal …`: root keys, which the daemon above this room has.

use async_trait::async_trait;
use axum::Json;
use axum::extract::{ConnectInfo, State as Context};

use super::protocol::{Advice, RotateRequest, SealShape};
use super::{AdminError, Peer, State};
use crate::observe::Fields;

/// The root keys of a running daemon.
#[async_trait]
pub trait Seal: Send + Sync {
    /// Every root key.
    fn status(&self) -> SealShape;

    /// What somebody should do about them.
    fn warnings(&self) -> Vec<Advice>;

    /// Begins to exchange one root key, or all; it goes on by itself.
    ///
    /// # Errors
    /// No such key, no next key and none can be made, an exchange that is not at its end.
    async fn rotate(&self, name: Option<&str>) -> Result<SealShape, AdminError>;
}

pub(super) async fn status(Context(state): Context<State>) -> Result<Json<SealShape>, AdminError> {
    Ok(Json(of(&state)?.status()))
}

pub(super) async fn rotate(
    Context(state): Context<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<RotateRequest>,
) -> Result<Json<SealShape>, AdminError> {
    let seal = of(&state)?;
    let command = format!("seal rotate {}", request.name.as_deref().unwrap_or("(all)"));
    let work = |_| async move { seal.rotate(request.name.as_deref()).await.map(Json) };
    state.command(peer, &Fields::new(), &command, work).await
}

/// Notes that somebody took the root keys out for escrow: that is done beside the daemon, by whoever can read them.
pub(super) async fn exported(
    Context(state): Context<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Json<SealShape>, AdminError> {
    let seal = of(&state)?;
    state.command(peer, &Fields::new(), "seal export", |_| async move { Ok(Json(seal.status())) }).await
}

fn of(state: &State) -> Result<std::sync::Arc<dyn Seal>, AdminError> {
    state.seal().ok_or_else(|| AdminError::state("NoRootKeys", "this daemon has no root keys yet", "try again"))
}
