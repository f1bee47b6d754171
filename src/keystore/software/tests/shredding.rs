//! Destroyed means destroyed: what was deleted does not open again with yesterday's database and today's slots, and no
//! crash on the way there loses anything else.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::keks::{SlotEvent, SlotState};
use super::super::slots::files::FileSlots;
use super::super::slots::{SlotName, Slots};
use super::mortal::{Death, Mortal};
use super::*;
use crate::store::sled::{Options, SledStore};

fn scope() -> Scope {
    label(1, None).scope
}

async fn put_back(store: &SharedStore, entries: &[(String, Vec<u8>)]) {
    for (key, value) in entries {
        overwrite(store, key, value.clone()).await;
    }
}

/// The records of resource `n`.
async fn records_of(store: &SharedStore, n: u32) -> Vec<(String, Vec<u8>)> {
    dump(store, &format!("m/{}/", incarnation(n))).await
}

#[tokio::test]
async fn old_pages_with_todays_slots_and_root_key_do_not_open_what_was_purged() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(StandingClock(Mutex::default()));
    let slots = Arc::new(FileSlots::open(&directory.path().join("slots"), Arc::new(SystemRandom)).unwrap());
    let sled = |path: &str| -> SharedStore {
        Arc::new(SledStore::open(directory.path().join(path), &Options { cache_capacity: 1 << 20 }).unwrap().store)
    };
    {
        let keystore = open(SOURCE, &sled("today"), &slots, &clock).await;
        secret(&keystore, 1, 2, 100).await;
        secret(&keystore, 2, 1, 100).await;
    }
    copy_directory(&directory.path().join("today"), &directory.path().join("yesterday"));
    let yesterday = sled("yesterday");
    let purged = records_of(&yesterday, 1).await;
    assert_eq!(purged.len(), 3);

    let today = sled("today");
    let keystore = open(SOURCE, &today, &slots, &clock).await;
    keystore.purge(&job(), 5, &[incarnation(1)]).await.unwrap();
    // Deleted alone is not destroyed: what the engine still has of it opens. This is what shredding is for.
    put_back(&today, &purged).await;
    assert_eq!(read(&keystore, &place(1, 1)).await.unwrap().0, value(1, 1, 100));
    keystore.purge(&job(), 5, &[incarnation(1)]).await.unwrap();
    keystore.shred(&job(), 5, &scope()).await.unwrap();
    drop(keystore);

    // The whole old database: it names a slot that is gone.
    let keystore = open(SOURCE, &yesterday, &slots, &clock).await;
    assert_err!(read(&keystore, &place(1, 1)).await, KeystoreError::Damaged { .. });
    drop(keystore);
    // Old records in today's database.
    put_back(&today, &purged).await;
    let keystore = open(SOURCE, &today, &slots, &clock).await;
    for version in 1..=2 {
        assert_err!(read(&keystore, &place(1, version)).await, KeystoreError::Damaged { .. });
    }
    assert_eq!(read(&keystore, &place(2, 1)).await.unwrap().0, value(2, 1, 100));
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn shredding_a_purge_is_fenced_and_done_once() {
    let world = World::new().await;
    for n in 1..=2 {
        secret(&world.source, n, 1, 10).await;
    }
    let before = world.source_slots.names();
    world.source.purge(&job(), 5, &[incarnation(1)]).await.unwrap();
    assert_err!(world.source.shred(&job(), 4, &scope()).await, KeystoreError::Fenced { .. });
    assert_eq!(world.source_slots.names(), before);
    world.source.shred(&job(), 5, &scope()).await.unwrap();
    let after = world.source_slots.names();
    assert!(after.len() == 1 && after != before);
    world.source.shred(&job(), 5, &scope()).await.unwrap();
    assert_eq!(world.source_slots.names(), after);
    assert_eq!(world.source.shred_deleted().await.unwrap(), 0);
    let unused = Scope { account: "1000000000000009".parse().unwrap(), ..scope() };
    world.source.shred(&job(), 5, &unused).await.unwrap();
}

