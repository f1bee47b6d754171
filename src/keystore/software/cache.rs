//! Opened material and data keys in memory, for those in use; and the states of jobs.
//!
//! What is dropped here must not come back through a reader that was under way: a reader notes the generation before it
//! reads the store, and what it read is kept only if nothing was dropped since.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A map whose entries go when they are not used. A clone is the same map.
#[derive(Clone)]
pub(super) struct Cache<K, V> {
    inner: Arc<Mutex<Inner<K, V>>>,
}

struct Inner<K, V> {
    generation: u64,
    entries: HashMap<K, (V, Duration)>,
}

/// A moment in the life of a cache.
#[derive(Clone, Copy)]
pub(super) struct Generation(u64);

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    pub(super) fn new() -> Self {
        Self { inner: Arc::new(Mutex::new(Inner { generation: 0, entries: HashMap::new() })) }
    }

    pub(super) fn get(&self, key: &K, now: Duration) -> Option<V> {
        let mut inner = self.lock();
        let (value, last) = inner.entries.get_mut(key)?;
        *last = now;
        Some(value.clone())
    }

    pub(super) fn generation(&self) -> Generation {
        Generation(self.lock().generation)
    }

    pub(super) fn insert(&self, read_at: Generation, key: K, value: V, now: Duration) {
        let mut inner = self.lock();
        if inner.generation == read_at.0 {
            inner.entries.insert(key, (value, now));
        }
    }

    /// Drops what `keep` does not want, and keeps readers under way from bringing it back.
    pub(super) fn retain(&self, keep: impl Fn(&K, &V) -> bool) {
        let mut inner = self.lock();
        inner.generation = inner.generation.wrapping_add(1);
        inner.entries.retain(|key, (value, _)| keep(key, value));
    }

    /// Drops what was last used before `since`.
    pub(super) fn sweep(&self, since: Duration) {
        self.lock().entries.retain(|_, (_, last)| *last >= since);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K, V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
