//! Every problem code that can apply to a software instance, with a remedy a person can act on.

use std::time::Duration;

use keyferry::catalogue::{Demand, Hold};
use keyferry::migration::{MigrationError, Order};
use keyferry::model::{JobState, Problem, ProblemCode, Selection};
use keyferry::store::{Outcome, Transaction};

use crate::world::{ACCOUNT, Disks, World, instance_id, scope};

async fn codes(world: &World, selection: Selection) -> Vec<ProblemCode> {
    let plan = world.migrations.plan(&scope(), &instance_id(), &selection, Demand::default()).await.unwrap();
    assert!(plan.problems.iter().all(|p| p.remedy.len() > 10), "a problem without a remedy");
    if !plan.problems.is_empty() {
        let order = Order { selection, queue: true, ..world.order() };
        let Err(MigrationError::Refused(problems)) = world.migrations.submit(order, Transaction::new()).await else {
            panic!("what a plan refuses can be asked for")
        };
        let named =
            |problems: &[Problem]| -> Vec<_> { problems.iter().map(|p| (p.code, p.resource.clone())).collect() };
        assert_eq!(named(&problems), named(&plan.problems), "who asks for the migration hears of other problems");
    }
    plan.problems.into_iter().map(|p| p.code).collect()
}

fn picked(keys: &[&str], secrets: &[&str]) -> Selection {
    Selection::Picked {
        keys: keys.iter().map(|k| k.parse().unwrap()).collect(),
        secrets: secrets.iter().map(|s| s.parse().unwrap()).collect(),
    }
}