#[tokio::test]
async fn daily_deletions_are_shredded_together() {
    let world = World::new().await;
    for n in 1..=3 {
        secret(&world.source, n, 1, 10).await;
    }
    let kept = records_of(&world.source_store, 1).await;
    let before = world.source_slots.names();
    world.source.destroy(&incarnation(1), None).await.unwrap();
    // An imported key whose only version goes.
    world.source.destroy_orphan(&place(2, 1)).await.unwrap();
    assert_eq!(world.source.shred_deleted().await.unwrap(), 1);
    assert_eq!(world.source.shred_deleted().await.unwrap(), 0);
    assert_ne!(world.source_slots.names(), before);
    put_back(&world.source_store, &kept).await;
    assert_err!(read(&world.source, &place(1, 1)).await, KeystoreError::Damaged { .. });
    assert_eq!(read(&world.source, &place(3, 1)).await.unwrap().0, value(3, 1, 10));
}

#[tokio::test]
async fn a_crash_at_any_point_of_an_exchange_heals() {
    for after in [false, true] {
        let mut points = 0;
        for at in 1.. {
            let mut world = World::new().await;
            let purged = secret(&world.source, 1, 1, 10).await;
            for n in 2..=130 {
                secret(&world.source, n, 1, 10).await;
            }
            let old = records_of(&world.source_store, 1).await;
            world.source.purge(&job(), 5, std::slice::from_ref(&purged.label.incarnation)).await.unwrap();

            let death = Arc::new(Death::default());
            let store: SharedStore = Arc::new(Mortal(Arc::clone(&death), Arc::clone(&world.source_store)));
            let slots = Arc::new(Mortal(Arc::clone(&death), Arc::clone(&world.source_slots)));
            let mortal = open(SOURCE, &store, &slots, &world.clock).await;
            death.arm(at, after);
            if mortal.shred(&job(), 5, &scope()).await.is_ok() {
                assert!(!death.struck());
                break;
            }
            drop(mortal);
            points += 1;
            world.restart().await;
            // Usable at once, also for writing, in whatever state the exchange is.
            assert_eq!(read(&world.source, &place(130, 1)).await.unwrap().0, value(130, 1, 10), "{at} {after}");
            secret(&world.source, 200, 1, 10).await;
            world.source.shred_deleted().await.unwrap();
            world.restart().await;
            assert_eq!(world.source_slots.names().len(), 1, "{at} {after}: a slot is left over");
            assert!(dump(&world.source_store, "d/").await.is_empty(), "{at} {after}");
            for n in (2..=130).chain([200]) {
                assert_eq!(read(&world.source, &place(n, 1)).await.unwrap().0, value(n, 1, 10), "{at} {after}");
            }
            put_back(&world.source_store, &old).await;
            assert_err!(read(&world.source, &place(1, 1)).await, KeystoreError::Damaged { .. });
        }
        // Begin, make (two writes), its commit, two or more rewraps, their commit, shred, its commit.
        assert!(points >= 8, "only {points} points");
    }
}

/// The same for the first slot of an account.
#[tokio::test]
async fn a_crash_while_the_first_slot_is_made_heals() {
    for (at, after) in (1..=5).flat_map(|at| [(at, false), (at, true)]) {
        let mut world = World::new().await;
        let death = Arc::new(Death::default());
        let store: SharedStore = Arc::new(Mortal(Arc::clone(&death), Arc::clone(&world.source_store)));
        let slots = Arc::new(Mortal(Arc::clone(&death), Arc::clone(&world.source_slots)));
        let mortal = open(SOURCE, &store, &slots, &world.clock).await;
        death.arm(at, after);
        let envelope = SecretEnvelope::System { value: Zeroizing::new(value(1, 1, 10)) };
        let died = mortal.put_value(&label(1, None), &place(1, 1), &envelope).await;
        assert!(died.is_err(), "{at}");
        drop(mortal);
        world.restart().await;
        secret(&world.source, 2, 1, 10).await;
        world.restart().await;
        assert_eq!(read(&world.source, &place(2, 1)).await.unwrap().0, value(2, 1, 10));
        assert_eq!(world.source_slots.names().len(), 1, "{at} {after}");
    }
}

