//! A reload takes something away while somebody creates there: either it is seen to be used, or nothing is made.

use std::sync::Arc;

use super::*;
use crate::catalogue::Demand;
use crate::kms::Withdrawn;
use crate::model::InstanceId;

fn inside() -> NewKey {
    NewKey { instance: Some(INSTANCE.parse().unwrap()), ..NewKey::default() }
}

/// Creates as `who` while `withdrawn` is taken away; answers whether something was made, and whether the reload sees it.
async fn meet(round: usize, who: &'static str, new: NewKey, withdrawn: Withdrawn) -> (bool, bool) {
    let kms = Arc::new(Kms::new().await);
    if round == 0 {
        // Once before anybody creates: in the other rounds a creation may always be the faster one.
        kms.service.keystores.withdraw(withdrawn.clone());
    }
    let creating = tokio::spawn({
        let kms = Arc::clone(&kms);
        async move { kms.service.create_key(&caller(who), new).await }
    });
    for _ in 0..round {
        tokio::task::yield_now().await;
    }
    kms.service.keystores.withdraw(withdrawn);
    kms.service.keystores.changes_ended().await;
    let id: InstanceId = INSTANCE.parse().unwrap();
    let mut inside = kms.service.catalogue.usage_by_account(&id).await.unwrap().into_values();
    let seen = kms.service.catalogue.holds_own(&caller(who).scope()).await.unwrap()
        || inside.any(|used| used != Demand::default());
    let made = match creating.await.unwrap() {
        Ok(_) => true,
        Err(KmsError::InstanceNotFound | KmsError::Unavailable(_)) => false,
        Err(error) => panic!("round {round}: {error}"),
    };
    assert!(kms.service.catalogue.intents().await.unwrap().is_empty(), "what was refused left material");
    (made, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_made_where_a_reload_has_looked() {
    let account = Withdrawn { accounts: [STRANGER.parse().unwrap()].into(), ..Withdrawn::default() };
    let region = Withdrawn { regions: ["cn-hangzhou".parse().unwrap()].into(), ..Withdrawn::default() };
    let instance = Withdrawn { instances: [INSTANCE.parse().unwrap()].into(), ..Withdrawn::default() };
    let shares = [(INSTANCE.parse().unwrap(), FRIEND.parse().unwrap())].into();
    let share = Withdrawn { shares, ..Withdrawn::default() };
    for (who, new, withdrawn) in [
        (STRANGER, NewKey::default(), account),
        (STRANGER, NewKey::default(), region),
        (OWNER, inside(), instance),
        (FRIEND, inside(), share),
    ] {
        let mut made = 0;
        for round in 0..40 {
            let (created, seen) = meet(round, who, new.clone(), withdrawn.clone()).await;
            assert_eq!(created, seen, "round {round} of {withdrawn:?}");
            made += usize::from(created);
        }
        assert!(made < 40, "nothing was refused by {withdrawn:?}");
    }
}

#[tokio::test]
async fn what_is_there_is_served_and_what_is_put_back_is_open_again() {
    let kms = Kms::new().await;
    let id = kms.key(&me(), inside()).await;
    let withdrawn = Withdrawn {
        accounts: [OWNER.parse().unwrap()].into(),
        instances: [INSTANCE.parse().unwrap()].into(),
        ..Withdrawn::default()
    };
    let before = kms.service.keystores.withdraw(withdrawn);
    kms.service.encrypt(&me(), &by_id(&id), b"text", &BTreeMap::new()).await.unwrap();
    assert!(matches!(kms.service.create_key(&me(), NewKey::default()).await, Err(KmsError::Unavailable(_))));
    assert!(matches!(kms.service.create_key(&caller(FRIEND), inside()).await, Err(KmsError::InstanceNotFound)));
    kms.service.keystores.withdraw((*before).clone());
    kms.key(&me(), inside()).await;
}
