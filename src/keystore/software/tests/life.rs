//! A job's whole life between two keystores.

use super::*;
use crate::crypto::material::{DecryptAlgorithm, SignAlgorithm};
use crate::crypto::verify;
use crate::keystore::Prover;

/// One of everything that migrates, with a resource that is too large for one transaction.
async fn everything(world: &World) -> Vec<WrapOrder> {
    let mut orders = Vec::new();
    for (n, spec) in (1..).zip(KeySpec::ALL.into_iter().filter(|spec| !spec.is_of_instances())) {
        orders.push(key(&world.source, n, spec, 2).await);
    }
    orders.push(secret(&world.source, 20, 2, 40).await);
    orders.push(secret(&world.source, 21, 3, 30_000).await);
    orders.push(secret(&world.source, 22, 70, 20_000).await);
    let envelope =
        SecretEnvelope::Cmk { key_id: "key-1".parse().unwrap(), blob: vec![1; 100], sealed_value: vec![2; 100] };
    world.source.put_value(&label(23, None), &place(23, 1), &envelope).await.unwrap();
    orders.push(WrapOrder { label: label(23, None), places: vec![place(23, 1)] });
    orders
}

async fn prove(world: &World, orders: &[WrapOrder]) {
    let (source, target, job) = (&world.source, &world.target, &job());
    let incarnations: Vec<Incarnation> = orders.iter().map(|order| order.label.incarnation.clone()).collect();
    let labels: Vec<Label> = orders.iter().map(|order| order.label.clone()).collect();
    assert_eq!(target.labels(job, &incarnations).await.unwrap(), labels);
    let secrets: Vec<&WrapOrder> = orders.iter().filter(|order| order.label.spec.is_none()).collect();
    let places: Vec<Place> = secrets.iter().flat_map(|order| order.places.clone()).collect();
    let mut incarnations: Vec<Incarnation> = secrets.iter().map(|order| order.label.incarnation.clone()).collect();
    // The same secrets in the same order, in another, others beside them, and none.
    for turn in 0..4 {
        match turn {
            0 => {}
            1 => incarnations.reverse(),
            2 => incarnations.extend(orders.iter().map(|order| order.label.incarnation.clone())),
            _ => incarnations.clear(),
        }
        for keystore in [source, target] {
            let (labels, digests) = keystore.labels_and_digests(job, &incarnations, &places).await.unwrap();
            assert_eq!(labels, keystore.labels(job, &incarnations).await.unwrap());
            assert!(digests == keystore.digests(job, &places).await.unwrap());
            assert_eq!(keystore.labels_and_digests(job, &incarnations, &[]).await.unwrap(), (labels, Vec::new()));
        }
    }
    for order in orders {
        let Some(spec) = order.label.spec else {
            let mine = source.digests(job, &order.places).await.unwrap();
            assert!(mine == target.digests(job, &order.places).await.unwrap());
            assert!(mine.windows(2).all(|pair| pair[0] != pair[1]));
            continue;
        };
        if spec.is_symmetric() {
            for (from, to) in [(source, target), (target, source)] {
                let challenges: Vec<_> = order.places.iter().map(|place| (place.clone(), [9; 32])).collect();
                let sealed = from.seal_challenges(job, &challenges).await.unwrap();
                let back: Vec<_> = order.places.iter().cloned().zip(sealed).collect();
                assert_eq!(to.open_challenges(job, &back).await.unwrap(), vec![[9; 32]; order.places.len()]);
            }
            continue;
        }
        let public = source.public_keys(job, &order.places).await.unwrap();
        assert_eq!(target.public_keys(job, &order.places).await.unwrap(), public);
        let algorithm = SignAlgorithm::for_proof(spec).unwrap();
        let signature = target.prove_sign(job, &order.places[0], algorithm, &[7; 32]).await.unwrap();
        verify::verify(&public[0], spec, algorithm, &[7; 32], &signature).unwrap();
        if DecryptAlgorithm::OaepSha256.fits(spec) {
            let sent = verify::encrypt_to(&public[0], DecryptAlgorithm::OaepSha256, b"challenge").unwrap();
            let text = target.prove_decrypt(job, &order.places[0], DecryptAlgorithm::OaepSha256, &sent).await.unwrap();
            assert_eq!(text.as_slice(), b"challenge");
        }
    }
}

