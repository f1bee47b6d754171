//! What every step must pass: it may be run twice, by another worker, and after any failure inside it; undoing it twice, or
//! without its having run, leaves everything as it was. The table is the machine's own states, so a new step is in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code, missing_docs, unreachable_pub)]
#[path = "../../../tests/migration/halting.rs"]
mod halting;
#[allow(dead_code, missing_docs, unreachable_pub)]
#[path = "../../../tests/migration/rewinding.rs"]
mod rewinding;
#[allow(dead_code, missing_docs, unreachable_pub)]
#[path = "../../../tests/migration/world.rs"]
mod world;

use std::collections::BTreeMap;

use halting::Trouble;
use world::{Disks, Remembered, World, entries};

use super::{Ended, UNDO, step};
use crate::catalogue::{Demand, KeyOrAlias};
use crate::keystore::faulty::Fault;
use crate::kms::Caller;
use crate::migration::MigrationError;
use crate::migration::context::Context;
use crate::model::{Ending, JobEvent, JobId, JobState, ResourceKind, Selection};

/// A world whose job stands before the step of a state.
struct Bench {
    disks: Disks,
    world: World,
    remembered: Vec<Remembered>,
    before: BTreeMap<Vec<u8>, Vec<u8>>,
    id: JobId,
}

/// Every state with a step.
fn states() -> impl Iterator<Item = JobState> {
    JobState::ALL.into_iter().filter(|state| step(*state).is_some())
}

impl Bench {
    /// Walks a job, step by step, to where `state` is next; the way to a roll-back leads through flipped entries.
    async fn at(state: JobState) -> Self {
        let disks = Disks::default();
        let world = World::open(&disks).await;
        let remembered = world.fill().await;
        let before = entries(&disks).await;
        let id = world.submit(world.order()).await;
        let bench = Self { disks, world, remembered, before, id };
        let mut context = bench.worker().await;
        advance(&mut context, JobEvent::Done).await;
        while context.job.state != state {
            let turns = state == JobState::RollingBack && context.job.state == JobState::Confirming;
            if turns {
                advance(&mut context, JobEvent::Fail).await;
                continue;
            }
            assert!(!context.job.state.is_final(), "no way leads to {state:?}");
            run(&mut context).await.unwrap();
        }
        bench
    }

    /// A worker that has just taken the job over: nothing in memory from the one before.
    async fn worker(&self) -> Context {
        let service = self.world.migrations.service();
        let lease = service.catalogue.take_over(&self.id, "bench", service.clock.now()).await.unwrap();
        let job = service.catalogue.job(&self.id).await.unwrap().unwrap();
        Context::new(self.world.migrations.clone(), lease, job, self.world.stop.clone())
    }

    /// Lets the runner bring the job to its end, and holds it to what a job must end as.
    async fn end(self, what: &str) -> JobState {
        self.disks.halt.disarm();
        let job = self.world.finish(&self.id).await;
        match job.state {
            JobState::Complete => self.world.assert_moved(&self.remembered).await,
            JobState::Failed => self.world.assert_untouched(&self.remembered, &self.before, &self.disks).await,
            other => panic!("{what}: ended {other:?}"),
        }
        job.state
    }
}

/// Runs the step of the job's state and makes the transition it asks for.
async fn run(context: &mut Context) -> Result<(), MigrationError> {
    match step(context.job.state).unwrap().run(context).await? {
        Ended::With(event) => advance(context, event).await,
        Ended::Saved => context.reload().await?,
    }
    Ok(())
}

async fn advance(context: &mut Context, event: JobEvent) {
    context
        .update(move |job| {
            job.state = job.state.next(event).unwrap();
            if event == JobEvent::Fail {
                job.ending = Some(Ending::Failed);
            }
            Ok(())
        })
        .await
        .unwrap();
}

