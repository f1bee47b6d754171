//! Several accounts and one instance: groups, holds, what others have reserved, and counters that add up.

use std::collections::BTreeMap;
use std::time::Duration;

use keyferry::catalogue::{Demand, Hold};
use keyferry::kms::{Caller, KmsError, NewKey};
use keyferry::migration::{MigrationError, Order};
use keyferry::model::{AccountId, JobId, JobState, ProblemCode, Scope, Selection};
use keyferry::store::Transaction;

use crate::world::{ACCOUNT, Disks, REGION, World, instance_id, scope};

const SECOND: &str = "1000000000000002";
const THIRD: &str = "1000000000000003";

/// A world whose instance is shared with two more accounts, each with two keys, and has room for so many.
async fn shared_world(disks: &Disks, key_quota: u64) -> World {
    let world = World::open(disks).await;
    let keystores = &world.migrations.service().keystores;
    let mut facts: Vec<_> = keystores.facts().values().cloned().collect();
    for facts in &mut facts {
        facts.key_quota = key_quota;
        facts.shared_with = [SECOND, THIRD].map(|id| id.parse().unwrap()).into();
    }
    keystores.reload(facts, keystores.regions().values().cloned().collect());
    world.fill().await;
    for account in [SECOND, THIRD] {
        for _ in 0..2 {
            world.migrations.service().create_key(&caller(account), NewKey::default()).await.unwrap();
        }
    }
    world
}

fn caller(account: &str) -> Caller {
    Caller {
        account: account.parse().unwrap(),
        region: REGION.parse().unwrap(),
        access_key_id: "test".to_owned(),
        request_id: String::new(),
        nonce: None,
        source: [127, 0, 0, 1].into(),
        ticket: keyferry::audit::Ticket::default(),
        acting: keyferry::kms::Acting::default(),
    }
}

fn group(world: &World, accounts: &[&str]) -> Order {
    Order { accounts: accounts.iter().map(|id| id.parse().unwrap()).collect(), ..world.order() }
}

async fn reaches(world: &World, id: &JobId, wanted: impl Fn(JobState) -> bool) -> JobState {
    let mut changes = world.migrations.changes();
    loop {
        let state = world.catalogue().job(id).await.unwrap().unwrap().state;
        if wanted(state) {
            return state;
        }
        tokio::time::timeout(Duration::from_secs(60), changes.changed()).await.expect("it moves").unwrap();
    }
}

