//! A root key is exchanged while everything goes on, and no crash on the way loses what it sealed.

use super::mortal::{Death, Mortal};
use super::*;
use crate::keystore::Prover;

const NEW: u8 = 9;

impl World {
    /// The source as a process finds it that was given the root keys of these seeds.
    async fn source_under(&self, seeds: &[u8]) -> Result<SoftwareKeystore, OpenError> {
        open_under((SOURCE.0, seeds), &self.source_store, &self.source_slots, &self.clock).await
    }
}

fn other_scope() -> Scope {
    Scope { account: "1000000000000002".parse().unwrap(), ..label(1, None).scope }
}

async fn foreign_secret(keystore: &SoftwareKeystore, n: u32) {
    let label = Label { scope: other_scope(), ..label(n, None) };
    let envelope = SecretEnvelope::System { value: Zeroizing::new(value(n, 1, 10)) };
    keystore.put_value(&label, &place(n, 1), &envelope).await.unwrap();
}

#[tokio::test]
async fn from_the_exchange_on_everything_new_is_under_the_new_key_and_the_old_one_can_go() {
    let world = World::new().await;
    let (old, new) = (root(SOURCE.1).id(), root(NEW).id());
    secret(&world.source, 1, 1, 10).await;
    let identity = world.source.public_identity();
    world.source.exchange_root(root(NEW)).await.unwrap();
    world.source.exchange_root(root(NEW)).await.unwrap();
    assert_eq!(world.source.root_keys(), RootKeys { current: new.clone(), before: Some(old.clone()) });
    assert_err!(world.source.exchange_root(root(8)).await, KeystoreError::Refused(_));
    // What is new does not need the old key, what is old does; so neither alone is enough.
    foreign_secret(&world.source, 2).await;
    for given in [&[SOURCE.1][..], &[NEW], &[]] {
        let refused = world.source_under(given).await.err().unwrap().to_string();
        let missing = if given == [NEW] { &old } else { &new };
        assert!(refused.contains(missing), "{refused}");
    }
    let both = world.source_under(&[SOURCE.1, NEW]).await.unwrap();
    for n in 1..=2 {
        assert_eq!(read(&both, &place(n, 1)).await.unwrap().0, value(n, 1, 10));
    }

    // The identity and one slot; the other slot was made under the new key.
    assert_eq!(both.renew_seals().await.unwrap(), 2);
    assert_eq!(both.renew_seals().await.unwrap(), 0);
    assert_eq!(both.root_keys(), RootKeys { current: new, before: None });
    let refused = world.source_under(&[SOURCE.1]).await.err().unwrap();
    assert!(matches!(refused, OpenError::WrongRootKey { .. }), "{refused}");
    let alone = world.source_under(&[NEW]).await.unwrap();
    assert_eq!(alone.public_identity(), identity);
    for n in 1..=2 {
        assert_eq!(read(&alone, &place(n, 1)).await.unwrap().0, value(n, 1, 10));
    }
    // The way back is an exchange like any other.
    alone.exchange_root(root(SOURCE.1)).await.unwrap();
    alone.renew_seals().await.unwrap();
    assert_eq!(read(&world.source_under(&[SOURCE.1]).await.unwrap(), &place(1, 1)).await.unwrap().0, value(1, 1, 10));
}

#[tokio::test]
async fn a_job_in_flight_goes_on_through_an_exchange_of_both_keystores() {
    let mut world = World::new().await;
    let orders = [key(&world.source, 1, KeySpec::Aes256, 2).await, secret(&world.source, 20, 2, 40).await];
    let offer = world.offer(5).await.unwrap();
    let parcel = world.wrap(&offer, &orders[..1]).await.unwrap();
    world.stage(&parcel).await.unwrap();
    for keystore in [&world.source, &world.target] {
        keystore.exchange_root(root(NEW)).await.unwrap();
        // Identity, slot, and the job's digest key.
        assert_eq!(keystore.renew_seals().await.unwrap(), 3);
    }
    world.source = world.source_under(&[NEW]).await.unwrap();
    let target = open_under((TARGET.0, &[NEW]), &world.target_store, &world.target_slots, &world.clock).await;
    world.target = target.unwrap();
    // After a restart the job copies again, under a higher token.
    let manifest = world.copy(6, &orders).await;
    let digests = world.source.digests(&job(), &orders[1].places).await.unwrap();
    assert!(world.target.digests(&job(), &orders[1].places).await.unwrap() == digests);
    world.target.activate(&job(), 6, &manifest).await.unwrap();
    world.target.confirm(&job(), 6, &[]).await.unwrap();
    assert_eq!(read(&world.target, &place(20, 1)).await.unwrap().0, value(20, 1, 40));
}