/// How a job ends that went on from a state without a failure of its own.
fn natural_end(state: JobState) -> JobState {
    if state == JobState::RollingBack { JobState::Failed } else { JobState::Complete }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_may_be_run_twice() {
    for state in states() {
        let bench = Bench::at(state).await;
        let ended = step(state).unwrap().run(&mut bench.worker().await).await.unwrap();
        let mut again = bench.worker().await;
        // A step that saved the next state in the transaction of its work is not run again: the journal says so.
        assert_eq!(again.job.state == state, ended != Ended::Saved, "{state:?}");
        if again.job.state == state {
            let second = step(state).unwrap().run(&mut again).await.unwrap();
            // What was staged by a worker that is gone is discarded and staged again.
            let restaged = state == JobState::Verifying && second == Ended::With(JobEvent::Restage);
            assert!(second == ended || restaged, "{state:?}: {ended:?}, then {second:?}");
        }
        assert_eq!(bench.end(&format!("{state:?} twice")).await, natural_end(state), "{state:?}");
    }
}

/// Fails at every commit in turn, before it and after it, then goes on with another worker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_may_fail_at_every_commit() {
    for state in states() {
        for after in [false, true] {
            for nth in 1.. {
                let bench = Bench::at(state).await;
                let mut worker = bench.worker().await;
                bench.disks.halt.arm_with(nth, after, Trouble::Fail);
                // It fails, or copes.
                let _ = step(state).unwrap().run(&mut worker).await;
                let came = bench.disks.halt.came();
                let what = format!("{state:?} failed at commit {nth}, after it: {after}");
                assert_eq!(bench.end(&what).await, natural_end(state), "{what}");
                if !came {
                    break;
                }
            }
        }
    }
}

/// Fails at every call of the target in turn, before it and after it, then goes on with another worker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_may_fail_at_every_call_of_the_target() {
    for state in states() {
        for fault in [Fault::Before, Fault::After] {
            for nth in 1.. {
                let bench = Bench::at(state).await;
                let mut worker = bench.worker().await;
                let calls = bench.disks.plan.all_calls();
                bench.disks.plan.break_any(nth, fault);
                let _ = step(state).unwrap().run(&mut worker).await;
                let came = bench.disks.plan.all_calls() >= calls + nth;
                bench.disks.plan.mend();
                let what = format!("{state:?} failed at call {nth}: {fault:?}");
                assert_eq!(bench.end(&what).await, natural_end(state), "{what}");
                if !came {
                    break;
                }
            }
        }
    }
}

/// Every step before the first purge, done or not done, can be undone twice, and everything is as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_may_be_undone_twice() {
    let undoable = |state: &JobState| state.may_hold_lock() && !state.is_past_return();
    for state in states().filter(undoable).filter(|state| *state != JobState::RollingBack) {
        for done in [false, true] {
            let bench = Bench::at(state).await;
            let mut worker = bench.worker().await;
            if done {
                // The worker that did it is not the one that undoes it.
                let _ = step(state).unwrap().run(&mut bench.worker().await).await.unwrap();
                worker = bench.worker().await;
            }
            advance(&mut worker, JobEvent::Fail).await;
            for _ in 0..2 {
                for undone in UNDO {
                    step(undone).unwrap().undo(&mut worker).await.unwrap();
                    step(undone).unwrap().undo(&mut bench.worker().await).await.unwrap();
                    worker = bench.worker().await;
                }
            }
            let what = format!("{state:?} undone, done before: {done}");
            assert_eq!(bench.end(&what).await, JobState::Failed, "{what}");
        }
    }
}

/// A step that does something before the first purge is undone, or says why it needs no undoing.
#[test]
fn no_step_is_forgotten_in_undoing() {
    // These write only the job, its plan and what the transaction that ends it takes down.
    let nothing_to_undo = [JobState::Preflight, JobState::Locked, JobState::Verifying, JobState::Confirming];
    for state in states().filter(|state| !state.is_past_return() && *state != JobState::RollingBack) {
        assert!(UNDO.contains(&state) ^ nothing_to_undo.contains(&state), "{state:?}");
    }
}

fn caller() -> Caller {
    Caller {
        account: world::ACCOUNT.parse().unwrap(),
        region: world::REGION.parse().unwrap(),
        access_key_id: "bench".to_owned(),
        request_id: String::new(),
        nonce: None,
        source: [127, 0, 0, 1].into(),
        ticket: crate::audit::Ticket::default(),
        acting: crate::kms::Acting::default(),
    }
}

