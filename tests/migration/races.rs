//! Two things that happen at one moment, each put in exactly that order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use keyferry::catalogue::Hold;
use keyferry::keystore::faulty::Fault;
use keyferry::keystore::{Keystore, KeystoreError};
use keyferry::model::{JobState, KeyRecord, KeystoreId};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::world::{Disks, World, instance_id};

/// A hold keeps jobs from starting; one that has begun to close its gate has started.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_hold_does_not_end_a_job_that_is_closing_its_gate() {
    let disks = Disks::default();
    let world = World::open(&disks).await;
    let remembered = world.fill().await;
    let id = world.submit(world.order()).await;
    let migrations = world.migrations.clone();
    let came = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&came);
    // Preflight asks once before the gate and once behind it: the hold comes just before the second.
    disks.plan.before_call("ready", 2, move || {
        let held = async {
            let reason = "the auditors are here".to_owned();
            let since = migrations.service().clock.now();
            migrations.hold(Hold { region: None, account: None, reason, since }, false).await.unwrap();
            let jobs = migrations.service().catalogue.jobs().await.unwrap();
            assert!(jobs.iter().all(|job| job.state == JobState::Locked), "the hold comes behind the gate");
            seen.fetch_add(1, Ordering::SeqCst);
        };
        block_in_place(|| Handle::current().block_on(held));
    });
    let job = world.finish(&id).await;
    assert_eq!(came.load(Ordering::SeqCst), 1, "the hold came");
    assert_eq!(job.state, JobState::Complete, "{:?}", job.failure);
    world.assert_moved(&remembered).await;
}

/// The target did not answer, so the source was to answer for it; but the target was there again for the job, and the
/// purge took the source's copy in between. The call must not fail for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_comes_to_the_source_after_its_purge_goes_back_to_the_target() {
    let disks = Disks::default();
    let world = World::open(&disks).await;
    let remembered = world.fill().await;
    let id = world.submit(world.order()).await;
    // The job waits at the end of its confirming, until the call is on its way to the source.
    disks.plan.break_call("confirm", 1, Fault::Freeze);
    let runner = world.start();
    disks.plan.frozen().await;
    let wanted = &remembered[1].key;
    let key = world.catalogue().key(&wanted.region, &wanted.id).await.unwrap().unwrap().into_value();
    assert_eq!(key.keystore, KeystoreId::Instance(instance_id()), "it is served by the target");
    let asked = AtomicU32::new(0);
    let (world, id, asked, key, plan) = (&world, &id, &asked, &key, &disks.plan);
    let place = &remembered[1].places[0].0;
    let answer = world.migrations.service().ask_for_key(key, |keystore: Arc<dyn Keystore>| async move {
        match asked.fetch_add(1, Ordering::SeqCst) {
            0 => return Err(unreachable_now(key)),
            1 => {
                plan.thaw();
                let mut changes = world.migrations.changes();
                while !world.catalogue().job(id).await.unwrap().unwrap().state.is_final() {
                    changes.changed().await.unwrap();
                }
            }
            _ => {}
        }
        keystore.public_key(place).await
    });
    let answer = answer.await.unwrap();
    assert_eq!(answer, remembered[1].places[0].1);
    assert_eq!(asked.load(Ordering::SeqCst), 3, "target, source, target");
    world.stop.cancel();
    runner.await.unwrap();
    assert_eq!(world.catalogue().job(id).await.unwrap().unwrap().state, JobState::Complete);
    world.assert_moved(&remembered).await;
}

fn unreachable_now(key: &KeyRecord) -> KeystoreError {
    KeystoreError::Unavailable { keystore: key.keystore.clone(), detail: "rehearsed".to_owned() }
}
