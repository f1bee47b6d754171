//! Migrations into a token: whole, rolled back, and cut by crashes.

use std::time::Duration;

use keyferry::keystore::Keystore;
use keyferry::model::{JobState, KeySpec};

use super::hsm::{Hsm, hsm};
use super::world::{Disks, Remembered, World, entries};

/// What a hardware instance takes.
pub const FITTING: [(KeySpec, u32, bool); 3] =
    [(KeySpec::Aes256, 1, false), (KeySpec::Aes256, 1, false), (KeySpec::Aes256, 1, false)];

pub fn disks(hsm: &Hsm) -> Disks {
    Disks { token: Some(hsm.token()), ..Disks::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fits_moves_into_the_token_and_the_rest_stays() {
    let Some(hsm) = hsm("moving::what_fits_moves_into_the_token_and_the_rest_stays") else { return };
    let disks = disks(&hsm);
    let world = World::open(&disks).await;
    let mut all = FITTING.to_vec();
    all.extend([(KeySpec::Aes256, 2, false), (KeySpec::Aes256, 1, true), (KeySpec::EcP256, 1, false)]);
    let mut remembered = world.fill_with(&all).await;
    let stays: Vec<Remembered> = remembered.split_off(FITTING.len());
    let id = world.submit(world.order()).await;
    let job = world.finish(&id).await;
    assert_eq!(job.state, JobState::Complete, "{:?}", job.failure);
    let mut left: Vec<(String, String)> =
        job.left_behind.iter().map(|left| (left.resource.name().to_owned(), left.code.clone())).collect();
    let codes = ["MultiVersionNotSupported", "RotationNotSupported", "UnsupportedKeySpec"];
    let mut expected: Vec<(String, String)> =
        stays.iter().zip(codes).map(|(known, code)| (known.key.id.to_string(), code.to_owned())).collect();
    left.sort();
    expected.sort();
    assert_eq!(left, expected);
    world.assert_moved(&remembered).await;
    let objects = hsm.objects();
    assert_eq!(objects.len(), FITTING.len(), "{objects:?}");
    // The doctor's inventory tries each key in the token.
    let held = world.instance.inventory().await.unwrap();
    assert_eq!(held.len(), FITTING.len() + 2, "keys and secrets");
    assert!(held.iter().all(|held| held.label.is_ok() && held.versions.iter().all(|version| version.fault.is_none())));
    let report = world.migrations.report(&job).await.unwrap();
    assert!(report.notes.iter().any(|note| note.contains("CKA_ALWAYS_SENSITIVE")), "{:?}", report.notes);
    // What is deleted is destroyed in the token, too.
    let (place, _) = &remembered[0].places[0];
    world.instance.destroy(&place.incarnation, None).await.unwrap();
    assert_eq!(hsm.objects().len(), FITTING.len() - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsal_leaves_nothing_in_the_token() {
    let Some(hsm) = hsm("moving::a_rehearsal_leaves_nothing_in_the_token") else { return };
    let disks = disks(&hsm);
    let world = World::open(&disks).await;
    let remembered = world.fill_with(&FITTING).await;
    let before = entries(&disks).await;
    let id = world.submit(keyferry::migration::Order { rehearsal: true, ..world.order() }).await;
    let job = world.finish(&id).await;
    assert_eq!(job.state, JobState::Rehearsed, "{:?}", job.failure);
    world.assert_untouched(&remembered, &before, &disks).await;
    assert!(hsm.objects().is_empty(), "{:?}", hsm.objects());
}

/// Dies at commits of the job spread over its whole length; the next process ends it, and the token holds exactly the
/// keys that moved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_the_token_holds_each_key_once() {
    let Some(hsm) = hsm("moving::after_a_crash_the_token_holds_each_key_once") else { return };
    let (mut at, mut kept, mut completed) = (1_u64, 0, 0);
    loop {
        let disks = disks(&hsm);
        let world = World::open(&disks).await;
        let remembered = world.fill_with(&FITTING).await;
        let id = world.submit(world.order()).await;
        disks.halt.arm(at, at % 2 == 0);
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
        let next = World::open(&disks).await;
        let job = next.finish(&id).await;
        assert_eq!(job.state, JobState::Complete, "halted at {at}: {:?}", job.failure);
        next.assert_moved(&remembered).await;
        // A call that the token was in when its process died may have made an object since: the sweep at start finds it.
        next.instance.sweep_objects().await.unwrap();
        kept += FITTING.len();
        completed += 1;
        assert_eq!(hsm.objects().len(), kept, "halted at {at}");
        if !halted {
            break;
        }
        at += 7;
    }
    assert!(completed > 5, "a job has more commits than {at}");
}