/// The plan before the lock is a help to the one inside it, never a part of it that is out of date.
#[tokio::test]
async fn the_plan_inside_the_lock_is_as_if_there_had_been_none_before() {
    let mut bench = Bench::at(JobState::Preflight).await;
    let mut worker = bench.worker().await;
    run(&mut worker).await.unwrap();
    let service = bench.world.migrations.service();
    // One key has a version more than at the first look; nothing else has changed.
    let grown = &mut bench.remembered[0].key;
    service.create_key_version(&caller(), &KeyOrAlias::Id(grown.id.clone())).await.unwrap();
    grown.rotation = service.catalogue.key(&grown.region, &grown.id).await.unwrap().unwrap().rotation;
    while worker.job.state != JobState::RotationOff {
        run(&mut worker).await.unwrap();
    }
    let (migrations, scope) = (&bench.world.migrations, world::scope());
    let anew = migrations.plan(&scope, &world::instance_id(), &Selection::All, Demand::default()).await.unwrap();
    let saved = service.catalogue.plan(&bench.id).await.unwrap();
    assert_eq!(saved, anew.items);
    let grown = saved.iter().find(|item| item.resource.name() == grown.id.as_str()).unwrap();
    assert_eq!(grown.places.len(), 3, "without the version that was made meanwhile");
    // Also what goes on in memory is what was written down.
    let (digest, planned) = worker.planned.clone().unwrap();
    assert_eq!((Some(&digest), *planned == *saved), (worker.job.plan_digest.as_ref(), true));
    assert_eq!(bench.end("a key that grew").await, JobState::Complete);
}

/// What the plan has seen of rotation counts only for the worker that has seen it, and is what another one reads.
#[tokio::test]
async fn what_rotates_is_the_same_read_anew() {
    let bench = Bench::at(JobState::Locked).await;
    let mut worker = bench.worker().await;
    run(&mut worker).await.unwrap();
    assert_eq!(worker.job.state, JobState::RotationOff);
    let seen = worker.rotating.clone().unwrap();
    assert_eq!(seen.len(), 1);
    let catalogue = &bench.world.migrations.service().catalogue;
    for _ in 0..2 {
        step(JobState::RotationOff).unwrap().run(&mut worker).await.unwrap();
        assert!(worker.rotating.is_none(), "it counts once; the second run reads");
        assert_eq!(catalogue.rotation_before(&bench.id).await.unwrap(), seen);
    }
    assert_eq!(bench.end("rotation off twice").await, JobState::Complete);
}

/// However the secrets of a scope are read, they are the same.
#[tokio::test]
async fn secrets_lie_together() {
    let bench = Bench::at(JobState::Preflight).await;
    let catalogue = &bench.world.migrations.service().catalogue;
    let listed = catalogue.list(&world::scope(), ResourceKind::Secret).await.unwrap();
    let mut listed: Vec<String> = listed.into_iter().map(|row| row.name).collect();
    listed.sort();
    let together = catalogue.secrets_by_name(&world::scope()).await.unwrap();
    let together: Vec<&str> = together.iter().map(|secret| secret.name.as_str()).collect();
    assert_eq!(together, listed);
    let mut another = world::scope();
    another.account = "1000000000000009".parse().unwrap();
    assert!(catalogue.secrets_by_name(&another).await.unwrap().is_empty());
}

/// Plans rely on it: inside the lock, versions are not read again of an entry that has the revision it had before.
#[cfg(debug_assertions)]
#[tokio::test]
#[should_panic(expected = "the entry is not written")]
async fn no_version_is_made_without_its_entry() {
    let bench = Bench::at(JobState::Preflight).await;
    let catalogue = &bench.world.migrations.service().catalogue;
    let key = &bench.remembered[0].key;
    let mut change = crate::catalogue::Change::guarded(&catalogue.guard(&world::scope()).await.unwrap());
    let id = "22222222-2222-4222-8222-222222222222".parse().unwrap();
    let version = crate::model::KeyVersionRecord { key: key.id.clone(), id, number: 3, created_at: key.created_at };
    change.create_key_version(key, &version).unwrap();
    let _ = catalogue.commit(change).await;
}
