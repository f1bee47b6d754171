//! What a target and a source refuse, and what they take twice.

use sha2::{Digest as _, Sha256};

use super::*;
use crate::crypto::Writer;
use crate::keystore::faulty::{Fault, FaultPlan, Faulty};

#[tokio::test]
async fn a_worker_that_lost_its_lease_changes_nothing() {
    let world = World::new().await;
    let orders = [secret(&world.source, 20, 2, 40).await];
    let old = world.offer(5).await.unwrap();
    let late = world.wrap(&old, &orders).await.unwrap();
    let manifest = world.copy(6, &orders).await;
    let before = dump(&world.target_store, "").await;
    assert_err!(world.stage(&late).await, KeystoreError::Fenced { token: 5, seen: 6, .. });
    assert_err!(world.offer(5).await, KeystoreError::Fenced { .. });
    assert_err!(world.target.close(&job(), 5).await, KeystoreError::Fenced { .. });
    assert_err!(world.target.closed(&job(), 5).await, KeystoreError::Fenced { .. });
    assert_err!(world.target.activate(&job(), 5, &manifest).await, KeystoreError::Fenced { .. });
    assert_err!(world.target.confirm(&job(), 5, &[]).await, KeystoreError::Fenced { .. });
    assert_err!(world.target.settle(&job(), 5).await, KeystoreError::Fenced { .. });
    assert_err!(world.target.forget(&job(), 5).await, KeystoreError::Fenced { .. });
    assert_eq!(dump(&world.target_store, "").await, before);

    let before = dump(&world.source_store, "").await;
    assert_err!(world.source.purge(&job(), 5, &[incarnation(20)]).await, KeystoreError::Fenced { .. });
    assert_eq!(dump(&world.source_store, "").await, before);
}

