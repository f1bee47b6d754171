//! The migration over real keystores and stores in memory: a whole run, a crash at every single commit, an instance that
//! goes away in every state, and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod accounts;
mod bad_instance;
mod evidence;
mod halting;
#[path = "../../src/keystore/remote/tests/papers.rs"]
#[allow(dead_code)]
mod papers;
mod partition;
mod races;
mod refusals;
mod repairs;
mod rewinding;
mod two_workers;
mod world;

use std::time::Duration;

use keyferry::keystore::faulty::Fault;
use keyferry::migration::MigrationError;
use keyferry::model::JobState;
use world::{Disks, World, entries, scope};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_moves_and_nothing_is_left_behind() {
    let disks = Disks::default();
    let world = World::open(&disks).await;
    let remembered = world.fill().await;
    let slots = disks.source_slots.names();
    let id = world.submit(world.order()).await;
    let job = world.finish(&id).await;
    assert_eq!(job.state, JobState::Complete, "{:?}", job.failure);
    // What was purged is shredded: its key was in a slot that is gone.
    assert_eq!(slots.len(), 1);
    assert_eq!(disks.source_slots.names().len(), 1);
    assert_ne!(disks.source_slots.names(), slots);
    assert_eq!((job.keys_total, job.keys_done, job.secrets_total, job.secrets_done), (3, 3, 2, 2));
    world.assert_moved(&remembered).await;
    let left = disks.control.scan(b"ks/cn-hangzhou/m/", Some(b"ks/cn-hangzhou/m0"), 10).await.unwrap();
    assert!(left.entries.is_empty(), "the shared keystore still holds {:?}", left.entries.len());
}

/// Dies before, or after, every commit of the job in turn; the next process ends it, complete or as it was before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_commit_heals_by_itself() {
    for after in [false, true] {
        let mut completed = 0;
        for at in 1_u64.. {
            let disks = Disks::default();
            let world = World::open(&disks).await;
            let remembered = world.fill().await;
            let id = world.submit(world.order()).await;
            disks.halt.arm(at, after);
            let runner = world.start();
            let mut changes = world.migrations.changes();
            let halted = loop {
                if world.catalogue().job(&id).await.unwrap().unwrap().state.is_final() {
                    // The commit may be one beside the job's way, which goes on: the renewal of its lease.
                    break disks.halt.came();
                }
                tokio::select! {
                    () = disks.halt.reached.notified() => break true,
                    moved = tokio::time::timeout(Duration::from_secs(60), changes.changed()) => { moved.expect("it moves").unwrap(); }
                }
            };
            runner.abort();
            let _ = runner.await;
            disks.halt.disarm();
            drop(world);
            if !halted {
                assert!(at > 20, "a job has more commits than {at}");
                break;
            }
            let next = World::open(&disks).await;
            let job = next.finish(&id).await;
            assert_eq!(job.state, JobState::Complete, "halted at {at} (after: {after}): {:?}", job.failure);
            next.assert_moved(&remembered).await;
            let marks = disks.control.scan(b"ks/cn-hangzhou/d/", Some(b"ks/cn-hangzhou/d0"), 1).await.unwrap();
            assert!(marks.entries.is_empty(), "halted at {at} (after: {after}): purged, but not shredded");
            assert_eq!(disks.source_slots.names().len(), 1, "halted at {at} (after: {after})");
            completed += 1;
        }
        assert!(completed > 20, "only {completed} points");
    }
}