#[tokio::test]
async fn a_selection_by_hand_must_be_closed() {
    let disks = Disks::default();
    let world = World::open(&disks).await;
    let keys = world.fill().await;
    let key = keys[0].key.id.as_str();
    assert_eq!(codes(&world, picked(&[key], &[])).await, [ProblemCode::KeyHasSecretsLeftBehind]);
    assert_eq!(codes(&world, picked(&[], &["db/password"])).await, [ProblemCode::SecretKeyNotIncluded]);
    assert_eq!(codes(&world, picked(&[key], &["db/password"])).await, []);
    assert_eq!(codes(&world, picked(&[], &["plain"])).await, []);
    assert_eq!(codes(&world, picked(&[], &["nowhere"])).await, [ProblemCode::ResourceNotFound]);
    let many: Vec<String> = (0..51).map(|n| format!("s{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(codes(&world, picked(&[], &many)).await.contains(&ProblemCode::TooManySelected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_moved_is_not_moved_again() {
    let disks = Disks::default();
    let world = World::open(&disks).await;
    let keys = world.fill().await;
    let id = world.submit(world.order()).await;
    assert_eq!(world.finish(&id).await.state, JobState::Complete);
    let key = keys[1].key.id.as_str();
    assert_eq!(codes(&world, picked(&[key], &[])).await, [ProblemCode::AlreadyMigrated]);
    let next = World::open(&disks).await;
    let id = next.submit(next.order()).await;
    let job = next.finish(&id).await;
    assert_eq!((job.state, job.keys_total), (JobState::Complete, 0), "a run that finds nothing completes");
}

#[tokio::test]
async fn the_instance_must_fit() {
    let disks = Disks::default();
    let world = World::open(&disks).await;
    world.fill().await;
    let keystores = &world.migrations.service().keystores;
    let facts = keystores.instance(&instance_id()).unwrap();
    let regions: Vec<_> = keystores.regions().values().cloned().collect();
    let with = |change: &dyn Fn(&mut keyferry::kms::InstanceFacts)| {
        let mut facts = facts.clone();
        change(&mut facts);
        keystores.reload(vec![facts], regions.clone());
    };
    with(&|f| f.key_quota = 2);
    assert_eq!(codes(&world, Selection::All).await, [ProblemCode::QuotaExceeded]);
    with(&|f| f.region = "cn-beijing".parse().unwrap());
    assert_eq!(codes(&world, Selection::All).await, [ProblemCode::RegionMismatch]);
    with(&|f| f.owner = "1000000000000009".parse().unwrap());
    assert_eq!(codes(&world, Selection::All).await, [ProblemCode::InstanceNotShared]);
    with(&|f| {
        f.owner = "1000000000000009".parse().unwrap();
        f.shared_with = [ACCOUNT.parse().unwrap()].into();
    });
    assert_eq!(codes(&world, Selection::All).await, []);
    with(&|f| f.expires = Some(jiff::Timestamp::now()));
    assert_eq!(codes(&world, Selection::All).await, [ProblemCode::InstanceExpiring]);
    with(&|f| {
        f.expires = Some(jiff::Timestamp::now());
        f.auto_renew = true;
    });
    assert_eq!(codes(&world, Selection::All).await, []);
    with(&|f| f.hardware = true);
    let plan = world.migrations.plan(&scope(), &instance_id(), &Selection::All, Demand::default()).await.unwrap();
    let mut left: Vec<&str> = plan.left_behind.iter().map(|l| l.code.as_str()).collect();
    left.sort_unstable();
    let expected = ["MultiVersionNotSupported", "SecretKeyNotIncluded", "UnsupportedKeySpec", "UnsupportedKeySpec"];
    assert_eq!(left, expected);
    keystores.reload(Vec::new(), regions.clone());
    assert_eq!(codes(&world, Selection::All).await, [ProblemCode::InstanceNotFound]);
    with(&|_| {});
    disks.free_bytes.store(100_000, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(codes(&world, Selection::All).await, [ProblemCode::InsufficientSpace]);
    disks.free_bytes.store(u64::MAX, std::sync::atomic::Ordering::SeqCst);
    disks.plan.set_unreachable(true);
    assert_eq!(codes(&world, Selection::All).await, [ProblemCode::InstanceNotActive]);
}

#[tokio::test]
async fn a_hold_and_a_busy_scope_refuse() {
    let disks = Disks::default();
    let world = World::open(&disks).await;
    world.fill().await;
    let hold = Hold { region: None, account: None, reason: "audit".into(), since: jiff::Timestamp::now() };
    world.migrations.hold(hold, false).await.unwrap();
    assert_eq!(codes(&world, Selection::All).await, [ProblemCode::Held]);
    for hold in world.catalogue().holds().await.unwrap() {
        world.catalogue().remove_hold(&hold).await.unwrap();
    }
    world.submit(world.order()).await;
    match world.migrations.submit(world.order(), Transaction::new()).await {
        Err(MigrationError::Refused(problems)) => assert_eq!(problems[0].code, ProblemCode::ScopeLocked),
        other => panic!("{other:?}"),
    }
    let mut order = world.order();
    order.queue = true;
    world.submit(order).await;
    let mut late = world.order();
    late.queue = true;
    late.window = Duration::ZERO;
    world.submit(late).await;
    assert_eq!(world.catalogue().jobs().await.unwrap().len(), 3);
}

#[tokio::test]
async fn an_instance_with_another_identity_is_refused() {
    let disks = Disks::default();
    World::open(&disks).await.fill().await;
    // Somebody put another instance in its place: a store of its own, under the same name.
    let impostor = Disks { instance: std::sync::Arc::default(), ..disks };
    let world = World::open(&impostor).await;
    assert_eq!(codes(&world, Selection::All).await, [ProblemCode::IdentityMismatch]);
}

#[tokio::test]
async fn an_instance_that_has_only_just_answered_is_pinned_by_the_first_who_wants_to_migrate() {
    let disks = Disks::default();
    World::open(&disks).await.fill().await;
    let world = World::open(&disks).await;
    let mut forgotten = Transaction::new();
    forgotten.delete(format!("k/instance/{}", instance_id()).into_bytes());
    assert!(matches!(disks.control.commit(forgotten).await.unwrap(), Outcome::Committed(_)));
    assert!(world.catalogue().instance(&instance_id()).await.unwrap().is_none());
    assert_eq!(codes(&world, Selection::All).await, []);
    let pinned = world.catalogue().instance(&instance_id()).await.unwrap().unwrap().identity;
    let impostor = Disks { instance: std::sync::Arc::default(), ..disks };
    let world = World::open(&impostor).await;
    assert_eq!(codes(&world, Selection::All).await, [ProblemCode::IdentityMismatch]);
    assert_eq!(world.catalogue().instance(&instance_id()).await.unwrap().unwrap().identity, pinned);
}
