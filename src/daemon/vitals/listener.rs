//! The listener of `[metrics]`: plain HTTP for a scraper and a load balancer, bounded so that nobody can hold it up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{Vitals, vitals_routes};
use crate::api::server::ServerError;
use crate::daemon::inherited::Inherited;

/// An open listener.
pub(in crate::daemon) struct MetricsListener(TcpListener);

impl MetricsListener {
    /// Takes the listener that the service manager holds for this address, or opens one.
    pub(in crate::daemon) async fn bind(address: SocketAddr, inherited: &mut Inherited) -> Result<Self, ServerError> {
        let failed = |error| ServerError { address, error };
        let listener = match inherited.at(address) {
            Some(listener) => {
                listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)).map_err(failed)?
            }
            None => TcpListener::bind(address).await.map_err(failed)?,
        };
        Ok(Self(listener))
    }
}

/// Serves until `stop`; then what is under way is cut, since it can be asked for again.
pub(in crate::daemon) async fn serve(listener: MetricsListener, vitals: Arc<dyn Vitals>, stop: CancellationToken) {
    let routes = TowerToHyperService::new(vitals_routes(vitals));
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            listener.0.accept().await.map(|(stream, _)| (stream, place))
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection for metrics could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (routes, stop) = (routes.clone(), stop.clone());
        connections.spawn(async move {
            let _place = place;
            tokio::select! {
                () = stop.cancelled() => {}
                () = answer(stream, routes) => {}
            }
        });
    }
    connections.close();
    connections.wait().await;
}

/// Scrapers keep one connection each; one that is idle longer than this has to come again.
const IDLE: Duration = Duration::from_secs(90);
const CONNECTIONS: usize = 32;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

async fn answer(stream: TcpStream, routes: TowerToHyperService<axum::Router>) {
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), routes);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection for metrics ended early");
    }
}