/// The instance goes away in every call that comes before the first purge: the job is rolled back, the lock goes although
/// the instance stays away, and nothing is orphaned once it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_goes_away_before_the_first_purge_means_as_before() {
    let methods = [
        "ready",
        "offer",
        "stage",
        "labels",
        "seal_challenges",
        "open_challenges",
        "public_keys",
        "prove_sign",
        "digests",
        "closed",
        "close",
        "activate",
        "confirm",
    ];
    for method in methods {
        let disks = Disks::default();
        let world = World::open(&disks).await;
        let remembered = world.fill().await;
        let before = entries(&disks).await;
        let id = world.submit(world.order()).await;
        // Away from this call on, for good.
        let plan = std::sync::Arc::clone(&disks.plan);
        let calls = plan.calls(method);
        let down = std::sync::Arc::clone(&plan);
        plan.before_call(method, 1, move || down.set_unreachable(true));
        let runner = world.start();
        let mut changes = world.migrations.changes();
        let job = loop {
            let job = world.catalogue().job(&id).await.unwrap().unwrap();
            if job.state.is_final() {
                break job;
            }
            tokio::time::timeout(Duration::from_secs(60), changes.changed()).await.expect("it moves").unwrap();
        };
        assert_eq!(job.state, JobState::Failed, "{method}");
        assert!(plan.calls(method) > calls, "{method} is never called");
        assert!(world.catalogue().gate(&scope()).await.unwrap().is_none(), "{method}: the lock waits for the target");
        assert_eq!(entries(&disks).await, before, "{method}");
        runner.abort();
        plan.set_unreachable(false);
        world.migrations.tend().await.unwrap();
        world.assert_untouched(&remembered, &before, &disks).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_answer_in_a_proof_rolls_back() {
    for method in ["public_keys", "open_challenges", "prove_sign", "digests"] {
        let disks = Disks::default();
        let world = World::open(&disks).await;
        let remembered = world.fill().await;
        let before = entries(&disks).await;
        let id = world.submit(world.order()).await;
        disks.plan.break_call(method, 1, Fault::Flip);
        let job = world.finish(&id).await;
        assert_eq!(job.state, JobState::Failed, "{method}");
        assert_eq!(job.failure.unwrap().code, "VerificationFailed", "{method}");
        world.assert_untouched(&remembered, &before, &disks).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsal_proves_and_leaves_everything_as_it_was() {
    let disks = Disks::default();
    let world = World::open(&disks).await;
    let remembered = world.fill().await;
    let before = entries(&disks).await;
    let mut order = world.order();
    order.rehearsal = true;
    let id = world.submit(order).await;
    assert_eq!(world.finish(&id).await.state, JobState::Rehearsed);
    world.assert_untouched(&remembered, &before, &disks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_ends_before_the_first_purge_rolls_back() {
    let disks = Disks::default();
    let world = World::open(&disks).await;
    let remembered = world.fill().await;
    let before = entries(&disks).await;
    let mut order = world.order();
    order.window = Duration::from_millis(1500);
    order.soak = Duration::from_secs(60);
    let id = world.submit(order).await;
    let job = world.finish(&id).await;
    assert_eq!(job.state, JobState::Failed);
    assert_eq!(job.failure.unwrap().code, "WindowEnded");
    world.assert_untouched(&remembered, &before, &disks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_rolls_back_while_served_by_the_target_and_is_refused_afterwards() {
    let disks = Disks::default();
    let world = World::open(&disks).await;
    let remembered = world.fill().await;
    let before = entries(&disks).await;
    let mut order = world.order();
    order.soak = Duration::from_secs(600);
    let id = world.submit(order).await;
    let migrations = world.migrations.clone();
    let wanted = id.clone();
    let canceling = tokio::spawn(async move {
        let mut changes = migrations.changes();
        while migrations.service().catalogue.job(&wanted).await.unwrap().unwrap().state != JobState::Confirming {
            changes.changed().await.unwrap();
        }
        migrations.cancel(&wanted).await.unwrap();
    });
    let job = world.finish(&id).await;
    canceling.await.unwrap();
    assert_eq!(job.state, JobState::Canceled);
    world.assert_untouched(&remembered, &before, &disks).await;
    assert!(matches!(world.migrations.cancel(&id).await, Err(MigrationError::Ended(_, JobState::Canceled))));
}
