//! Two workers over one store and one instance. The first stalls longer than its lease lasts; the second finishes the job;
//! the first then goes on where it was, and must change nothing more, neither here nor in the target.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keyferry::keystore::faulty::Fault;
use keyferry::migration::Settings;
use keyferry::model::JobState;
use keyferry::store::Versioned;

use crate::halting::Trouble;
use crate::world::{Disks, World};

/// Where the first worker stalls.
#[derive(Debug, Clone, Copy)]
enum Stall {
    /// At its n-th commit from the submission on, in whatever store.
    Commit(u64),
    /// In a call of the target.
    Call(&'static str),
}

fn settings() -> Settings {
    Settings { exclusive: false, lease: Duration::from_millis(400), ..Settings::default() }
}

/// False when the job was over before the first worker stalled.
async fn stall_and_finish(stall: Stall) -> bool {
    let disks = Disks::default();
    let first = World::open_as(&disks, "first", settings()).await;
    let remembered = first.fill().await;
    let id = first.submit(first.order()).await;
    match stall {
        Stall::Commit(n) => disks.halt.arm_with(n, false, Trouble::Freeze),
        Stall::Call(method) => disks.plan.break_call(method, 1, Fault::Freeze),
    }
    let stalled = first.start();
    let mut changes = first.migrations.changes();
    loop {
        if first.catalogue().job(&id).await.unwrap().unwrap().state.is_final() {
            stalled.abort();
            return false;
        }
        tokio::select! {
            () = disks.halt.reached.notified() => break,
            () = disks.plan.frozen() => break,
            _ = changes.changed() => {}
        }
    }
    // A worker that stalls renews no lease either.
    disks.halt.freeze();

    let others = disks.of_another_process();
    let second = World::open_as(&others, "second", settings()).await;
    let job = second.finish(&id).await;
    assert_eq!(job.state, JobState::Complete, "{stall:?}: {:?}", job.failure);
    second.assert_moved(&remembered).await;
    let before = everything(&disks).await;

    disks.halt.thaw();
    disks.plan.thaw();
    first.stop.cancel();
    tokio::time::timeout(Duration::from_secs(60), stalled).await.expect("it leaves").unwrap();
    let after = everything(&disks).await;
    let differs = |key: &&String| before.get(*key) != after.get(*key);
    let changed: BTreeSet<&String> = before.keys().chain(after.keys()).filter(differs).collect();
    assert!(changed.is_empty(), "{stall:?}: it changed {changed:?}");
    second.assert_moved(&remembered).await;
    true
}

/// All that both stores hold, with its revisions. But for the mark of the test write that a preflight makes: it is no job's.
async fn everything(disks: &Disks) -> BTreeMap<String, Versioned> {
    let control = disks.control.scan(b"", None, usize::MAX).await.unwrap().entries;
    let instance = disks.instance.all().into_iter().filter(|(key, _)| key != b"ready");
    let name = |store: &str, key: &[u8]| format!("{store} {}", String::from_utf8_lossy(key));
    let control = control.into_iter().map(|(key, value)| (name("control", &key), value));
    control.chain(instance.map(|(key, value)| (name("instance", &key), value))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stalls_in_a_commit_changes_nothing_more() {
    let mut stalled = 0;
    // Commits come in an order that is nearly fixed; every second one covers each kind of write.
    for n in (1..).step_by(2) {
        if !stall_and_finish(Stall::Commit(n)).await {
            break;
        }
        stalled += 1;
    }
    assert!(stalled > 12, "only {stalled} points");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stalls_in_a_call_of_the_target_changes_nothing_more() {
    let methods = [
        "offer",
        "stage",
        "closed",
        "labels",
        "open_challenges",
        "prove_sign",
        "digests",
        "close",
        "activate",
        "open",
        "confirm",
        "settle",
    ];
    for method in methods {
        assert!(stall_and_finish(Stall::Call(method)).await, "{method} is never called");
    }
}