#[tokio::test]
async fn copies_are_invisible_then_provisional_then_final() {
    let world = World::new().await;
    let orders = everything(&world).await;
    let (target, job) = (&world.target, job());
    let sealed = world.source.seal(&place(1, 1), b"aad", b"text").await.unwrap().value;

    target.ready().await.unwrap();
    let offer = world.offer(5).await.unwrap();
    for some in orders.chunks(4) {
        world.stage(&world.wrap(&offer, some).await.unwrap()).await.unwrap();
    }
    assert_err!(target.open(&place(1, 1), b"aad", &sealed).await, KeystoreError::Moved(_));
    assert_err!(target.read_value(&place(20, 1)).await, KeystoreError::Moved(_));
    assert_eq!(target.closed(&job, 5).await.unwrap(), None);
    prove(&world, &orders).await;

    let manifest = target.close(&job, 5).await.unwrap();
    assert_eq!(target.close(&job, 5).await.unwrap(), manifest);
    assert_eq!(target.closed(&job, 5).await.unwrap(), Some(manifest));
    assert_err!(target.open(&place(1, 1), b"aad", &sealed).await, KeystoreError::Moved(_));

    target.activate(&job, 5, &manifest).await.unwrap();
    target.activate(&job, 5, &manifest).await.unwrap();
    let answer = target.open(&place(1, 1), b"aad", &sealed).await.unwrap();
    assert_eq!((answer.value.as_slice(), answer.provisional), (b"text".as_slice(), true));
    assert_eq!(read(target, &place(22, 70)).await.unwrap(), (value(22, 70, 20_000), true));
    prove(&world, &orders).await;

    target.confirm(&job, 5, &[]).await.unwrap();
    let all: Vec<Incarnation> = orders.iter().map(|order| order.label.incarnation.clone()).collect();
    for some in all.chunks(3) {
        world.source.purge(&job, 5, some).await.unwrap();
        target.confirm(&job, 5, some).await.unwrap();
    }
    world.source.purge(&job, 5, &all).await.unwrap();
    assert_err!(world.source.open(&place(1, 1), b"aad", &sealed).await, KeystoreError::Moved(_));
    assert_err!(world.source.read_value(&place(20, 1)).await, KeystoreError::Moved(_));
    assert_eq!(dump(&world.source_store, "m/").await, [], "the source keeps nothing");

    target.settle(&job, 5).await.unwrap();
    target.settle(&job, 5).await.unwrap();
    assert!(!target.open(&place(1, 1), b"aad", &sealed).await.unwrap().provisional);
    assert_eq!(read(target, &place(21, 3)).await.unwrap(), (value(21, 3, 30_000), false));
    target.confirm(&job, 5, &[]).await.unwrap();
    world.source.close_session(&job).await.unwrap();
    world.source.close_session(&job).await.unwrap();
    assert_err!(world.source.digests(&job, &[place(20, 1)]).await, KeystoreError::Refused(_));

    // From now on it is a resource like any other: it can grow, shrink, and go.
    target.generate(&orders[0].label, &place(1, 3)).await.unwrap();
    target.destroy(&incarnation(20), None).await.unwrap();
    assert_err!(target.read_value(&place(20, 1)).await, KeystoreError::Moved(_));
    assert_eq!(dump(&world.target_store, &format!("s/{job}/{}", incarnation(20))).await, []);
}

#[tokio::test]
async fn a_migrated_resource_can_migrate_again() {
    let world = World::new().await;
    let orders = [secret(&world.source, 20, 2, 40).await, key(&world.source, 1, KeySpec::Aes256, 1).await];
    let manifest = world.copy(5, &orders).await;
    world.target.activate(&job(), 5, &manifest).await.unwrap();
    world.source.purge(&job(), 5, &[incarnation(20), incarnation(1)]).await.unwrap();
    world.target.settle(&job(), 5).await.unwrap();

    let second: JobId = "job-00000000000000000002".parse().unwrap();
    let nonce = world.target.nonce(&second).await.unwrap();
    let offer = world.source.offer(&second, 9, nonce, world.clock.now()).await.unwrap();
    let back = world.source.public_identity();
    let parcel = world.target.wrap_out(&offer, &back, world.clock.now(), &orders).await.unwrap();
    world.source.stage(&parcel, &world.target.public_identity()).await.unwrap();
    let places = [place(20, 1), place(20, 2)];
    let digests = world.source.digests(&second, &places).await.unwrap();
    assert!(digests == world.target.digests(&second, &places).await.unwrap());
    let manifest = world.source.close(&second, 9).await.unwrap();
    world.source.activate(&second, 9, &manifest).await.unwrap();
    assert_eq!(read(&world.source, &place(20, 2)).await.unwrap(), (value(20, 2, 40), true));
}

