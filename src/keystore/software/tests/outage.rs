//! A target whose store fails, or answers late, at any commit.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::*;
use crate::store::{Page, Revision, Store, Versioned};

/// What happens to the commit at which a store trips; every later one fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trip {
    /// It fails.
    Refused,
    /// It is durable, but nobody learns of it.
    Unheard,
}

/// A store that works for a number of commits, and one that holds back commits that write a resource.
struct Troubled {
    inner: SharedStore,
    left: AtomicU64,
    trip: Trip,
    held: Option<(Semaphore, Semaphore)>,
}

#[async_trait]
impl Store for Troubled {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        self.inner.get(key).await
    }

    async fn scan(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Page, StoreError> {
        self.inner.scan(start, end, limit).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        if let Some((arrived, let_go)) = &self.held
            && transaction.operations().iter().any(|operation| operation.key().starts_with(b"m/"))
        {
            arrived.add_permits(1);
            let_go.acquire().await.unwrap().forget();
        }
        let gone = || StoreError::Unavailable("rehearsed".to_owned());
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(1) if self.trip == Trip::Unheard => {
                let _: Outcome = self.inner.commit(transaction).await?;
                Err(gone())
            }
            Ok(1) | Err(_) => Err(gone()),
            Ok(_) => self.inner.commit(transaction).await,
        }
    }

    async fn changed(&self, prefix: &[u8], since: Revision) {
        self.inner.changed(prefix, since).await;
    }

    fn revision(&self) -> Revision {
        self.inner.revision()
    }
}

fn troubled(inner: &SharedStore, commits: u64, trip: Trip) -> SharedStore {
    Arc::new(Troubled { inner: Arc::clone(inner), left: AtomicU64::new(commits), trip, held: None })
}

/// Everything a target does in a job, up to and including activation.
async fn target_part(world: &World, orders: &[WrapOrder], token: u64) -> Result<(), KeystoreError> {
    let target = &world.target;
    let manifest = match target.closed(&job(), token).await? {
        Some(manifest) => manifest,
        None => {
            let offer = world.offer(token).await?;
            world.stage(&world.wrap(&offer, orders).await.unwrap()).await?;
            target.close(&job(), token).await?
        }
    };
    target.activate(&job(), token, &manifest).await
}

#[tokio::test]
async fn a_target_that_stops_at_any_commit_ends_activated_or_empty() {
    for trip in [Trip::Refused, Trip::Unheard] {
        for commits in 1.. {
            let mut world = World::new().await;
            // The second takes several transactions.
            let orders = [secret(&world.source, 20, 2, 40).await, secret(&world.source, 21, 70, 9_000).await];
            let sound = Arc::clone(&world.target_store);
            world.target = open(TARGET, &troubled(&sound, commits, trip), &world.target_slots, &world.clock).await;
            let first = target_part(&world, &orders, 5).await;

            world.target = open(TARGET, &sound, &world.target_slots, &world.clock).await;
            if commits % 2 == 0 {
                target_part(&world, &orders, 6).await.unwrap();
                world.target.confirm(&job(), 6, &[]).await.unwrap();
                assert_eq!(read(&world.target, &place(21, 70)).await.unwrap(), (value(21, 70, 9_000), true));
            } else {
                // Rolling back can stop anywhere, too.
                for commits in 1.. {
                    let stopping =
                        open(TARGET, &troubled(&sound, commits, trip), &world.target_slots, &world.clock).await;
                    if stopping.forget(&job(), 6).await.is_ok() {
                        break;
                    }
                }
                assert_eq!(dump(&sound, "m/").await, [], "stopped at commit {commits}");
                assert_eq!(dump(&sound, "s/").await, []);
            }
            match first {
                Ok(()) => {
                    assert!(commits > 8, "stopped too late to mean anything: {commits}");
                    break;
                }
                Err(KeystoreError::Unavailable { .. }) => {}
                Err(other) => panic!("another error: {other}"),
            }
        }
    }
}

#[tokio::test]
async fn a_write_that_was_under_way_when_the_lease_was_lost_does_not_land() {
    let mut world = World::new().await;
    let orders = [secret(&world.source, 20, 2, 40).await];
    let sound = Arc::clone(&world.target_store);
    let held = Arc::new(Troubled {
        inner: Arc::clone(&sound),
        left: AtomicU64::new(u64::MAX),
        trip: Trip::Refused,
        held: Some((Semaphore::new(0), Semaphore::new(0))),
    });
    let store: SharedStore = Arc::<Troubled>::clone(&held);
    world.target = open(TARGET, &store, &world.target_slots, &world.clock).await;
    let (arrived, let_go) = held.held.as_ref().unwrap();
    let offer = world.offer(5).await.unwrap();
    let parcel = world.wrap(&offer, &orders).await.unwrap();
    let take_over = async {
        arrived.acquire().await.unwrap().forget();
        let offer = world.offer(6).await.unwrap();
        let_go.add_permits(10);
        offer
    };
    let (late, offer) = futures::future::join(world.stage(&parcel), take_over).await;
    assert_err!(late, KeystoreError::Fenced { token: 5, seen: 6, .. });
    assert_eq!(dump(&sound, "m/").await, []);
    world.stage(&world.wrap(&offer, &orders).await.unwrap()).await.unwrap();
    world.target.close(&job(), 6).await.unwrap();
}