#[tokio::test]
async fn a_key_that_was_made_beforehand_serves_one_offer() {
    let world = World::new().await;
    world.target.expect_offer();
    world.target.expect_offer();
    assert!(world.target.next_offer.lock().unwrap().is_some());
    let first = world.offer(5).await.unwrap();
    assert!(world.target.next_offer.lock().unwrap().is_none(), "it was not used");
    let second = world.offer(6).await.unwrap();
    assert_ne!(first.offer.public_key, second.offer.public_key);
    let orders = [secret(&world.source, 20, 2, 40).await];
    world.stage(&world.wrap(&second, &orders).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_newer_worker_does_not_close_what_an_older_one_staged() {
    let world = World::new().await;
    let orders = [secret(&world.source, 20, 2, 40).await];
    let offer = world.offer(5).await.unwrap();
    let parcel = world.wrap(&offer, &orders).await.unwrap();
    world.stage(&parcel).await.unwrap();
    assert_err!(world.target.close(&job(), 6).await, KeystoreError::StagingOpen(_));
    assert_err!(world.stage(&parcel).await, KeystoreError::Fenced { .. });
}

#[tokio::test]
async fn the_same_resource_may_come_twice_but_not_differ() {
    let world = World::new().await;
    let mut orders = vec![secret(&world.source, 20, 2, 40).await, key(&world.source, 1, KeySpec::EcP256, 2).await];
    let offer = world.offer(5).await.unwrap();
    let parcel = world.wrap(&offer, &orders).await.unwrap();
    world.stage(&parcel).await.unwrap();
    let before = dump(&world.target_store, "").await;
    world.stage(&parcel).await.unwrap();
    // Wrapped again, so with other ciphertexts, but the same inside.
    let again = world.wrap(&offer, &orders).await.unwrap();
    assert_ne!(again.items[0].versions, parcel.items[0].versions);
    world.stage(&again).await.unwrap();
    assert_eq!(dump(&world.target_store, "").await, before, "nothing is written twice");

    for order in &mut orders {
        let last = order.places.pop().unwrap();
        let fewer = world.wrap(&offer, std::slice::from_ref(order)).await.unwrap();
        assert_err!(world.stage(&fewer).await, KeystoreError::Mismatch { .. });
        order.places.push(last);
    }
    world.source.destroy(&incarnation(20), Some(&[place(20, 1)])).await.unwrap();
    let envelope = SecretEnvelope::System { value: Zeroizing::new(b"another value".to_vec()) };
    world.source.put_value(&orders[0].label, &place(20, 1), &envelope).await.unwrap();
    let differs = world.wrap(&offer, &orders[..1]).await.unwrap();
    assert_err!(world.stage(&differs).await, KeystoreError::Mismatch { .. });
    assert_eq!(dump(&world.target_store, "").await, before);
}

#[tokio::test]
async fn a_resource_that_lives_here_is_not_overwritten() {
    let world = World::new().await;
    // Others come with it, small ones in the same transaction, and a large one.
    let mut orders = vec![secret(&world.source, 22, 70, 9_000).await];
    for n in 19..=21 {
        orders.push(secret(&world.source, n, 1, 40).await);
    }
    secret(&world.target, 20, 1, 44).await;
    let before = dump(&world.target_store, "m/").await;
    let offer = world.offer(5).await.unwrap();
    let parcel = world.wrap(&offer, &orders).await.unwrap();
    for _ in 0..2 {
        assert_err!(world.stage(&parcel).await, KeystoreError::Taken { .. });
    }
    world.target.forget(&job(), 5).await.unwrap();
    assert_eq!(dump(&world.target_store, "m/").await, before);
    assert_eq!(read(&world.target, &place(20, 1)).await.unwrap(), (value(20, 1, 44), false));
}

/// Of a parcel some resources stand already: a small one and a large one, and of another large one only half.
#[tokio::test]
async fn what_stands_already_is_found_although_nobody_looks_first() {
    let world = World::new().await;
    let mut orders = vec![secret(&world.source, 60, 70, 9_000).await, secret(&world.source, 61, 70, 9_000).await];
    for n in 20..50 {
        orders.push(secret(&world.source, n, 2, 40).await);
    }
    let offer = world.offer(5).await.unwrap();
    world.stage(&world.wrap(&offer, &orders[..5]).await.unwrap()).await.unwrap();
    let standing = async || {
        let mut all = dump(&world.target_store, &format!("m/{}", incarnation(60))).await;
        all.extend(dump(&world.target_store, &format!("m/{}", incarnation(21))).await);
        all
    };
    let before = standing().await;
    let key = layout::staged_resource(&job(), &incarnation(61));
    let whole = world.target.staged(&key).await.unwrap().unwrap().into_value();
    let mut half = Transaction::new();
    half.overwrite(&key, &staging::Staged { stored: None, ..whole }).unwrap();
    half.delete(layout::version(&incarnation(61), &place(61, 70).version));
    assert!(matches!(world.target_store.commit(half).await.unwrap(), Outcome::Committed(_)));

    world.stage(&world.wrap(&offer, &orders).await.unwrap()).await.unwrap();
    assert!(standing().await == before, "what stands is not written again");
    let manifest = world.target.close(&job(), 5).await.unwrap();
    world.target.activate(&job(), 5, &manifest).await.unwrap();
    for (n, version, length) in (20..50).map(|n| (n, 2, 40)).chain([(60, 70, 9_000), (61, 70, 9_000), (61, 1, 9_000)]) {
        let found = read(&world.target, &place(n, version)).await.unwrap();
        assert_eq!(found, (value(n, version, length), true));
    }
}

#[tokio::test]
async fn parcels_for_others_or_changed_ones_are_refused() {
    let world = World::new().await;
    let orders = [secret(&world.source, 20, 1, 40).await, key(&world.source, 1, KeySpec::Aes256, 1).await];
    let offer = world.offer(5).await.unwrap();
    let parcel = world.wrap(&offer, &orders).await.unwrap();
    let resigned = |change: fn(&mut Parcel)| {
        let mut parcel = parcel.clone();
        change(&mut parcel);
        parcel.sign(&world.source.identity);
        parcel
    };
    let mut changed = parcel.clone();
    changed.items.pop();
    assert_err!(world.stage(&changed).await, KeystoreError::Refused(_));
    assert_err!(world.target.stage(&parcel, &world.target.public_identity()).await, KeystoreError::Refused(_));
    let changes: [fn(&mut Parcel); 8] = [
        |p| p.target = "kst-b".parse().unwrap(),
        |p| p.job = "job-00000000000000000002".parse().unwrap(),
        |p| p.token = 6,
        |p| p.offer[0] ^= 1,
        |p| p.wrapped_kek[0] ^= 1,
        |p| p.wrapped_value_key[0] ^= 1,
        |p| p.items[0].versions[0].version = place(20, 9).version,
        |p| p.items[1].spec = Some(KeySpec::Aes128),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        match world.stage(&resigned(change)).await {
            Err(KeystoreError::Refused(_)) => {}
            Err(other) => panic!("change {n}: another error: {other}"),
            Ok(()) => panic!("change {n} was taken"),
        }
    }
    assert_eq!(dump(&world.target_store, "m/").await, []);
    assert_eq!(dump(&world.target_store, "s/").await, []);
    world.stage(&parcel).await.unwrap();
    world.target.close(&job(), 5).await.unwrap();
    assert_err!(world.stage(&parcel).await, KeystoreError::StagingClosed(_));
    assert_err!(world.offer(5).await, KeystoreError::StagingClosed(_));
}

#[tokio::test]
async fn a_source_wraps_only_for_a_fresh_offer_of_the_target() {
    let world = World::new().await;
    let orders = [secret(&world.source, 20, 1, 40).await];
    let identity = world.target.public_identity();
    let offer = world.offer(5).await.unwrap();
    let wrap = |offer: SignedOffer, now: Timestamp| {
        let (source, orders) = (&world.source, &orders);
        async move { source.wrap_out(&offer, &identity, now, orders).await }
    };
    let now = world.clock.now();
    let mut forged = offer.clone();
    forged.offer.token = 6;
    assert_err!(wrap(forged, now).await, KeystoreError::Refused(_));
    assert_err!(wrap(offer.clone(), offer.offer.expires_at).await, KeystoreError::Refused(_));
    let other_nonce = world.target.offer(&job(), 5, [0; 32], now).await.unwrap();
    assert_err!(wrap(other_nonce, now).await, KeystoreError::Refused(_));
    let stranger = SignedOffer::sign(offer.offer.clone(), &world.source.identity);
    assert_err!(wrap(stranger, now).await, KeystoreError::Refused(_));
    wrap(offer.clone(), now).await.unwrap();
    wrap(offer.clone(), now).await.unwrap();
    let replaced = world.offer(5).await.unwrap();
    wrap(replaced, now).await.unwrap();
    assert_err!(wrap(offer, now).await, KeystoreError::Refused(_));

    let mut wrong = orders[0].clone();
    wrong.label.scope.account = "1000000000000002".parse().unwrap();
    let offer = world.offer(5).await.unwrap();
    assert_err!(world.wrap(&offer, &[wrong]).await, KeystoreError::Damaged { .. });
    assert_err!(
        world.wrap(&offer, &[WrapOrder { label: label(99, None), places: vec![place(99, 1)] }]).await,
        KeystoreError::Moved(_)
    );
}

#[tokio::test]
async fn an_expired_offer_is_not_honoured() {
    let world = World::new().await;
    let orders = [secret(&world.source, 20, 1, 40).await];
    let offer = world.offer(5).await.unwrap();
    let parcel = world.wrap(&offer, &orders).await.unwrap();
    world.clock.pass(crate::crypto::offer::OFFER_LIFE);
    assert_err!(world.stage(&parcel).await, KeystoreError::Refused(_));
}

#[tokio::test]
async fn damaged_missing_or_added_records_stop_activation() {
    for damage in 0..3 {
        let world = World::new().await;
        let orders = [secret(&world.source, 20, 2, 40).await, key(&world.source, 1, KeySpec::Aes256, 1).await];
        let manifest = world.copy(5, &orders).await;
        assert_err!(world.target.activate(&job(), 5, &[0; 32]).await, KeystoreError::Mismatch { .. });
        let records = dump(&world.target_store, "m/").await;
        let (at, mut bytes) = records.iter().find(|(key, _)| key.contains("/v/")).unwrap().clone();
        match damage {
            0 => {
                *bytes.last_mut().unwrap() ^= 1;
                overwrite(&world.target_store, &at, bytes).await;
            }
            1 => {
                let mut transaction = Transaction::new();
                transaction.delete(at);
                assert!(matches!(world.target_store.commit(transaction).await.unwrap(), Outcome::Committed(_)));
            }
            _ => {
                overwrite(&world.target_store, &format!("m/{}/v/{}", incarnation(20), place(20, 7).version), bytes)
                    .await
            }
        }
        assert_err!(world.target.activate(&job(), 5, &manifest).await, KeystoreError::Mismatch { .. });
        assert_err!(world.target.confirm(&job(), 5, &[]).await, KeystoreError::Mismatch { .. });
        assert_err!(read(&world.target, &place(20, 1)).await, KeystoreError::Moved(_));
    }
}

/// More records than one task verifies.
#[tokio::test]
async fn the_manifest_is_over_every_record_in_their_order() {
    let world = World::new().await;
    let mut orders = Vec::new();
    for n in 1..=100 {
        orders.push(secret(&world.source, n, 2, 40).await);
    }
    let manifest = world.copy(5, &orders).await;
    let mut hash = Sha256::new();
    hash.update(Writer::new().text("keyferry manifest v1").text(job().as_str()).count(100).finish());
    for n in 1..=100 {
        let key = layout::staged_resource(&job(), &incarnation(n));
        let stored = world.target.staged(&key).await.unwrap().unwrap().stored.unwrap();
        hash.update(Writer::new().text(incarnation(n).as_str()).u64(2).raw(&stored.0).finish());
    }
    let expected: [u8; 32] = hash.finalize().into();
    assert_eq!(manifest, expected);

    // What is wrong is found in whichever task it is.
    for n in [1, 50, 100] {
        let key = format!("m/{}/v/{}", incarnation(n), place(n, 2).version);
        let sound = dump(&world.target_store, &key).await.remove(0).1;
        let mut damaged = sound.clone();
        damaged[30] ^= 1;
        overwrite(&world.target_store, &key, damaged).await;
        assert_err!(world.target.activate(&job(), 5, &manifest).await, KeystoreError::Mismatch { .. });
        overwrite(&world.target_store, &key, sound).await;
    }
    world.target.activate(&job(), 5, &manifest).await.unwrap();
    world.target.confirm(&job(), 5, &[]).await.unwrap();
}

#[tokio::test]
async fn steps_out_of_order_are_refused() {
    let world = World::new().await;
    let orders = [secret(&world.source, 20, 2, 40).await];
    assert_err!(world.target.close(&job(), 5).await, KeystoreError::StagingOpen(_));
    let offer = world.offer(5).await.unwrap();
    world.stage(&world.wrap(&offer, &orders).await.unwrap()).await.unwrap();
    assert_err!(world.target.activate(&job(), 5, &[0; 32]).await, KeystoreError::StagingOpen(_));
    assert_err!(world.target.confirm(&job(), 5, &[]).await, KeystoreError::StagingOpen(_));
    assert_err!(world.target.settle(&job(), 5).await, KeystoreError::StagingOpen(_));
    world.target.close(&job(), 5).await.unwrap();
    assert_err!(world.target.settle(&job(), 5).await, KeystoreError::Mismatch { .. });
    assert_err!(world.target.confirm(&job(), 5, &[incarnation(99)]).await, KeystoreError::Mismatch { .. });
}

#[tokio::test]
async fn parcels_may_come_at_the_same_time() {
    let world = World::new().await;
    let mut orders = Vec::new();
    for n in 1..=40 {
        orders.push(secret(&world.source, n, 2, 1024).await);
    }
    let offer = world.offer(5).await.unwrap();
    let work = orders.chunks(5).map(|some| async {
        let parcel = world.wrap(&offer, some).await.unwrap();
        futures::future::join(world.stage(&parcel), world.stage(&parcel)).await
    });
    for (one, other) in futures::future::join_all(work).await {
        one.unwrap();
        other.unwrap();
    }
    let manifest = world.target.close(&job(), 5).await.unwrap();
    world.target.activate(&job(), 5, &manifest).await.unwrap();
    for n in 1..=40 {
        assert_eq!(read(&world.target, &place(n, 2)).await.unwrap(), (value(n, 2, 1024), true));
    }
}

#[tokio::test]
async fn faults_come_as_planned() {
    let world = World::new().await;
    secret(&world.source, 20, 1, 40).await;
    let plan = Arc::new(FaultPlan::default());
    let source: Arc<dyn Source> = Arc::new(world.source);
    let faulty: Arc<dyn Source> = Arc::new(Faulty::new(source, Arc::clone(&plan)));
    plan.break_call("read_value", 2, Fault::Before);
    assert!(faulty.read_value(&place(20, 1)).await.is_ok());
    assert_err!(faulty.read_value(&place(20, 1)).await, KeystoreError::Unavailable { .. });
    assert!(faulty.read_value(&place(20, 1)).await.is_ok());
    plan.set_unreachable(true);
    assert_err!(faulty.nonce(&job()).await, KeystoreError::Unavailable { .. });
    plan.set_unreachable(false);
    let key = label(1, Some(KeySpec::Aes256));
    plan.break_call("generate", 1, Fault::After);
    assert_err!(faulty.generate(&key, &place(1, 1)).await, KeystoreError::Unavailable { .. });
    assert_err!(faulty.generate(&key, &place(1, 1)).await, KeystoreError::Exists);
    let sealed = faulty.seal(&place(1, 1), b"a", b"text").await.unwrap().value;
    plan.break_call("open", 1, Fault::Flip);
    assert_eq!(faulty.open(&place(1, 1), b"a", &sealed).await.unwrap().value.as_slice(), b"texu");
    assert_eq!(plan.calls("open"), 1);
    assert_eq!(faulty.labels(&job(), &[incarnation(1)]).await.unwrap(), [key]);
}
