//! Listeners that the service manager opened and holds (sd_listen_fds(3)): while the daemon is restarted, connections wait
//! in them instead of being refused.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

/// What this process was given.
#[derive(Debug, Default)]
pub(super) struct Inherited(Vec<(SocketAddr, TcpListener)>);

impl Inherited {
    /// Takes what the environment names; a second call finds nothing.
    pub(super) fn take() -> Self {
        let mut given = ListenFd::from_env();
        let mut listeners = Vec::new();
        for place in 0..given.len() {
            match given.take_tcp_listener(place).and_then(|found| found.map(named).transpose()) {
                Ok(found) => listeners.extend(found),
                Err(error) => {
                    tracing::warn!(place, %error, "a socket of the service manager is no TCP listener; it is left alone");
                }
            }
        }
        Self(listeners)
    }

    /// The listener of this address.
    pub(super) fn at(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let place = self.0.iter().position(|(found, _)| *found == address)?;
        Some(self.0.swap_remove(place).1)
    }
}

impl Drop for Inherited {
    fn drop(&mut self) {
        for (address, _) in &self.0 {
            tracing::warn!(
                "the service manager opened {address}, which no `listen` of the configuration names: let ListenStream= of \
                 the socket unit and the configuration agree"
            );
        }
    }
}

fn named(listener: TcpListener) -> io::Result<(SocketAddr, TcpListener)> {
    Ok((listener.local_addr()?, listener))
}
