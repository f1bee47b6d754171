//! A clock that is set forward destroys nothing before somebody confirms it.

use super::*;
use crate::kms::clock_watch::{ClockWatch, STEP_ACROSS_RESTART, STEP_WHILE_RUNNING};

struct Watched {
    kms: Kms,
    watch: ClockWatch,
    monotonic: Duration,
}

impl Watched {
    async fn new() -> Self {
        Self { kms: Kms::new().await, watch: ClockWatch::default(), monotonic: Duration::ZERO }
    }

    /// So much time passes, the wall clock shows so much more, and what is due is done.
    async fn round(&mut self, passed: Duration, stepped: Duration) -> DueReport {
        self.monotonic += passed;
        self.kms.clock.advance(passed + stepped);
        let service = &self.kms.service;
        let look = self.watch.look(service, service.clock.now(), self.monotonic).await.unwrap();
        service.run_due_within(look).await.unwrap()
    }

    async fn confirm(&self) -> bool {
        self.kms.service.confirm_clock().await.unwrap().is_some()
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A key and a secret to be deleted in 7 days, and a key that rotates by then.
async fn doomed(kms: &Kms) -> (KeyId, KeyId) {
    let key = kms.key(&me(), NewKey::default()).await;
    kms.service.schedule_key_deletion(&me(), &key, 7).await.unwrap();
    let rotating = kms.key(&me(), NewKey { rotation: Some(DAY * 7), ..NewKey::default() }).await;
    (key, rotating)
}

#[tokio::test]
async fn nothing_that_falls_due_by_a_step_is_destroyed_before_it_is_confirmed() {
    let mut world = Watched::new().await;
    let (key, _) = doomed(&world.kms).await;
    assert_eq!(world.round(SECOND, Duration::ZERO).await, DueReport::default());
    // Rotation destroys nothing; it goes on.
    let report = world.round(SECOND, DAY * 8).await;
    assert_eq!(report, DueReport { rotated: 1, waiting: 1, ..DueReport::default() });
    // Another process keeps to it, and time alone does not help.
    world.watch = ClockWatch::default();
    assert_eq!(world.round(DAY, Duration::ZERO).await.waiting, 1);
    // What must not happen could still be called off.
    world.kms.service.cancel_key_deletion(&me(), &key).await.unwrap();
    world.kms.service.schedule_key_deletion(&me(), &key, 7).await.unwrap();
    assert!(world.confirm().await);
    assert!(!world.confirm().await);
    assert_eq!(world.round(SECOND, Duration::ZERO).await, DueReport::default());
    let report = world.round(DAY * 7, Duration::ZERO).await;
    assert_eq!((report.deleted_keys, report.waiting), (1, 0));
}

#[tokio::test]
async fn what_was_due_before_the_step_is_carried_out_all_the_same() {
    let mut world = Watched::new().await;
    doomed(&world.kms).await;
    world.round(SECOND, Duration::ZERO).await;
    // Seven days pass between two looks, and the clock is set forward besides.
    let report = world.round(DAY * 7, MINUTE * 6).await;
    assert_eq!((report.deleted_keys, report.waiting), (1, 0));
    assert!(world.confirm().await, "the step stands");
}

#[tokio::test]
async fn the_bounds_are_five_minutes_while_running_and_thirty_days_across_a_restart() {
    let five = Duration::try_from(STEP_WHILE_RUNNING).unwrap();
    for (step, stands) in [(five, false), (five + SECOND, true)] {
        let mut world = Watched::new().await;
        world.round(SECOND, Duration::ZERO).await;
        world.round(SECOND, step).await;
        assert_eq!(world.confirm().await, stands, "{step:?}");
    }
    let thirty = Duration::try_from(STEP_ACROSS_RESTART).unwrap();
    for (away, stands) in [(thirty, false), (thirty + SECOND, true)] {
        let mut world = Watched::new().await;
        world.round(MINUTE, Duration::ZERO).await;
        world.watch = ClockWatch::default();
        world.round(SECOND, away - SECOND).await;
        assert_eq!(world.confirm().await, stands, "{away:?}");
    }
}

/// The look costs no write a second.
#[tokio::test]
async fn the_look_is_written_once_a_minute_only() {
    let mut world = Watched::new().await;
    world.round(SECOND, Duration::ZERO).await;
    let first = world.kms.service.catalogue.clock().await.unwrap().unwrap();
    for _ in 0..59 {
        world.round(SECOND, Duration::ZERO).await;
    }
    assert_eq!(world.kms.service.catalogue.clock().await.unwrap().unwrap(), first);
    world.round(SECOND, Duration::ZERO).await;
    assert_ne!(world.kms.service.catalogue.clock().await.unwrap().unwrap(), first);
}
