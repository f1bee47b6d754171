//! `job watch`: one JSON document a line, at each change and at least every five seconds, until the job has ended.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State as Context};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures::stream;
use tokio::sync::watch::Receiver;

use super::protocol::JobShape;
use super::{AdminError, State, jobs};
use crate::model::JobId;

/// The longest silence between two lines.
const BEAT: Duration = Duration::from_secs(5);

pub(super) async fn watch(Context(state): Context<State>, Path(id): Path<String>) -> Result<Response, AdminError> {
    // Subscribed before the first look, so that no change falls in between.
    let changes = state.migrations().changes();
    let first = jobs::find(&state, &id).await?;
    let id: JobId = id.parse()?;
    let lines = stream::unfold(Some(Watch { state, id, changes, next: Some(first), shown: None }), |watch| async {
        let mut watch = watch?;
        let line = watch.line().await?;
        let over = watch.shown.as_ref().is_none_or(has_ended);
        Some((Ok::<_, std::convert::Infallible>(line), (!over).then_some(watch)))
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

struct Watch {
    state: State,
    id: JobId,
    changes: Receiver<u64>,
    next: Option<JobShape>,
    shown: Option<JobShape>,
}

impl Watch {
    /// The next line; `None` when the daemon stops or the store fails: the reader asks again.
    async fn line(&mut self) -> Option<String> {
        let job = match self.next.take() {
            Some(job) => job,
            None => self.changed().await?,
        };
        let mut line = serde_json::to_string(&job).ok()?;
        line.push('\n');
        self.shown = Some(job);
        Some(line)
    }

    async fn changed(&mut self) -> Option<JobShape> {
        let beat = tokio::time::sleep(BEAT);
        tokio::pin!(beat);
        loop {
            let due = tokio::select! {
                () = self.state.stop().cancelled() => return None,
                () = &mut beat => true,
                changed = self.changes.changed() => { changed.ok()?; false }
            };
            let job = jobs::find(&self.state, self.id.as_str()).await.ok()?;
            if due || self.shown.as_ref() != Some(&job) {
                return Some(job);
            }
        }
    }
}

fn has_ended(job: &JobShape) -> bool {
    job.finished_at.is_some()
}
