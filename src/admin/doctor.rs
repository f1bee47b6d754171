//! `doctor`.

use axum::Json;
use axum::extract::State as Context;

use super::{AdminError, State};
use crate::doctor::{Examination, examine};

pub(super) async fn doctor(Context(state): Context<State>) -> Result<Json<Examination>, AdminError> {
    Ok(Json(examine(state.service()).await?))
}
