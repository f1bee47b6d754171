//! The admin socket of this daemon.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::DaemonError;
use super::build::Parts;
use crate::admin::protocol::Advice;
use crate::admin::{AccountName, AdminServer};
use crate::config::{Config, ConfigWarning};

/// Opens the socket and serves it until the daemon stops.
pub(super) fn spawn(parts: &Arc<Parts>) -> Result<JoinHandle<()>, DaemonError> {
    let config = parts.config();
    let server = AdminServer::bind(&config.admin.socket, config.admin.group.as_deref())
        .map_err(|error| DaemonError::Admin(error.to_string()))?;
    let state = parts.admin.clone();
    Ok(tokio::spawn(async move {
        if let Err(error) = server.serve(state).await {
            tracing::error!(%error, "the admin socket failed");
        }
    }))
}

/// The accounts by name.
pub(super) fn accounts(config: &Config) -> Vec<AccountName> {
    config.accounts.iter().map(|account| AccountName { id: account.id.clone(), name: account.name.clone() }).collect()
}

/// A configuration that was not taken, as `status` shows it.
pub(super) fn rejected(error: &DaemonError) -> Advice {
    Advice {
        code: "ConfigRejected".to_owned(),
        message: format!("the changed configuration was not taken; the one from before is in force: {error}"),
        remedy: "see `keyferry config check`, put the file right, reload it; a daemon would not start on it".to_owned(),
    }
}

/// Warnings of the configuration, as `status` shows them.
pub(super) fn advice(warnings: &[ConfigWarning]) -> Vec<Advice> {
    let shown = warnings.iter().map(|warning| Advice {
        code: "Configuration".to_owned(),
        message: warning.to_string(),
        remedy: "change the configuration file and reload it".to_owned(),
    });
    shown.collect()
}
