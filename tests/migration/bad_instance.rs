//! An instance that is slow, hangs, is full, answers nonsense or forgets what it had acknowledged, at every call of a
//! migration. Until the first purge the job rolls back inside its window and says why; after it, it waits and goes on, and
//! nothing is purged that the instance does not confirm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyferry::keystore::faulty::Fault;
use keyferry::model::{Job, JobId, JobState};

use crate::world::{Disks, Remembered, World, entries};

/// Every call that a target gets in a whole migration of what [`World::fill`] makes, in the order of its first coming.
pub const CALLS: [&str; 15] = [
    "ready",
    "offer",
    "stage",
    "closed",
    "labels",
    "seal_challenges",
    "open_challenges",
    "public_keys",
    "prove_sign",
    "digests",
    "close",
    "activate",
    "open",
    "sign",
    "confirm",
];

pub struct Case {
    pub disks: Disks,
    pub world: World,
    remembered: Vec<Remembered>,
    before: BTreeMap<Vec<u8>, Vec<u8>>,
    id: JobId,
}

impl Case {
    async fn new(window: Duration) -> Self {
        let disks = Disks::default();
        let world = World::open(&disks).await;
        Self::of(disks, world, window).await
    }

    /// Everything there is in this world is to be moved.
    pub async fn of(disks: Disks, world: World, window: Duration) -> Self {
        let remembered = world.fill().await;
        let before = entries(&disks).await;
        let mut order = world.order();
        order.window = window;
        let id = world.submit(order).await;
        Self { disks, world, remembered, before, id }
    }

    async fn job(&self) -> Job {
        self.world.catalogue().job(&self.id).await.unwrap().unwrap().into_value()
    }

    /// Waits for the end of the job, or until `enough`.
    async fn watch(&self, enough: impl Fn(&Job) -> bool) -> Job {
        let mut changes = self.world.migrations.changes();
        let begun = Instant::now();
        loop {
            let job = self.job().await;
            if job.state.is_final() || enough(&job) {
                return job;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "it stands still in {:?}", job.state);
            let _ = tokio::time::timeout(Duration::from_millis(20), changes.changed()).await;
        }
    }

    /// How often the purge was begun, or begun again: each time it first asks for the activation.
    fn begun(&self) -> u64 {
        self.disks.plan.calls("activate")
    }

    /// Whole in the source, or whole in the target: never a record that no one holds.
    async fn hold_to_its_end(self, what: &str) -> JobState {
        self.world.migrations.tend().await.unwrap();
        let job = self.job().await;
        match job.state {
            JobState::Complete => self.world.assert_moved(&self.remembered).await,
            JobState::Failed => {
                let failure = job.failure.expect("a failed job says why");
                assert!(!failure.message.is_empty() && !failure.remedy.is_empty(), "{what}: {failure:?}");
                assert!(job.finished_at.unwrap() < job.window_end + Duration::from_secs(10), "{what}: too late");
                self.world.assert_untouched(&self.remembered, &self.before, &self.disks).await;
            }
            other => panic!("{what}: ended {other:?}"),
        }
        job.state
    }
}

/// From the first purge on: it stands, asking again and again, with nothing lost; once healed it completes.
pub async fn end(case: Case, what: &str, heal: impl Fn(&Disks)) -> JobState {
    let runner = case.world.start();
    let job = case.watch(|job| job.state.is_past_return()).await;
    if !job.state.is_final() {
        let begun = case.begun();
        // What heals by itself needs one more try.
        if !case.watch(|_| case.begun() > begun + 3).await.state.is_final() {
            heal(&case.disks);
            case.watch(|_| false).await;
        }
    }
    if case.job().await.state != JobState::Complete {
        // What a roll-back leaves to be done needs the instance.
        heal(&case.disks);
    }
    runner.abort();
    let _ = runner.await;
    case.hold_to_its_end(what).await
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_names_every_call() {
    let case = Case::new(HOUR).await;
    assert_eq!(case.world.finish(&case.id).await.state, JobState::Complete);
    for method in CALLS {
        assert!(case.disks.plan.calls(method) > 0, "{method} is never called");
    }
    let named: u64 = CALLS.iter().chain(&["settle", "id", "identity"]).map(|m| case.disks.plan.calls(m)).sum();
    assert_eq!(named, case.disks.plan.all_calls(), "a call that the table does not name");
}

/// The disk takes so many more writes, then none, until somebody makes room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_or_read_only_instance() {
    let mut ends = Vec::new();
    for room in 0.. {
        let case = Case::new(HOUR).await;
        case.disks.instance.fill_up(room);
        let state = end(case, &format!("room for {room} writes"), |disks| disks.instance.heal()).await;
        ends.push(state);
        if ends.iter().rev().take(3).filter(|state| **state == JobState::Complete).count() == 3 {
            break;
        }
    }
    assert!(ends.len() > 8 && ends.contains(&JobState::Failed), "{ends:?}");
}

