//! Looking at the audit trail while no daemon runs.

use std::path::Path;
use std::sync::Arc;

use super::DaemonError;
use super::stores::existing_control;
use crate::admin::audit::shape;
use crate::admin::protocol::AuditShape;
use crate::audit::{Head, Trail};
use crate::config::locate;
use crate::model::SystemClock;

/// Verifies the trail in the state directory of a configuration. It has no key: whoever compares the signer with the one
/// that `keyferry audit key` told can trust the signed heads.
///
/// # Errors
/// A configuration with mistakes, a head that is none, no state, or a store that a daemon holds.
pub async fn verify_offline(config: Option<&Path>, head: Option<&str>) -> Result<AuditShape, DaemonError> {
    let loaded = super::load(&locate(config))?;
    let given: Option<Head> = head.map(str::parse).transpose().map_err(DaemonError::Audit)?;
    let store = existing_control(&loaded.config.state_dir).await?;
    let trail = Trail::new(store, Arc::new(SystemClock::default()), None);
    let verdict = trail.verify(given).await.map_err(DaemonError::Audit)?;
    Ok(shape(&verdict, None))
}
