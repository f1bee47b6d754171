//! Who works shows that it does: the watchdog is fed only while all of them make progress.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The workers of a deployment. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Heartbeats(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    next: u64,
    workers: BTreeMap<u64, (String, Instant)>,
    /// How many hold everybody up on purpose.
    pauses: usize,
    /// When the last of them was over.
    resumed: Option<Instant>,
}

/// One worker's heart; it is not waited for any more once this is dropped.
#[derive(Debug)]
pub struct Heart {
    all: Heartbeats,
    id: u64,
}

/// Everybody is held up on purpose as long as this lives.
#[derive(Debug)]
pub struct Pause(Heartbeats);

impl Heartbeats {
    /// A worker begins; `name` is for people.
    #[must_use]
    pub fn begin(&self, name: &str) -> Heart {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = known.next;
        known.next = id.wrapping_add(1);
        known.workers.insert(id, (name.to_owned(), Instant::now()));
        Heart { all: self.clone(), id }
    }

    /// Writers are held up on purpose: silence means nothing.
    #[must_use]
    pub fn pause(&self) -> Pause {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.pauses = known.pauses.saturating_add(1);
        Pause(self.clone())
    }

    /// How long the worker that has been silent longest has been silent.
    #[must_use]
    pub fn longest_silence(&self) -> Duration {
        let silent = self.stalled(Duration::ZERO).into_iter().map(|(_, silence)| silence);
        silent.max().unwrap_or_default()
    }

    /// Workers that have not shown progress for `limit`, with the length of their silence.
    #[must_use]
    pub fn stalled(&self, limit: Duration) -> Vec<(String, Duration)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.pauses > 0 {
            return Vec::new();
        }
        let now = Instant::now();
        let silent = known.workers.values().map(|(name, beat)| {
            let since = known.resumed.map_or(*beat, |resumed| resumed.max(*beat));
            (name.clone(), now.saturating_duration_since(since))
        });
        silent.filter(|(_, silence)| *silence >= limit).collect()
    }
}

impl Heart {
    /// There is progress.
    pub fn beat(&self) {
        let mut known = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, beat)) = known.workers.get_mut(&self.id) {
            *beat = Instant::now();
        }
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).workers.remove(&self.id);
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        let mut known = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.pauses = known.pauses.saturating_sub(1);
        known.resumed = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn names(all: &Heartbeats) -> Vec<String> {
        all.stalled(LIMIT).into_iter().map(|(name, _)| name).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn one_silent_worker_is_enough_and_one_that_has_ended_is_not_missed() {
        let all = Heartbeats::default();
        let (clock, job) = (all.begin("clock"), all.begin("job"));
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(names(&all).is_empty());
        clock.beat();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(names(&all), ["job"]);
        drop(job);
        assert!(names(&all).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_counts_from_the_end_of_a_pause() {
        let all = Heartbeats::default();
        let _clock = all.begin("clock");
        let pauses = (all.pause(), all.pause());
        tokio::time::advance(Duration::from_secs(300)).await;
        drop(pauses.0);
        assert!(names(&all).is_empty());
        drop(pauses.1);
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(names(&all).is_empty());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(names(&all), ["clock"]);
    }
}