/// A digest key that was sealed before the exchange and is written after it would need the old key for ever.
#[tokio::test]
async fn nothing_sealed_under_the_old_key_can_be_written_after_the_exchange() {
    let world = World::new().await;
    let roots = world.source.roots();
    world.source.exchange_root(root(NEW)).await.unwrap();
    let mut late = Transaction::new();
    late.compare(roots.guard.clone()).put(layout::session(&job()), b"late".to_vec());
    assert_eq!(world.source_store.commit(late).await.unwrap(), Outcome::Conflict);
}

#[tokio::test]
async fn a_crash_at_any_point_of_an_exchange_heals() {
    for after in [false, true] {
        let mut points = 0;
        for at in 1.. {
            let world = World::new().await;
            secret(&world.source, 1, 1, 10).await;
            foreign_secret(&world.source, 2).await;
            let order = secret(&world.source, 3, 1, 10).await;
            let offer = world.offer(5).await.unwrap();
            world.wrap(&offer, &[order]).await.unwrap();

            let death = Arc::new(Death::default());
            let store: SharedStore = Arc::new(Mortal(Arc::clone(&death), Arc::clone(&world.source_store)));
            let slots = Arc::new(Mortal(Arc::clone(&death), Arc::clone(&world.source_slots)));
            let mortal = open(SOURCE, &store, &slots, &world.clock).await;
            death.arm(at, after);
            let exchanged = mortal.exchange_root(root(NEW)).await;
            if exchanged.is_ok() && mortal.renew_seals().await.is_ok() {
                assert!(!death.struck());
                break;
            }
            drop(mortal);
            points += 1;
            let healed = world.source_under(&[SOURCE.1, NEW]).await.unwrap();
            for n in 1..=3 {
                assert_eq!(read(&healed, &place(n, 1)).await.unwrap().0, value(n, 1, 10), "{at} {after}");
            }
            secret(&healed, 4, 1, 10).await;
            healed.exchange_root(root(NEW)).await.unwrap();
            healed.renew_seals().await.unwrap();
            let alone = world.source_under(&[NEW]).await.unwrap();
            for n in 1..=4 {
                assert_eq!(read(&alone, &place(n, 1)).await.unwrap().0, value(n, 1, 10), "{at} {after}");
            }
            let digests = alone.digests(&job(), &[place(3, 1)]).await.unwrap();
            assert_eq!(digests.len(), 1);
        }
        // Begin, identity, two slots, a digest key, the end.
        assert_eq!(points, 6);
    }
}

/// The old key is given up only when nothing needs it.
#[tokio::test]
async fn a_slot_that_does_not_open_keeps_the_old_key_needed() {
    let world = World::new().await;
    secret(&world.source, 1, 1, 10).await;
    let slot = world.source_slots.names().remove(0);
    let content = slots::Slots::read(&*world.source_slots, &slot).await.unwrap().unwrap();
    foreign_secret(&world.source, 2).await;
    slots::Slots::replace(&*world.source_slots, &slot, &content[..content.len() - 1]).await.unwrap();
    world.source.exchange_root(root(NEW)).await.unwrap();
    assert_err!(world.source.renew_seals().await, KeystoreError::Damaged { .. });
    assert!(world.source.root_keys().before.is_some());
    slots::Slots::replace(&*world.source_slots, &slot, &content).await.unwrap();
    // The other account's slot was done by the first try.
    assert_eq!(world.source.renew_seals().await.unwrap(), 1);
    assert!(world.source.root_keys().before.is_none());
}
