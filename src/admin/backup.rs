//! `backup`: the daemon makes it, whoever asked puts it where it belongs.

use std::fs::File;

use async_trait::async_trait;
use axum::Json;
use axum::body::Body;
use axum::extract::{ConnectInfo, State as Context};
use axum::response::{IntoResponse, Response};
use tokio_util::io::ReaderStream;
use zeroize::Zeroizing;

use super::protocol::BackupRequest;
use super::{AdminError, Peer, State};
use crate::crypto::archive::ArchiveKey;
use crate::observe::Fields;

/// Makes backups of a running daemon.
#[async_trait]
pub trait Backups: Send + Sync {
    /// A backup as of one moment, sealed under the key; the file has no name and is read from its beginning.
    ///
    /// # Errors
    /// A store that cannot be read, a disk that is full.
    async fn make(&self, key: ArchiveKey) -> Result<File, AdminError>;
}

pub(super) async fn backup(
    Context(state): Context<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<BackupRequest>,
) -> Result<Response, AdminError> {
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(request.key.expose(), bytes.as_mut_slice()).map_err(|_| {
        AdminError::usage("InvalidValue", "the key has to be 64 hexadecimal digits", "use the keyferry of this version")
    })?;
    let key = ArchiveKey::new(bytes);
    let starting = || AdminError::state("Starting", "the daemon is not ready yet", "try again");
    let backups = state.backups().ok_or_else(starting)?;
    let command = format!("backup under key {}", key.id());
    let file = state.command(peer, &Fields::new(), &command, |_| async move { backups.make(key).await }).await?;
    Ok(Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file))).into_response())
}
