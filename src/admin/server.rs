//! The routes, and serving them.

use std::path::Path;

use axum::extract::connect_info::Connected;
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Router, middleware};
use tokio::net::UnixListener;

use super::protocol::ROOT;
use super::socket::{BoundSocket, SocketError, bind};
use super::{
    AdminError, State, access, audit, backup, clock, doctor, holds, instances, jobs, resources, rights, schedules,
    seal, status, vitals, watch,
};
use crate::audit::Actor;
use crate::observe::{Event, Fields, emit};

/// A bound admin socket.
pub struct AdminServer {
    socket: BoundSocket,
}

impl AdminServer {
    /// Binds the socket: mode 0660, owned by `group` if one is named. A socket that no daemon serves is replaced.
    ///
    /// # Errors
    /// When another daemon serves it, or the operating system refuses.
    pub fn bind(path: &Path, group: Option<&str>) -> Result<Self, SocketError> {
        bind(path, group).map(|socket| Self { socket })
    }

    /// Serves until the state's stop token is canceled and requests in flight are answered; then removes the socket.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, state: State) -> Result<(), SocketError> {
        let BoundSocket { path, listener } = self.socket;
        let stop = state.stop().clone();
        let service = routes(&state).with_state(state).into_make_service_with_connect_info::<Peer>();
        let served = axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned()).await;
        // A file that is gone already is as good as removed.
        let _ = std::fs::remove_file(&path);
        served.map_err(|source| SocketError::Io { path, source })
    }
}

/// Who is at the other end of a connection, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub(super) uid: Option<u32>,
    /// Its primary group.
    pub(super) gid: Option<u32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = stream.io().peer_cred().ok();
        Self { uid: credentials.map(|found| found.uid()), gid: credentials.map(|found| found.gid()) }
    }
}

impl Peer {
    /// As the audit trail names it.
    pub(super) const fn actor(self) -> Actor {
        Actor::Operator { uid: self.uid }
    }

    /// Logs a command that changes something, before it is carried out.
    pub(super) fn log(self, fields: &Fields, command: &str) {
        let who = self.uid.map_or_else(|| "an unknown user".to_owned(), |uid| format!("uid {uid}"));
        emit(Event::AdminCommand, fields, &format!("{command} (by {who})"));
    }
}

pub(super) fn routes(state: &State) -> Router<State> {
    let api = Router::new()
        .route("/status", get(status::status))
        .route("/check", get(status::check))
        .route("/resources", get(resources::list))
        .route("/plan", post(jobs::plan))
        .route("/jobs", get(jobs::list).post(jobs::migrate))
        .route("/jobs/{id}", get(jobs::show))
        .route("/jobs/{id}/report", get(jobs::report))
        .route("/jobs/{id}/watch", get(watch::watch))
        .route("/groups/{id}/report", get(jobs::group_report))
        .route("/jobs/{id}/cancel", post(jobs::cancel))
        .route("/jobs/{id}/approve", post(jobs::approve))
        .route("/schedules", get(schedules::list).post(schedules::add))
        .route("/schedules/{name}", get(schedules::show))
        .route("/schedules/{name}/next", get(schedules::next))
        .route("/schedules/{name}/pause", post(schedules::pause))
        .route("/schedules/{name}/resume", post(schedules::resume))
        .route("/schedules/{name}/cancel", post(schedules::cancel))
        .route("/holds", get(holds::list).post(holds::hold).delete(holds::release))
        .route("/policy/explain", post(access::explain))
        .route("/identities", get(access::identities))
        .route("/roles/credentials", post(access::credentials))
        .route("/audit/verify", get(audit::verify))
        .route("/audit/key", get(audit::key))
        .route("/doctor", get(doctor::examine).post(doctor::repair))
        .route("/backup", post(backup::backup))
        .route("/clock/confirm", post(clock::confirm))
        .route("/seal", get(seal::status))
        .route("/seal/rotate", post(seal::rotate))
        .route("/seal/exported", post(seal::exported))
        .route("/instances", get(instances::list))
        .route("/instances/{id}", get(instances::show))
        .route("/instances/{id}/share", post(instances::share))
        .route("/instances/{id}/unshare", post(instances::unshare))
        .layer(middleware::from_fn_with_state(state.clone(), rights::guard));
    Router::new().nest(ROOT, api).merge(vitals::admin_routes()).fallback(|| async {
        let remedy = "use a keyferry command of the daemon's version";
        AdminError::unknown("NoSuchPath", "the daemon does not know this request", remedy)
    })
}