/// The instance's counter, the accounts' counters and the entries say the same.
async fn assert_counted(world: &World) -> BTreeMap<AccountId, Demand> {
    let catalogue = world.catalogue();
    let by_account = catalogue.usage_by_account(&instance_id()).await.unwrap();
    let mut total = Demand::default();
    for account in [ACCOUNT, SECOND, THIRD] {
        let account: AccountId = account.parse().unwrap();
        let scope = Scope { region: REGION.parse().unwrap(), account: account.clone() };
        let (keys, secrets) = (catalogue.keys(&scope).await.unwrap(), catalogue.secrets(&scope).await.unwrap());
        let there = |keystore: &keyferry::model::KeystoreId| keystore.instance().is_some();
        let counted = Demand {
            keys: keys.iter().filter(|key| there(&key.keystore)).count() as u64,
            secrets: secrets.iter().filter(|secret| there(&secret.keystore)).count() as u64,
        };
        assert_eq!(by_account.get(&account).copied().unwrap_or_default(), counted, "{account}");
        total.keys += counted.keys;
        total.secrets += counted.secrets;
    }
    let quota = catalogue.quota(&instance_id()).await.unwrap();
    assert_eq!((quota.used, quota.reserved.len()), (total, 0));
    by_account
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_on_one_account_does_not_stop_the_others_of_its_group() {
    let disks = Disks::default();
    let world = shared_world(&disks, 1000).await;
    let held = Hold {
        region: None,
        account: Some(ACCOUNT.parse().unwrap()),
        reason: "audit".into(),
        since: jiff::Timestamp::now(),
    };
    world.migrations.hold(held, false).await.unwrap();
    let ids = world.migrations.submit(group(&world, &[ACCOUNT, SECOND, THIRD]), Transaction::new()).await.unwrap();
    let runner = world.start();
    for id in &ids[1..] {
        assert_eq!(reaches(&world, id, JobState::is_final).await, JobState::Complete);
    }
    assert_eq!(world.catalogue().job(&ids[0]).await.unwrap().unwrap().state, JobState::Queued, "it is held");
    for hold in world.catalogue().holds().await.unwrap() {
        world.catalogue().remove_hold(&hold).await.unwrap();
    }
    assert_eq!(reaches(&world, &ids[0], JobState::is_final).await, JobState::Complete);
    world.stop.cancel();
    runner.await.unwrap();
    let by_account = assert_counted(&world).await;
    assert_eq!(by_account.values().map(|held| held.keys).collect::<Vec<_>>(), [3, 2, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_account_after_the_other_and_a_refusal_stops_nobody() {
    let disks = Disks::default();
    // Room for the first and the third, which go to 3 + 2 keys; the second would be the sixth and seventh.
    let world = shared_world(&disks, 5).await;
    for _ in 0..2 {
        world.migrations.service().create_key(&caller(SECOND), NewKey::default()).await.unwrap();
    }
    let ids = world.migrations.submit(group(&world, &[ACCOUNT, SECOND, THIRD]), Transaction::new()).await.unwrap();
    let runner = world.start();
    let mut ends = Vec::new();
    for id in &ids {
        reaches(&world, id, JobState::is_final).await;
        ends.push(world.catalogue().job(id).await.unwrap().unwrap());
    }
    world.stop.cancel();
    runner.await.unwrap();
    let states: Vec<_> = ends.iter().map(|job| job.state).collect();
    assert_eq!(states, [JobState::Complete, JobState::Failed, JobState::Complete]);
    assert_eq!(ends[1].failure.as_ref().unwrap().code, "QuotaExceeded");
    assert!(ends[1].locked_at.is_none(), "what preflight refuses locks nothing");
    assert!(ends[0].finished_at <= ends[1].started_at && ends[1].finished_at <= ends[2].started_at, "in turns");
    assert_counted(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_running_job_has_reserved_is_taken_for_everybody_else() {
    let disks = Disks::default();
    let world = shared_world(&disks, 4).await;
    let order = Order { soak: Duration::from_secs(600), ..world.order() };
    let id = world.submit(order).await;
    let runner = world.start();
    reaches(&world, &id, |state| state == JobState::Confirming).await;
    // Three of four are promised to the first account's job.
    let second = Scope { account: SECOND.parse().unwrap(), ..scope() };
    let plan = world.migrations.plan(&second, &instance_id(), &Selection::All, Demand::default()).await.unwrap();
    let codes: Vec<_> = plan.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, [ProblemCode::QuotaExceeded]);
    assert!(plan.problems[0].message.contains("holds or has promised 3, and 2 more"), "{}", plan.problems[0].message);
    let inside = || NewKey { instance: Some(instance_id()), ..NewKey::default() };
    let service = world.migrations.service();
    service.create_key(&caller(SECOND), inside()).await.unwrap();
    let full = service.create_key(&caller(THIRD), inside()).await;
    assert!(matches!(full, Err(KmsError::LimitExceeded(_))), "{full:?}");
    // Rolled back, its reservation is free again.
    world.migrations.cancel(&id).await.unwrap();
    assert_eq!(reaches(&world, &id, JobState::is_final).await, JobState::Canceled);
    service.create_key(&caller(THIRD), inside()).await.unwrap();
    world.stop.cancel();
    runner.await.unwrap();
    assert_counted(&world).await;
}

#[tokio::test]
async fn a_group_that_does_not_queue_is_refused_while_the_instance_is_taken() {
    let disks = Disks::default();
    let world = shared_world(&disks, 1000).await;
    world.submit(world.order()).await;
    match world.migrations.submit(group(&world, &[SECOND, THIRD]), Transaction::new()).await {
        Err(MigrationError::Refused(problems)) => {
            assert_eq!(problems.iter().map(|p| p.code).collect::<Vec<_>>(), [ProblemCode::ScopeLocked]);
        }
        other => panic!("{other:?}"),
    }
    let waiting = Order { queue: true, ..group(&world, &[SECOND, THIRD]) };
    assert_eq!(world.migrations.submit(waiting, Transaction::new()).await.unwrap().len(), 2);
}

/// Two groups over the same accounts in opposite orders neither lock each other out nor run twice at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_that_cross_both_end() {
    let disks = Disks::default();
    let world = shared_world(&disks, 1000).await;
    let one = Order { queue: true, ..group(&world, &[ACCOUNT, SECOND, THIRD]) };
    let other = Order { queue: true, ..group(&world, &[THIRD, SECOND, ACCOUNT]) };
    let mut ids = world.migrations.submit(one, Transaction::new()).await.unwrap();
    ids.extend(world.migrations.submit(other, Transaction::new()).await.unwrap());
    let runner = world.start();
    for id in &ids {
        assert_eq!(reaches(&world, id, JobState::is_final).await, JobState::Complete);
    }
    world.stop.cancel();
    runner.await.unwrap();
    let mut jobs: Vec<_> = world.catalogue().jobs().await.unwrap();
    jobs.sort_by_key(|job| job.started_at);
    for pair in jobs.windows(2) {
        assert!(pair[0].finished_at <= pair[1].started_at, "two at a time in one instance");
    }
    assert_counted(&world).await;
}
