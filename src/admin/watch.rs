//! `job watch`: one JSON document a line, at each change and at least every five seconds, until the job has ended; for the
//! ID of a group until all of its jobs have.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State as Context};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures::stream;
use tokio::sync::watch::Receiver;

use super::protocol::JobShape;
use super::query::Parameters;
use super::{AdminError, State, jobs};

/// The longest silence between two lines.
const BEAT: Duration = Duration::from_secs(5);

pub(super) async fn watch(
    Context(state): Context<State>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, AdminError> {
    // Subscribed before the first look, so that no change falls in between.
    let changes = state.migrations().changes();
    let first = jobs::find(&state, &id).await?;
    let alone = Parameters::new(query.as_deref()).flag("alone");
    let ids = match &first.group {
        Some(group) if *group == first.id && !alone => jobs::members(&state, group).await?,
        _ => vec![first.id],
    };
    let watch = Watch { state, changes, ids, next: VecDeque::new(), shown: BTreeMap::new() };
    let lines = stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        let line = watch.line().await?;
        let over = watch.is_over();
        Some((Ok::<_, std::convert::Infallible>(line), (!over).then_some(watch)))
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

struct Watch {
    state: State,
    changes: Receiver<u64>,
    /// The jobs, in the order in which they run.
    ids: Vec<String>,
    next: VecDeque<JobShape>,
    shown: BTreeMap<String, JobShape>,
}

impl Watch {
    /// The next line; `None` when the daemon stops or the store fails: the reader asks again.
    async fn line(&mut self) -> Option<String> {
        if self.next.is_empty() {
            if self.shown.is_empty() {
                self.look(false).await?;
            } else {
                self.wait().await?;
            }
        }
        let job = self.next.pop_front()?;
        let mut line = serde_json::to_string(&job).ok()?;
        line.push('\n');
        self.shown.insert(job.id.clone(), job);
        Some(line)
    }

    /// Waits for something to show: a change, or that the reader has heard nothing for long.
    async fn wait(&mut self) -> Option<()> {
        let beat = tokio::time::sleep(BEAT);
        tokio::pin!(beat);
        while self.next.is_empty() {
            let due = tokio::select! {
                () = self.state.stop().cancelled() => return None,
                () = &mut beat => true,
                changed = self.changes.changed() => { changed.ok()?; false }
            };
            self.look(due).await?;
        }
        Some(())
    }

    /// Takes what has changed, else, if a line is `due`, the first job that has not ended: the one at work.
    async fn look(&mut self, due: bool) -> Option<()> {
        let mut unfinished = None;
        for id in &self.ids {
            let shown = self.shown.get(id);
            if shown.is_some_and(has_ended) {
                continue;
            }
            let job = jobs::find(&self.state, id).await.ok()?;
            if shown == Some(&job) {
                unfinished = unfinished.or(Some(job));
            } else {
                self.next.push_back(job);
            }
        }
        if due && self.next.is_empty() {
            self.next.extend(unfinished);
        }
        Some(())
    }

    fn is_over(&self) -> bool {
        self.next.is_empty() && self.ids.iter().all(|id| self.shown.get(id).is_some_and(has_ended))
    }
}

fn has_ended(job: &JobShape) -> bool {
    job.finished_at.is_some()
}