#[tokio::test]
async fn a_head_made_before_an_exchange_cannot_be_written_after_it() {
    let world = World::new().await;
    secret(&world.source, 1, 1, 10).await;
    let (bytes, _, guard) = world.source.new_head(&label(2, None), None).await.unwrap();
    world.source.destroy(&incarnation(1), None).await.unwrap();
    world.source.shred_deleted().await.unwrap();
    let mut late = Transaction::new();
    late.compare(guard).put(layout::head(&incarnation(2)), bytes);
    assert_eq!(world.source_store.commit(late).await.unwrap(), Outcome::Conflict);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_and_writers_go_on_through_exchanges() {
    let world = Arc::new(World::new().await);
    for n in 1..=20 {
        secret(&world.source, n, 1, 10).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (world, stop) = (Arc::clone(&world), Arc::clone(&stop));
        async move {
            let mut n = 100;
            while !stop.load(Ordering::SeqCst) {
                // Enough to come between; then only readers go on.
                if n < 900 {
                    secret(&world.source, n, 1, 10).await;
                    n += 1;
                }
                // Without what memory holds: the records themselves must open at any time.
                world.source.heads.retain(|_, _| false);
                for old in [n - 1, 1 + n % 20] {
                    assert_eq!(read(&world.source, &place(old, 1)).await.unwrap().0, value(old, 1, 10));
                }
                tokio::task::yield_now().await;
            }
            n
        }
    });
    // The writer is under way.
    while read(&world.source, &place(100, 1)).await.is_err() && !writer.is_finished() {
        tokio::task::yield_now().await;
    }
    for n in 1000..1050 {
        secret(&world.source, n, 1, 10).await;
        world.source.destroy(&incarnation(n), None).await.unwrap();
        while world.source.shred_deleted().await.unwrap() > 0 {}
    }
    stop.store(true, Ordering::SeqCst);
    let end = writer.await.unwrap();
    assert!(end > 100);
    world.source.heads.retain(|_, _| false);
    for n in (1..=20).chain(100..end) {
        assert_eq!(read(&world.source, &place(n, 1)).await.unwrap().0, value(n, 1, 10));
    }
    assert_eq!(world.source_slots.names().len(), 1);
}

#[tokio::test]
async fn copies_stay_what_was_staged_through_exchanges() {
    let world = World::new().await;
    let orders = [secret(&world.source, 1, 2, 10).await, key(&world.source, 2, KeySpec::Aes256, 1).await];
    let exchange = async |world: &World| {
        let before = world.target_slots.names();
        overwrite(&world.target_store, "d/cn-hangzhou/1000000000000001", vec![1]).await;
        assert_eq!(world.target.shred_deleted().await.unwrap(), 1);
        assert_ne!(world.target_slots.names(), before);
    };
    let offer = world.offer(5).await.unwrap();
    world.stage(&world.wrap(&offer, &orders).await.unwrap()).await.unwrap();
    exchange(&world).await;
    let manifest = world.target.close(&job(), 5).await.unwrap();
    exchange(&world).await;
    world.target.activate(&job(), 5, &manifest).await.unwrap();
    exchange(&world).await;
    world.target.confirm(&job(), 5, &[]).await.unwrap();
    world.target.confirm(&job(), 5, &[incarnation(1), incarnation(2)]).await.unwrap();
    assert_eq!(read(&world.target, &place(1, 2)).await.unwrap().0, value(1, 2, 10));
    // A wrapped data key is not in the digest, and yet cannot be exchanged for another's.
    let head = |n: u32| format!("m/{}/head", incarnation(n));
    let other = dump(&world.target_store, &head(2)).await.remove(0).1;
    let mine = records::Head::decode(&dump(&world.target_store, &head(1)).await.remove(0).1).unwrap();
    let wrapped_dek = records::Head::decode(&other).unwrap().wrapped_dek;
    overwrite(&world.target_store, &head(1), records::Head { wrapped_dek, ..mine }.encode()).await;
    assert_err!(world.target.confirm(&job(), 5, &[]).await, KeystoreError::Mismatch { .. });
}