/// It goes away at a call after the first purge, and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_goes_away_after_the_first_purge_is_waited_for() {
    // The second activation and confirmation are the purge's; the first ones come before it.
    for (method, nth) in [("activate", 2), ("confirm", 2), ("confirm", 3), ("settle", 1)] {
        let case = Case::new(HOUR).await;
        let plan = Arc::clone(&case.disks.plan);
        case.disks.plan.before_call(method, nth, move || plan.set_unreachable(true));
        let state = end(case, method, |disks| disks.plan.set_unreachable(false)).await;
        assert_eq!(state, JobState::Complete, "{method} {nth}");
    }
}

/// Every call hangs, from one on, for as long as the job lasts: the window's end rolls back without waiting for it, and what
/// the instance does with the late call changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_hangs_is_left_at_the_end_of_the_window() {
    // The job asks for `ready` twice: in its preflight, and again under the lock.
    let calls = CALLS.into_iter().map(|method| (method, 1)).chain([("ready", 2)]);
    let cases = calls.map(|(method, nth)| async move {
        // A machine under load may come to the end of a window before the call: then the next one is longer.
        for window in [4, 12, 36] {
            let case = Case::new(Duration::from_secs(window)).await;
            case.disks.plan.break_call(method, nth, Fault::Freeze);
            let hung = tokio::spawn({
                let plan = Arc::clone(&case.disks.plan);
                async move { plan.frozen().await }
            });
            let runner = case.world.start();
            let job = case.watch(|_| false).await;
            assert_eq!(job.state, JobState::Failed, "{method} {nth}");
            assert_eq!(job.failure.unwrap().code, "WindowEnded", "{method} {nth}");
            let hung = hung.is_finished();
            case.disks.plan.thaw();
            case.world.stop.cancel();
            runner.await.unwrap();
            case.hold_to_its_end(method).await;
            if hung {
                return true;
            }
        }
        false
    });
    let hung = futures::future::join_all(cases).await;
    assert!(hung.iter().filter(|hung| **hung).count() > CALLS.len() / 2, "{hung:?}");
}

/// An operator need not wait for the window either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_instance_hangs_can_be_canceled() {
    let case = Case::new(HOUR).await;
    case.disks.plan.break_call("stage", 1, Fault::Freeze);
    let runner = case.world.start();
    case.disks.plan.frozen().await;
    case.world.migrations.cancel(&case.id).await.unwrap();
    assert_eq!(case.watch(|_| false).await.state, JobState::Canceled);
    case.disks.plan.thaw();
    case.world.stop.cancel();
    runner.await.unwrap();
    case.world.migrations.tend().await.unwrap();
    case.world.assert_untouched(&case.remembered, &case.before, &case.disks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_instance_costs_time_and_nothing_else() {
    let case = Case::new(HOUR).await;
    case.disks.plan.set_delay(Duration::from_millis(20));
    assert_eq!(end(case, "slow", |_| {}).await, JobState::Complete);
    let case = Case::new(Duration::from_millis(1500)).await;
    case.disks.plan.set_delay(Duration::from_millis(400));
    assert_eq!(end(case, "too slow for its window", |_| {}).await, JobState::Failed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_answer_before_the_first_purge_rolls_back() {
    // Of the other calls the answer says nothing, or is checked by those that follow.
    for method in [
        "offer",
        "labels",
        "seal_challenges",
        "open_challenges",
        "public_keys",
        "prove_sign",
        "digests",
        "close",
        "open",
        "sign",
    ] {
        let case = Case::new(HOUR).await;
        case.disks.plan.break_call(method, 1, Fault::Flip);
        assert_eq!(end(case, method, |_| {}).await, JobState::Failed, "{method}");
    }
}

/// What it acknowledged between two calls is gone, at every pair of them; once more during the purge, where it comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_loses_acknowledged_writes() {
    let moments: [(&str, u64); 11] = [
        ("offer", 1),
        ("stage", 1),
        ("stage", 2),
        ("labels", 1),
        ("close", 1),
        ("activate", 1),
        ("open", 1),
        ("confirm", 1),
        ("activate", 2),
        ("confirm", 2),
        ("settle", 1),
    ];
    let mut ends = BTreeMap::new();
    for (n, kept) in moments.into_iter().enumerate() {
        for lost in moments.into_iter().skip(n + 1) {
            let case = Case::new(HOUR).await;
            let (keeping, losing) = (Arc::clone(&case.disks.instance), Arc::clone(&case.disks.instance));
            let keep = move || keeping.keep();
            if kept.0 == lost.0 {
                // One hook a method: the first makes the second.
                let plan = Arc::clone(&case.disks.plan);
                case.disks.plan.before_call(kept.0, kept.1, move || {
                    keep();
                    plan.before_call(lost.0, lost.1 - kept.1, move || losing.lose());
                });
            } else {
                case.disks.plan.before_call(kept.0, kept.1, keep);
                case.disks.plan.before_call(lost.0, lost.1, move || losing.lose());
            }
            let what = format!("lost at {lost:?} all since {kept:?}");
            // What was lost is found again: it can only be waited for.
            let state = end(case, &what, |disks| disks.instance.bring_back()).await;
            ends.insert(what, state);
        }
    }
    assert!(ends.values().any(|state| *state == JobState::Failed), "{ends:#?}");
    assert!(ends.values().any(|state| *state == JobState::Complete), "{ends:#?}");
}
