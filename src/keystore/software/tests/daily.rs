//! Daily use of one keystore.

use super::*;
use crate::crypto::mac::MacAlgorithm;
use crate::crypto::material::{DecryptAlgorithm, SignAlgorithm};
use crate::crypto::verify;

#[tokio::test]
async fn keys_of_each_spec_work_and_survive_a_restart() {
    let mut world = World::new().await;
    let (mut sealed, mut codes) = (Vec::new(), Vec::new());
    for (n, spec) in (1..).zip(KeySpec::ALL) {
        key(&world.source, n, spec, 2).await;
        if let Some(algorithm) = MacAlgorithm::of(spec) {
            codes.push((n, algorithm, world.source.mac(&place(n, 1), algorithm, b"text").await.unwrap().value));
        }
        if spec.is_symmetric() {
            let answer = world.source.seal(&place(n, 1), b"aad", b"text").await.unwrap();
            assert!(!answer.provisional);
            sealed.push((n, answer.value));
        }
    }
    world.restart().await;
    for (n, algorithm, code) in codes {
        assert_eq!(world.source.mac(&place(n, 1), algorithm, b"text").await.unwrap().value, code);
        assert_ne!(world.source.mac(&place(n, 2), algorithm, b"text").await.unwrap().value, code);
        assert_err!(world.source.seal(&place(n, 1), b"", b"text").await, KeystoreError::Unsuitable(_));
    }
    for (n, sealed) in sealed {
        assert_eq!(world.source.open(&place(n, 1), b"aad", &sealed).await.unwrap().value.as_slice(), b"text");
        assert_err!(world.source.open(&place(n, 2), b"aad", &sealed).await, KeystoreError::Rejected);
        assert_err!(
            world.source.sign(&place(n, 1), SignAlgorithm::EcdsaSha256, &[0; 32]).await,
            KeystoreError::Unsuitable(_)
        );
    }
    for (n, spec) in (1..).zip(KeySpec::ALL) {
        let Some(algorithm) = SignAlgorithm::for_proof(spec) else {
            continue;
        };
        let signature = world.source.sign(&place(n, 1), algorithm, &[7; 32]).await.unwrap().value;
        let public = world.source.public_key(&place(n, 1)).await.unwrap().value;
        verify::verify(&public, spec, algorithm, &[7; 32], &signature).unwrap();
        assert_ne!(public, world.source.public_key(&place(n, 2)).await.unwrap().value);
        if DecryptAlgorithm::OaepSha256.fits(spec) {
            let ciphertext = verify::encrypt_to(&public, DecryptAlgorithm::OaepSha256, b"text").unwrap();
            let text = world.source.decrypt(&place(n, 1), DecryptAlgorithm::OaepSha256, &ciphertext).await.unwrap();
            assert_eq!(text.value.as_slice(), b"text");
        }
    }
}

#[tokio::test]
async fn what_is_not_here_has_moved() {
    let world = World::new().await;
    assert_err!(world.source.seal(&place(1, 1), b"a", b"").await, KeystoreError::Moved(_));
    assert_err!(world.source.read_value(&place(1, 1)).await, KeystoreError::Moved(_));
    let order = key(&world.source, 1, KeySpec::Aes256, 1).await;
    assert_err!(world.source.seal(&place(1, 2), b"a", b"").await, KeystoreError::Moved(_));
    assert_err!(world.source.generate(&order.label, &place(1, 1)).await, KeystoreError::Exists);
    assert_err!(
        world.source.generate(&label(1, Some(KeySpec::Aes128)), &place(1, 2)).await,
        KeystoreError::Unsuitable(_)
    );
}

