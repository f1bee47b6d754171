//! Metrics and health: the same over the admin socket and on the listener of `[metrics]`.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::State as Context;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::State;

/// What a running daemon tells of itself.
#[async_trait]
pub trait Vitals: Send + Sync + 'static {
    /// All metrics, in the OpenMetrics text format.
    ///
    /// # Errors
    /// Why they cannot be read.
    async fn metrics(&self) -> Result<String, String>;

    /// Does everybody who works make progress?
    ///
    /// # Errors
    /// Who does not: only a restart helps.
    fn live(&self) -> Result<(), String>;

    /// Can requests be answered?
    ///
    /// # Errors
    /// Why not: it may come by itself.
    async fn ready(&self) -> Result<(), String>;
}

/// The routes over what a daemon tells.
pub fn routes(vitals: Arc<dyn Vitals>) -> Router {
    Router::new()
        .route("/metrics", get(|Context(vitals): Context<Arc<dyn Vitals>>| async move { metrics(&*vitals).await }))
        .route("/livez", get(|Context(vitals): Context<Arc<dyn Vitals>>| async move { health(vitals.live()) }))
        .route("/readyz", get(|Context(vitals): Context<Arc<dyn Vitals>>| async move { health(vitals.ready().await) }))
        .with_state(vitals)
}

pub(super) fn admin_routes() -> Router<State> {
    Router::new()
        .route(
            "/metrics",
            get(|Context(state): Context<State>| async move {
                match state.vitals() {
                    Some(vitals) => metrics(&*vitals).await,
                    None => health(Err(STARTING.to_owned())),
                }
            }),
        )
        .route(
            "/livez",
            get(|Context(state): Context<State>| async move {
                health(state.vitals().map_or(Ok(()), |vitals| vitals.live()))
            }),
        )
        .route(
            "/readyz",
            get(|Context(state): Context<State>| async move {
                match state.vitals() {
                    Some(vitals) => health(vitals.ready().await),
                    None => health(Err(STARTING.to_owned())),
                }
            }),
        )
}

const STARTING: &str = "the daemon is starting";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

async fn metrics(vitals: &dyn Vitals) -> Response {
    match vitals.metrics().await {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(why) => health(Err(why)),
    }
}

fn health(found: Result<(), String>) -> Response {
    match found {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}