#[tokio::test]
async fn a_record_that_does_not_open_keeps_the_old_slot_and_lets_the_job_go_on() {
    let world = World::new().await;
    for n in 1..=2 {
        secret(&world.source, n, 1, 10).await;
    }
    let damaged = format!("m/{}/head", incarnation(2));
    let whole = dump(&world.source_store, &damaged).await.remove(0).1;
    let mut head = records::Head::decode(&whole).unwrap();
    head.wrapped_dek[20] ^= 1;
    overwrite(&world.source_store, &damaged, head.encode()).await;
    world.source.purge(&job(), 5, &[incarnation(1)]).await.unwrap();
    world.source.shred(&job(), 5, &scope()).await.unwrap();
    assert_err!(world.source.shred_deleted().await, KeystoreError::Damaged { .. });
    assert_eq!(world.source_slots.names().len(), 2);
    // Once the record is restored, everything ends by itself.
    overwrite(&world.source_store, &damaged, whole).await;
    assert_eq!(world.source.shred_deleted().await.unwrap(), 1);
    assert_eq!(world.source_slots.names().len(), 1);
    assert_eq!(read(&world.source, &place(2, 1)).await.unwrap().0, value(2, 1, 10));
}

#[tokio::test]
async fn a_lost_slot_is_named_and_nothing_is_made_in_its_place() {
    let mut world = World::new().await;
    secret(&world.source, 1, 1, 10).await;
    let before = dump(&world.source_store, "").await;
    for name in world.source_slots.names() {
        world.source_slots.shred(&name).await.unwrap();
    }
    world.restart().await;
    let error = read(&world.source, &place(1, 1)).await.err().unwrap();
    assert!(error.to_string().contains("1000000000000001/cn-hangzhou is missing; restore the slots"), "{error}");
    let envelope = SecretEnvelope::System { value: Zeroizing::new(value(2, 1, 10)) };
    let refused = world.source.put_value(&label(2, None), &place(2, 1), &envelope).await;
    assert_err!(refused, KeystoreError::Damaged { .. });
    assert_eq!(dump(&world.source_store, "").await, before);
    assert!(world.source_slots.names().is_empty());
}

#[tokio::test]
async fn a_key_that_an_earlier_release_kept_in_the_store_moves_into_a_slot() {
    let mut world = World::new().await;
    secret(&world.source, 1, 1, 10).await;
    let name = world.source_slots.names().remove(0);
    let kek = world.source.open_slot(&scope(), &name).await.unwrap().unwrap();
    let (id, scope) = ("shared:cn-hangzhou".parse().unwrap(), scope());
    let address = Address { scope: Some(&scope), ..Address::of(&id, "kek") };
    let inline = root(SOURCE.1).sealing().wrap(&SystemRandom, &address, &kek).unwrap();
    overwrite(&world.source_store, "k/cn-hangzhou/1000000000000001", inline).await;
    world.source_slots.shred(&name).await.unwrap();
    for exchanged in [1, 0] {
        world.restart().await;
        assert_eq!(read(&world.source, &place(1, 1)).await.unwrap().0, value(1, 1, 10));
        assert_eq!(world.source.shred_deleted().await.unwrap(), exchanged);
        assert_eq!(world.source_slots.names().len(), 1);
    }
}

#[test]
fn slots_go_one_way() {
    let [a, b] = [1_u8, 2].map(|n| SlotName::try_from(format!("{n:032x}")).unwrap());
    let states = [
        SlotState::Making { old: None, new: b.clone() },
        SlotState::Making { old: Some(a.clone()), new: b.clone() },
        SlotState::Settled { current: a.clone() },
        SlotState::Rewrapping { old: a.clone(), new: b.clone() },
        SlotState::Shredding { old: a, current: b.clone() },
    ];
    let events = [SlotEvent::Begin(b), SlotEvent::Made, SlotEvent::Rewrapped, SlotEvent::Shredded];
    let allowed = [(0, 1), (1, 1), (2, 0), (3, 2), (4, 3)];
    for (s, state) in states.iter().enumerate() {
        for (e, event) in events.iter().enumerate() {
            assert_eq!(state.clone().next(event.clone()).is_ok(), allowed.contains(&(s, e)), "{state:?} {event:?}");
        }
    }
}