#[tokio::test]
async fn a_job_goes_on_after_a_restart_in_each_state() {
    let mut world = World::new().await;
    let orders = everything(&world).await;
    let all: Vec<Incarnation> = orders.iter().map(|order| order.label.incarnation.clone()).collect();
    let sealed = world.source.seal(&place(1, 1), b"aad", b"text").await.unwrap().value;

    // Offered and half staged: the offer is lost, a new one under a new token starts over.
    let offer = world.offer(5).await.unwrap();
    let lost = world.wrap(&offer, &orders[..3]).await.unwrap();
    world.stage(&lost).await.unwrap();
    world.restart().await;
    assert_err!(world.stage(&lost).await, KeystoreError::Refused(_));
    assert_eq!(world.target.closed(&job(), 6).await.unwrap(), None);
    let offer = world.offer(6).await.unwrap();
    assert_eq!(dump(&world.target_store, "m/").await, [], "the new offer discards what was staged");
    assert_err!(world.stage(&lost).await, KeystoreError::Fenced { .. });
    world.stage(&world.wrap(&offer, &orders).await.unwrap()).await.unwrap();

    let manifest = world.target.close(&job(), 6).await.unwrap();
    world.restart().await;
    assert_eq!(world.target.closed(&job(), 7).await.unwrap(), Some(manifest));
    assert_err!(world.offer(7).await, KeystoreError::StagingClosed(_));
    assert_err!(world.target.open(&place(1, 1), b"aad", &sealed).await, KeystoreError::Moved(_));
    prove(&world, &orders).await;

    world.target.activate(&job(), 7, &manifest).await.unwrap();
    world.restart().await;
    assert!(world.target.open(&place(1, 1), b"aad", &sealed).await.unwrap().provisional);
    prove(&world, &orders).await;
    world.target.confirm(&job(), 8, &[]).await.unwrap();

    world.source.purge(&job(), 8, &all[..4]).await.unwrap();
    world.restart().await;
    assert_err!(world.source.purge(&job(), 7, &all).await, KeystoreError::Fenced { .. });
    world.source.purge(&job(), 8, &all).await.unwrap();
    world.target.settle(&job(), 8).await.unwrap();
    world.restart().await;
    assert!(!world.target.open(&place(1, 1), b"aad", &sealed).await.unwrap().provisional);
    assert_err!(world.target.forget(&job(), 8).await, KeystoreError::PastReturn(_));
}

#[tokio::test]
async fn a_rolled_back_job_leaves_a_tombstone_and_nothing_else() {
    for reached in 0..3 {
        let mut world = World::new().await;
        let orders = [secret(&world.source, 20, 2, 40).await, key(&world.source, 1, KeySpec::Aes256, 2).await];
        secret(&world.target, 30, 1, 40).await;
        let before = dump(&world.target_store, "m/").await;
        let offer = world.offer(5).await.unwrap();
        let parcel = world.wrap(&offer, &orders).await.unwrap();
        world.stage(&parcel).await.unwrap();
        if reached > 0 {
            let manifest = world.target.close(&job(), 5).await.unwrap();
            if reached > 1 {
                world.target.activate(&job(), 5, &manifest).await.unwrap();
                read(&world.target, &place(20, 1)).await.unwrap();
            }
        }
        world.target.forget(&job(), 5).await.unwrap();
        world.target.forget(&job(), 5).await.unwrap();
        assert_eq!(dump(&world.target_store, "m/").await, before);
        assert_eq!(dump(&world.target_store, "s/").await, []);
        for _ in 0..2 {
            assert_err!(read(&world.target, &place(20, 1)).await, KeystoreError::Moved(_));
            assert_err!(world.stage(&parcel).await, KeystoreError::Forgotten(_));
            assert_err!(world.offer(6).await, KeystoreError::Forgotten(_));
            assert_err!(world.target.close(&job(), 6).await, KeystoreError::Forgotten(_));
            assert_err!(world.target.closed(&job(), 6).await, KeystoreError::Forgotten(_));
            assert_err!(world.target.activate(&job(), 6, &[0; 32]).await, KeystoreError::Forgotten(_));
            assert_err!(world.target.settle(&job(), 6).await, KeystoreError::Forgotten(_));
            world.restart().await;
        }
        assert_eq!(read(&world.source, &place(20, 1)).await.unwrap().0, value(20, 1, 40), "the source is as before");
    }
}

#[tokio::test]
async fn a_job_can_be_forgotten_before_it_was_heard_of() {
    let world = World::new().await;
    world.target.forget(&job(), 5).await.unwrap();
    assert_err!(world.offer(6).await, KeystoreError::Forgotten(_));
}