#[tokio::test]
async fn destroyed_material_is_gone_also_from_memory() {
    let world = World::new().await;
    let order = key(&world.source, 1, KeySpec::Aes256, 2).await;
    for v in 1..=2 {
        world.source.seal(&place(1, v), b"a", b"").await.unwrap();
    }
    world.source.destroy(&incarnation(1), Some(&[place(1, 1)])).await.unwrap();
    assert_err!(world.source.seal(&place(1, 1), b"a", b"").await, KeystoreError::Moved(_));
    world.source.seal(&place(1, 2), b"a", b"").await.unwrap();
    // The same version may come back (BYOK).
    world.source.import(&order.label, &place(1, 1), imported(KeySpec::Aes256)).await.unwrap();
    world.source.destroy(&incarnation(1), None).await.unwrap();
    world.source.destroy(&incarnation(1), None).await.unwrap();
    assert_err!(world.source.seal(&place(1, 2), b"a", b"").await, KeystoreError::Moved(_));
    assert_eq!(dump(&world.source_store, "m/").await, []);
    assert_eq!((world.source.opened.len(), world.source.heads.len()), (0, 0));
}

#[tokio::test]
async fn an_orphan_goes_with_its_head_but_not_with_its_siblings() {
    let world = World::new().await;
    key(&world.source, 1, KeySpec::Aes256, 2).await;
    world.source.destroy_orphan(&place(1, 2)).await.unwrap();
    world.source.seal(&place(1, 1), b"a", b"").await.unwrap();
    assert_err!(world.source.seal(&place(1, 2), b"a", b"").await, KeystoreError::Moved(_));
    world.source.destroy_orphan(&place(1, 1)).await.unwrap();
    world.source.destroy_orphan(&place(1, 1)).await.unwrap();
    assert_eq!(dump(&world.source_store, "m/").await, []);
}

#[tokio::test]
async fn large_values_and_many_versions_read_back() {
    let world = World::new().await;
    for (n, length) in (1..).zip([0, 1, 16_000, 16_384, 30_000, 40_000]) {
        secret(&world.source, n, 2, length).await;
        for v in 1..=2 {
            assert_eq!(read(&world.source, &place(n, v)).await.unwrap(), (value(n, v, length), false), "{length}");
        }
        world.source.destroy(&incarnation(n), Some(&[place(n, 1)])).await.unwrap();
        assert_err!(world.source.read_value(&place(n, 1)).await, KeystoreError::Moved(_));
        assert_eq!(read(&world.source, &place(n, 2)).await.unwrap().0, value(n, 2, length));
    }
    secret(&world.source, 50, 70, 30_000).await;
    world.source.destroy(&incarnation(50), None).await.unwrap();
    assert_eq!(dump(&world.source_store, &format!("m/{}", incarnation(50))).await, []);
}

#[tokio::test]
async fn nothing_secret_lies_in_the_store_in_the_clear() {
    let world = World::new().await;
    let mut secrets = Vec::new();
    for (n, spec) in (1..).zip([KeySpec::Aes256, KeySpec::Aes128, KeySpec::EcP256, KeySpec::EcP256k]) {
        let material = imported(spec);
        secrets.push(material.expose().to_vec());
        world.source.import(&label(n, Some(spec)), &place(n, 1), material).await.unwrap();
    }
    secret(&world.source, 9, 1, 64).await;
    secrets.push(value(9, 1, 64));
    secrets.push(vec![SOURCE.1; 32]);
    secrets.push(world.source.identity.seed().to_vec());
    let stored = dump(&world.source_store, "").await;
    assert!(stored.len() > 10);
    for (key, value) in &stored {
        for secret in &secrets {
            let part = &secret[secret.len() - 16..];
            assert!(!contains(value, part), "{key} holds a secret");
        }
        assert!(!contains(value, b"secret/9") && !contains(value, b"key-1"), "{key} holds a name");
    }
}

