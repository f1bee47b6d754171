//! Tokens that go away, refuse the PIN, fill up or hang.

use std::time::{Duration, Instant};

use keyferry::crypto::material::KeyMaterial;
use keyferry::crypto::transport::TransportKeys;
use keyferry::keystore::hardware::{ObjectId, TokenError};
use keyferry::keystore::{Keystore, KeystoreError};
use keyferry::migration::MigrationError;
use keyferry::model::{Job, JobId, JobState, KeySpec, ProblemCode, SystemRandom};

use super::hsm::{PIN, hsm};
use super::moving::{FITTING, disks};
use super::world::{World, entries};

const AAD: &[u8] = b"additional data";

#[tokio::test]
async fn a_wrong_pin_is_tried_once() {
    let Some(hsm) = hsm("faults::a_wrong_pin_is_tried_once") else { return };
    let token = hsm.token_with("000000");
    for _ in 0..5 {
        let refused = token.ready().await.unwrap_err();
        assert!(matches!(&refused, TokenError::PinRefused(why) if why.contains("not tried again")), "{refused}");
    }
    assert_eq!(hsm.logins(), 1, "tokens lock");
    token.set_pin(hsm.pin("111111"));
    for _ in 0..5 {
        token.ready().await.unwrap_err();
    }
    assert_eq!(hsm.logins(), 2);
    token.set_pin(hsm.pin(PIN));
    token.ready().await.unwrap();
    assert_eq!(hsm.logins(), 3);
}

