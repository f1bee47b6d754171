//! Several accounts in one instance: who may, how much each holds, and a share that goes while somebody creates.

use std::sync::Arc;

use super::*;
use crate::catalogue::{CatalogueError, Demand, InstanceRecord};
use crate::model::{Directories, Directory, Entity, InstanceId};
use crate::store::Stored;

fn inside(instance: &str) -> NewKey {
    NewKey { instance: Some(instance.parse().unwrap()), ..NewKey::default() }
}

fn keys(keys: u64) -> Demand {
    Demand { keys, secrets: 0 }
}

async fn held(kms: &Kms, instance: &str) -> (Demand, Vec<(String, Demand)>) {
    let id: InstanceId = instance.parse().unwrap();
    let by_account = kms.service.catalogue.usage_by_account(&id).await.unwrap();
    let by_account = by_account.into_iter().map(|(account, used)| (account.to_string(), used)).collect();
    (kms.service.catalogue.quota(&id).await.unwrap().used, by_account)
}

#[tokio::test]
async fn the_owner_sees_counts_by_account_and_the_others_their_own() {
    let kms = Kms::new().await;
    let id: InstanceId = INSTANCE.parse().unwrap();
    kms.key(&me(), inside(INSTANCE)).await;
    kms.key(&me(), inside(INSTANCE)).await;
    let theirs = kms.key(&caller(FRIEND), inside(INSTANCE)).await;
    let (facts, seen) = kms.service.instance_usage(&me(), &id).await.unwrap();
    assert_eq!((facts.key_quota, seen.taken), (100, keys(3)));
    let by_account = |account: &str| seen.by_account.get(&account.parse::<AccountId>().unwrap()).copied();
    assert_eq!((by_account(OWNER), by_account(FRIEND), by_account(STRANGER)), (Some(keys(2)), Some(keys(1)), None));
    let (_, own) = kms.service.instance_usage(&caller(FRIEND), &id).await.unwrap();
    assert_eq!((own.taken, own.by_account.len()), (keys(1), 0));
    assert!(matches!(kms.service.instance_usage(&caller(STRANGER), &id).await, Err(KmsError::InstanceNotFound)));

    // What goes is counted where it was.
    kms.service.schedule_key_deletion(&caller(FRIEND), &theirs, 7).await.unwrap();
    kms.clock.advance(DAY * 8);
    kms.service.run_due(kms.service.clock.now()).await.unwrap();
    assert_eq!(held(&kms, INSTANCE).await, (keys(2), vec![(OWNER.to_owned(), keys(2)), (FRIEND.to_owned(), keys(0))]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_quota_for_all_holds_whoever_creates_at_the_same_time() {
    let kms = Arc::new(Kms::new().await);
    let mut running = Vec::new();
    for n in 0..8 {
        let (kms, who) = (Arc::clone(&kms), if n % 2 == 0 { OWNER } else { FRIEND });
        running.push(tokio::spawn(async move { kms.service.create_key(&caller(who), inside(SMALL)).await.is_ok() }));
    }
    let mut made = 0;
    for task in running {
        made += u64::from(task.await.unwrap());
    }
    let (used, by_account) = held(&kms, SMALL).await;
    assert_eq!((made, used), (2, keys(2)), "the quota is two");
    assert_eq!(by_account.iter().map(|(_, used)| used.keys).sum::<u64>(), 2);
    assert!(kms.service.catalogue.intents().await.unwrap().is_empty(), "what was refused left material");
}

/// A share by hand goes while the account creates: either the share stays, or nothing of the account is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_never_goes_from_under_a_creation() {
    let (mut created, mut refused) = (0, 0);
    for round in 0..40 {
        let kms = Arc::new(Kms::new().await);
        let id: InstanceId = INSTANCE.parse().unwrap();
        let catalogue = kms.service.catalogue.clone();
        let identity = kms.service.keystores.target(&id).unwrap().identity();
        catalogue.pin_identity(&id, &identity).await.unwrap();
        let account: AccountId = STRANGER.parse().unwrap();
        let mut record = catalogue.instance(&id).await.unwrap().unwrap();
        record.shared_with.insert(account.clone());
        catalogue.update_instance(&record).await.unwrap();

        let creating = tokio::spawn({
            let kms = Arc::clone(&kms);
            async move { kms.service.create_key(&caller(STRANGER), inside(INSTANCE)).await }
        });
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        let unshared = unshare(&kms, &account).await;
        let outcome = creating.await.unwrap();
        let there = catalogue.tenant(&id, &account).await.unwrap().map(|t| t.used).unwrap_or_default();
        let shares = catalogue.instance(&id).await.unwrap().unwrap().shared_with.contains(&account);
        assert_eq!(there, keys(u64::from(outcome.is_ok())), "round {round}");
        assert_eq!(shares, !unshared, "round {round}");
        assert!(shares || there == Demand::default(), "round {round}: {outcome:?} without a share");
        created += u32::from(outcome.is_ok());
        refused += u32::from(matches!(outcome, Err(KmsError::InstanceNotFound)));
    }
    assert_eq!(created + refused, 40, "a creation is done or refused");
}

/// As `instance unshare` does it; false when the account holds something.
async fn unshare(kms: &Kms, account: &AccountId) -> bool {
    let (catalogue, id): (_, InstanceId) = (&kms.service.catalogue, INSTANCE.parse().unwrap());
    loop {
        let mut record: Stored<InstanceRecord> = catalogue.instance(&id).await.unwrap().unwrap();
        record.shared_with.remove(account);
        let tenant = catalogue.tenant(&id, account).await.unwrap();
        if tenant.as_ref().is_some_and(|tenant| tenant.used != Demand::default()) {
            return false;
        }
        match catalogue.unshare_instance(&record, account, tenant.as_ref()).await {
            Ok(()) => return true,
            Err(CatalogueError::Conflict) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_share_outside_the_directories_gives_nothing_new_and_takes_nothing() {
    let kms = Kms::new().await;
    let friend = caller(FRIEND);
    let id = kms.key(&friend, inside(INSTANCE)).await;
    let sealed = kms.service.encrypt(&friend, &by_id(&id), b"text", &BTreeMap::new()).await.unwrap();
    let entity = |verified| Entity {
        name: "Retail".to_owned(),
        verified,
        accounts: vec![OWNER.parse().unwrap(), FRIEND.parse().unwrap()],
    };
    let directories = |verified| Directories(vec![Directory { id: "rd".to_owned(), entities: vec![entity(verified)] }]);
    kms.service.keystores.set_directories(directories(false));
    let refused = kms.service.create_key(&caller(FRIEND), inside(INSTANCE)).await;
    assert!(matches!(refused, Err(KmsError::InstanceNotFound)), "{refused:?}");
    assert!(kms.service.usable_instances(&friend).await.unwrap().is_empty());
    assert_eq!(kms.service.usable_instances(&me()).await.unwrap().len(), 2, "its owner needs no share");
    // What is there goes on, management too.
    kms.service.decrypt(&friend, &sealed.blob, &BTreeMap::new()).await.unwrap();
    kms.service.disable_key(&caller(FRIEND), &id).await.unwrap();
    kms.service.keystores.set_directories(directories(true));
    kms.key(&caller(FRIEND), inside(INSTANCE)).await;
}

#[tokio::test]
async fn a_locked_scope_leaves_other_accounts_in_the_same_instance_alone() {
    let kms = Kms::new().await;
    let own = kms.key(&me(), inside(INSTANCE)).await;
    let theirs = kms.key(&caller(FRIEND), inside(INSTANCE)).await;
    let shared = kms.key(&caller(FRIEND), NewKey::default()).await;
    kms.lock().await;
    assert!(matches!(kms.service.disable_key(&me(), &own).await, Err(KmsError::Migrating(_))));
    for id in [&theirs, &shared] {
        kms.service.disable_key(&caller(FRIEND), id).await.unwrap();
        kms.service.enable_key(&caller(FRIEND), id).await.unwrap();
        kms.service.schedule_key_deletion(&caller(FRIEND), id, 7).await.unwrap();
    }
    kms.key(&caller(FRIEND), inside(INSTANCE)).await;
    kms.clock.advance(DAY * 8);
    kms.service.run_due(kms.service.clock.now()).await.unwrap();
    let gone = kms.service.describe_key(&caller(FRIEND), &by_id(&theirs)).await;
    assert!(matches!(gone, Err(KmsError::KeyNotFound)), "what falls due for another account does not wait");
}

#[tokio::test]
async fn what_a_reload_says_of_a_held_instance_counts_from_the_unlock() {
    let kms = Kms::new().await;
    let id: InstanceId = SMALL.parse().unwrap();
    let keystores = &kms.service.keystores;
    let mut facts: Vec<_> = keystores.facts().values().cloned().collect();
    facts.iter_mut().for_each(|facts| facts.key_quota = 7);
    let regions: Vec<_> = keystores.regions().values().cloned().collect();
    keystores.reload_held(facts.clone(), regions.clone(), &BTreeSet::from([id.clone()]));
    let quota = |instance: &str| keystores.instance(&instance.parse().unwrap()).unwrap().key_quota;
    assert_eq!((quota(INSTANCE), quota(SMALL), keystores.waiting()), (7, 2, vec![id.clone()]));
    keystores.unlocked(&id);
    assert_eq!((quota(SMALL), keystores.waiting().len()), (7, 0));
    // A second reload replaces what waited.
    facts.iter_mut().for_each(|facts| facts.key_quota = 9);
    keystores.reload_held(facts.clone(), regions.clone(), &BTreeSet::from([id.clone()]));
    facts.iter_mut().for_each(|facts| facts.key_quota = 7);
    keystores.reload_held(facts, regions, &BTreeSet::from([id.clone()]));
    keystores.unlocked(&id);
    assert_eq!(quota(SMALL), 7);
}

/// A store of a release that kept totals alone is counted once, also in the middle of a job.
#[tokio::test]
async fn tenants_of_an_older_store_are_counted_once() {
    let kms = Kms::new().await;
    let (catalogue, id): (_, InstanceId) = (&kms.service.catalogue, INSTANCE.parse().unwrap());
    kms.key(&me(), inside(INSTANCE)).await;
    kms.key(&caller(FRIEND), inside(INSTANCE)).await;
    kms.key(&caller(FRIEND), inside(INSTANCE)).await;
    let expected = held(&kms, INSTANCE).await;
    for account in [OWNER, FRIEND] {
        let mut older = crate::store::Transaction::new();
        older.delete(format!("k/tenant/{id}/{account}").into_bytes());
        assert!(matches!(catalogue.store().commit(older).await.unwrap(), crate::store::Outcome::Committed(_)));
    }
    assert!(held(&kms, INSTANCE).await.1.is_empty());
    catalogue.tally().await.unwrap();
    assert_eq!(held(&kms, INSTANCE).await, expected);
    // Not a second time.
    let mut lost = crate::store::Transaction::new();
    lost.delete(format!("k/tenant/{id}/{FRIEND}").into_bytes());
    assert!(matches!(catalogue.store().commit(lost).await.unwrap(), crate::store::Outcome::Committed(_)));
    catalogue.tally().await.unwrap();
    assert_eq!(held(&kms, INSTANCE).await.1.len(), 1);
}
