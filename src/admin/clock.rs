//! `clock …`.

use axum::Json;
use axum::extract::{ConnectInfo, State as Context};

use super::protocol::{Advice, ClockShape, StepShape};
use super::{AdminError, Peer, State, views};
use crate::catalogue::ClockStep;
use crate::observe::Fields;

/// Somebody says that the clock is right.
pub(super) async fn confirm(
    Context(state): Context<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Json<ClockShape>, AdminError> {
    state
        .command(peer, &Fields::new(), "clock confirm", |state| async move {
            let step = state.service().confirm_clock().await.map_err(|error| {
                AdminError::state("ClockNotConfirmed", error.to_string(), "try again; nothing has been changed")
            })?;
            Ok(Json(ClockShape { now: views::time(state.now()), confirmed: step.map(|step| shape(&step)) }))
        })
        .await
}

/// What `status` says of a step that stands.
pub(super) async fn warning(state: &State) -> Result<Option<Advice>, AdminError> {
    let step = state.catalogue().clock().await?.and_then(|record| record.step);
    Ok(step.map(|step| Advice {
        code: "ClockStepped".to_owned(),
        message: format!(
            "the clock went from {} to {} by a step: no deletion or expiry due after the first is carried out",
            step.from, step.to
        ),
        remedy: "see that the clock is right, then `keyferry clock confirm`; else set it right first".to_owned(),
    }))
}

fn shape(step: &ClockStep) -> StepShape {
    StepShape { from: views::time(step.from), to: views::time(step.to) }
}