#[tokio::test]
async fn a_record_that_was_changed_or_moved_is_damage() {
    let world = World::new().await;
    key(&world.source, 1, KeySpec::Aes256, 2).await;
    key(&world.source, 2, KeySpec::Aes256, 1).await;
    let at = |n: u32, v: u32| format!("m/{}/v/{}", incarnation(n), place(n, v).version);
    let stored = dump(&world.source_store, "m/").await;
    let get = |key: &str| stored.iter().find(|(k, _)| k == key).unwrap().1.clone();
    for (to, from) in [(at(1, 1), at(1, 2)), (at(1, 1), at(2, 1))] {
        overwrite(&world.source_store, &to, get(&from)).await;
        assert_err!(world.source.seal(&place(1, 1), b"a", b"").await, KeystoreError::Damaged { .. });
    }
    let head = format!("m/{}/head", incarnation(2));
    overwrite(&world.source_store, &head, get(&format!("m/{}/head", incarnation(1)))).await;
    assert_err!(world.source.seal(&place(2, 1), b"a", b"").await, KeystoreError::Damaged { .. });
}

#[tokio::test]
async fn another_root_key_or_none_is_refused_and_named() {
    let world = World::new().await;
    let again = |id: &str, root: Option<RootKey>, store: &SharedStore| {
        let clock: Arc<dyn Clock> = Arc::<StandingClock>::clone(&world.clock);
        let slots = Arc::<MemorySlots>::clone(&world.source_slots);
        SoftwareKeystore::open(id.parse().unwrap(), Arc::clone(store), slots, root, clock, Arc::new(SystemRandom))
    };
    let before = dump(&world.source_store, "").await;
    let expected = root(SOURCE.1).id();
    let error = again(SOURCE.0, Some(root(9)), &world.source_store).await.err().unwrap();
    assert!(matches!(error, OpenError::WrongRootKey { .. }));
    assert!(error.to_string().contains(&expected) && error.to_string().contains(&root(9).id()), "{error}");
    let error = again(SOURCE.0, None, &world.source_store).await.err().unwrap();
    assert!(matches!(error, OpenError::MissingRootKey { .. }));
    assert!(error.to_string().contains(&expected), "{error}");
    assert_err!(again("kst-b", Some(root(SOURCE.1)), &world.source_store).await, OpenError::Damaged { .. });
    assert_eq!(dump(&world.source_store, "").await, before);

    let empty: SharedStore = Arc::new(MemoryStore::new());
    assert_err!(again("kst-b", None, &empty).await, OpenError::NoRootKey(_));
    assert!(is_empty(&empty).await.unwrap());
    overwrite(&empty, "something", vec![1]).await;
    assert_err!(again("kst-b", Some(root(3)), &empty).await, OpenError::Damaged { .. });
}

#[tokio::test]
async fn the_identity_stays_over_restarts() {
    let mut world = World::new().await;
    let before = world.source.public_identity();
    world.restart().await;
    assert_eq!(world.source.public_identity(), before);
    assert_ne!(world.target.public_identity(), before);
}

#[tokio::test]
async fn unused_material_leaves_memory_and_comes_back_on_use() {
    let world = World::new().await;
    key(&world.source, 1, KeySpec::Aes256, 2).await;
    for v in 1..=2 {
        world.source.seal(&place(1, v), b"a", b"").await.unwrap();
    }
    world.clock.pass(IDLE_AFTER);
    world.source.seal(&place(1, 2), b"a", b"").await.unwrap();
    world.clock.pass(Duration::from_secs(1));
    world.source.sweep_cache();
    assert_eq!(world.source.opened.len(), 1);
    world.source.seal(&place(1, 1), b"a", b"").await.unwrap();
}

#[test]
fn a_reader_under_way_does_not_bring_back_what_was_dropped() {
    let cache: Cache<u8, u8> = Cache::new();
    let read_at = cache.generation();
    cache.retain(|_, _| true);
    cache.insert(read_at, 1, 1, Duration::ZERO);
    assert_eq!(cache.get(&1, Duration::ZERO), None);
    cache.insert(cache.generation(), 1, 1, Duration::ZERO);
    assert_eq!(cache.get(&1, Duration::ZERO), Some(1));
}