#[tokio::test]
async fn whether_a_token_can_be_reached_may_be_asked_often() {
    let Some(hsm) = hsm("faults::whether_a_token_can_be_reached_may_be_asked_often") else { return };
    let token = hsm.token_with("000000");
    for _ in 0..5 {
        let refused = token.reachable().await.unwrap_err();
        assert!(matches!(&refused, TokenError::PinRefused(why) if why.contains("not tried again")), "{refused}");
    }
    assert_eq!(hsm.logins(), 1, "tokens lock");
    token.set_pin(hsm.pin(PIN));
    token.reachable().await.unwrap();
    hsm.order("removed");
    let away = token.reachable().await.unwrap_err();
    assert!(matches!(away, TokenError::Unreachable(_)), "{away}");
    hsm.order("");
    // One that is away is not looked for at each question.
    while token.reachable().await.is_err() {
        tokio::task::yield_now().await;
    }
    let before = hsm.logins();
    for loss in ["closed", "out"] {
        hsm.order(&format!("lose {loss}"));
        token.reachable().await.unwrap();
    }
    assert_eq!(hsm.logins(), before + 2, "a lost session is opened again");
    token.reachable().await.unwrap();
    assert_eq!(hsm.logins(), before + 2);
    assert!(hsm.objects().is_empty(), "nothing was tried out in it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preflight_names_what_is_wrong_with_the_token() {
    let Some(hsm) = hsm("faults::preflight_names_what_is_wrong_with_the_token") else { return };
    let disks = disks(&hsm);
    let world = World::open(&disks).await;
    world.fill_with(&FITTING).await;
    hsm.order("removed");
    let submitted = world.migrations.submit(world.order(), keyferry::store::Transaction::new()).await;
    let Err(MigrationError::Refused(problems)) = submitted else { panic!("it is refused") };
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!(problem.code, ProblemCode::InstanceNotActive);
    assert!(problem.message.contains("token"), "{}", problem.message);
    hsm.order("");
    let id = world.submit(world.order()).await;
    assert_eq!(world.finish(&id).await.state, JobState::Complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_token_rolls_the_job_back() {
    let Some(hsm) = hsm("faults::a_full_token_rolls_the_job_back") else { return };
    let disks = disks(&hsm);
    let world = World::open(&disks).await;
    let remembered = world.fill_with(&FITTING).await;
    let before = entries(&disks).await;
    // The trial brings in two keys at preflight, twice; then the ephemeral key and the first of three.
    world.instance.token().unwrap().ready().await.unwrap();
    hsm.order("full 2");
    let id = world.submit(world.order()).await;
    let job = world.finish(&id).await;
    assert_eq!(job.state, JobState::Failed);
    let failure = job.failure.unwrap();
    assert_eq!(failure.code, "InsufficientSpace", "{failure:?}");
    assert!(failure.message.contains("full"), "{failure:?}");
    world.assert_untouched(&remembered, &before, &disks).await;
    assert!(hsm.objects().is_empty(), "{:?}", hsm.objects());
    hsm.order("");
    let world = World::open(&disks).await;
    let id = world.submit(world.order()).await;
    assert_eq!(world.finish(&id).await.state, JobState::Complete);
    world.assert_moved(&remembered).await;
}

async fn reaches(world: &World, id: &JobId, until: impl Fn(&Job) -> bool) -> Job {
    let mut changes = world.migrations.changes();
    loop {
        let job = world.catalogue().job(id).await.unwrap().unwrap().into_value();
        if until(&job) {
            return job;
        }
        tokio::time::timeout(Duration::from_secs(60), changes.changed()).await.expect("the job moves").unwrap();
    }
}

/// A job that waits to be run, whose token goes away just before a call of the target.
async fn gone_before(
    hsm: &super::hsm::Hsm,
    call: &'static str,
    nth: u64,
) -> (World, super::world::Disks, Vec<super::world::Remembered>, JobId) {
    let disks = disks(hsm);
    let world = World::open(&disks).await;
    let remembered = world.fill_with(&FITTING).await;
    let id = world.submit(world.order()).await;
    let control = hsm.directory.join("control");
    disks.plan.before_call(call, nth, move || std::fs::write(control, "removed").unwrap());
    (world, disks, remembered, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_goes_before_the_first_purge_ends_in_a_roll_back() {
    let Some(hsm) = hsm("faults::a_token_that_goes_before_the_first_purge_ends_in_a_roll_back") else { return };
    // Gone just before the first copies come in.
    let (world, _disks, remembered, id) = gone_before(&hsm, "stage", 1).await;
    let _runner = world.start();
    let job = reaches(&world, &id, |job| job.state.is_final()).await;
    assert_eq!(job.state, JobState::Failed, "nothing can be copied into a token that is gone");
    // The applications' keys are where they were.
    for (place, sealed) in remembered.iter().flat_map(|known| &known.places) {
        assert_eq!(world.source.open(place, b"a test", sealed).await.unwrap().value.as_slice(), b"before");
    }
    assert!(!world.catalogue().clean_ups().await.unwrap().is_empty(), "what is in the token waits for it");
    hsm.order("");
    world.migrations.tend().await.unwrap();
    assert!(world.catalogue().clean_ups().await.unwrap().is_empty());
    assert!(hsm.objects().is_empty(), "{:?}", hsm.objects());
    world.stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_goes_at_the_first_purge_is_waited_for() {
    let Some(hsm) = hsm("faults::a_token_that_goes_at_the_first_purge_is_waited_for") else { return };
    // Gone just before the target confirms the first batch of the purge.
    let (world, disks, remembered, id) = gone_before(&hsm, "confirm", 2).await;
    let runner = world.start();
    reaches(&world, &id, |job| job.state == JobState::Purging || job.state.is_final()).await;
    tokio::time::timeout(Duration::from_secs(60), async {
        while disks.plan.calls("confirm") < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it tries again");
    let job = reaches(&world, &id, |job| job.state >= JobState::Purging).await;
    assert_eq!(job.state, JobState::Purging, "{:?}", job.failure);
    hsm.order("");
    let job = reaches(&world, &id, |job| job.state.is_final()).await;
    assert_eq!(job.state, JobState::Complete, "{:?}", job.failure);
    world.stop.cancel();
    runner.await.unwrap();
    world.assert_moved(&remembered).await;
}

#[tokio::test]
async fn a_token_whose_files_are_moved_away_comes_back() {
    let Some(hsm) = hsm("faults::a_token_whose_files_are_moved_away_comes_back") else { return };
    let token = hsm.token();
    let material = KeyMaterial::generate(KeySpec::Aes256, &SystemRandom).unwrap();
    let id = ObjectId::generate(&SystemRandom);
    token.import(id, material).await.unwrap();
    let sealed = token.seal(id, [1; 12], AAD, b"text").await.unwrap();
    hsm.move_tokens(true);
    let other = ObjectId::generate(&SystemRandom);
    let failed = token.generate(other, KeySpec::Aes256).await;
    assert!(failed.is_err(), "nothing is made where there is no token");
    hsm.move_tokens(false);
    assert_eq!(token.open(id, [1; 12], AAD, &sealed).await.unwrap().as_slice(), b"text");
    token.generate(other, KeySpec::Aes256).await.unwrap();
}

/// A session that is lost while the token stays: what is used and what is made goes on in a new one; an offer was made in
/// the lost one.
#[tokio::test]
async fn a_lost_session_is_opened_again_and_has_taken_its_offers_along() {
    let Some(hsm) = hsm("faults::a_lost_session_is_opened_again_and_has_taken_its_offers_along") else { return };
    let token = hsm.token();
    let id = ObjectId::generate(&SystemRandom);
    token.generate(id, KeySpec::Aes256).await.unwrap();
    let sealed = token.seal(id, [1; 12], AAD, b"text").await.unwrap();
    // Really closed or logged out, and CKR_SESSION_CLOSED, CKR_SESSION_HANDLE_INVALID, CKR_USER_NOT_LOGGED_IN.
    for loss in ["closed", "out", "0xb0", "0xb3", "0x101"] {
        let lose = format!("lose {loss}");
        let mut logins = hsm.logins();
        hsm.order(&lose);
        assert_eq!(token.open(id, [1; 12], AAD, &sealed).await.unwrap().as_slice(), b"text", "{loss}");
        logins += 1;
        assert_eq!(hsm.logins(), logins, "{loss}");
        hsm.order(&lose);
        let made = ObjectId::generate(&SystemRandom);
        token.generate(made, KeySpec::EcP256).await.unwrap();
        logins += 1;
        assert_eq!(hsm.logins(), logins, "{loss}");
        let keys = TransportKeys::generate(&SystemRandom);
        let offer = token.offer().await.unwrap();
        let wrapped = keys.wrap_kek(offer.public_der(), offer.oaep()).unwrap();
        hsm.order(&lose);
        assert_eq!(token.take_kek(&offer, &wrapped).await.unwrap_err(), TokenError::OfferGone, "{loss}");
        let offer = token.offer().await.unwrap();
        let wrapped = keys.wrap_kek(offer.public_der(), offer.oaep()).unwrap();
        token.take_kek(&offer, &wrapped).await.unwrap();
        assert!(!hsm.directory.join("control").exists(), "{loss}");
        token.destroy(vec![made]).await.unwrap();
    }
    // Nothing is there twice, or left over.
    assert_eq!(hsm.objects().len(), 1, "{:?}", hsm.objects());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_hangs_holds_up_nobody_else() {
    let Some(hsm) = hsm("faults::a_token_that_hangs_holds_up_nobody_else") else { return };
    let disks = disks(&hsm);
    let world = World::open(&disks).await;
    let remembered = world.fill_with(&[(KeySpec::Aes256, 1, false), (KeySpec::Aes256, 2, false)]).await;
    let id = world.submit(world.order()).await;
    assert_eq!(world.finish(&id).await.state, JobState::Complete);
    let (there, _) = remembered[0].places[0].clone();
    let (shared, before) = remembered[1].places[0].clone();
    hsm.order("hang");
    let instance = std::sync::Arc::clone(&world.instance);
    let hanging: Vec<_> = (0..300)
        .map(|_| {
            let (instance, there) = (std::sync::Arc::clone(&instance), there.clone());
            tokio::spawn(async move { instance.seal(&there, AAD, b"text").await.map(|answer| answer.value) })
        })
        .collect();
    let (begun, mut slowest) = (Instant::now(), Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(1) {
        let one = Instant::now();
        world.source.open(&shared, b"a test", &before).await.unwrap();
        slowest = slowest.max(one.elapsed());
        tokio::task::yield_now().await;
    }
    // A call to the token is given up after five seconds; these would wait as long if they stood behind one.
    assert!(slowest < Duration::from_secs(4), "{slowest:?}");
    for call in hanging {
        let failed = call.await.unwrap().unwrap_err();
        assert!(matches!(failed, KeystoreError::Unavailable { .. }), "{failed}");
    }
    // Nor behind a call that does not come back, once the token's owner has been in it for too long.
    let refused = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let failed = instance.seal(&there, AAD, b"text").await.map(|answer| answer.value).unwrap_err();
            if failed.to_string().contains("has not come back from an earlier call") {
                return;
            }
        }
    });
    refused.await.expect("callers do not queue behind it");
    hsm.order("");
    let sealed = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            match instance.seal(&there, AAD, b"text").await {
                Ok(answer) => return answer.value,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    });
    let sealed = sealed.await.expect("it works again");
    assert_eq!(instance.open(&there, AAD, &sealed).await.unwrap().value.as_slice(), b"text");
}
