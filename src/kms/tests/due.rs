//! What falls due, and what is swept.

use super::*;

#[tokio::test]
async fn a_scheduled_deletion_destroys_entry_material_and_aliases_when_it_is_due() {
    let kms = Kms::new().await;
    let service = &kms.service;
    let id = kms.key(&me(), NewKey::default()).await;
    let other = kms.key(&me(), NewKey::default()).await;
    for n in 0..45 {
        service.create_alias(&me(), &format!("alias/a{n}"), &id).await.unwrap();
    }
    service.create_alias(&me(), "alias/kept", &other).await.unwrap();
    service.create_key_version(&me(), &by_id(&id)).await.unwrap();
    service.schedule_key_deletion(&me(), &id, 7).await.unwrap();
    kms.clock.advance(DAY * 7 - Duration::from_secs(1));
    assert_eq!(service.run_due(service.clock.now()).await.unwrap(), DueReport::default());
    kms.clock.advance(Duration::from_secs(1));
    let incarnation = service.find(&me().scope(), &by_id(&id)).await.unwrap().incarnation.clone();
    let report = service.run_due(service.clock.now()).await.unwrap();
    assert_eq!(report, DueReport { deleted_keys: 1, ..DueReport::default() });
    assert!(matches!(service.describe_key(&me(), &by_id(&id)).await, Err(KmsError::KeyNotFound)));
    assert_eq!(service.list_aliases(&me()).await.unwrap(), [("alias/kept".to_owned(), other.clone())]);
    assert_eq!(service.list_keys(&me(), &KeyFilters::new()).await.unwrap(), [other]);
    assert!(service.catalogue.key_versions(&incarnation).await.unwrap().is_empty());
    assert!(service.catalogue.intents().await.unwrap().is_empty());
    for store in kms.stores.values() {
        let all = store.scan(b"", None, 10_000).await.unwrap();
        let left = all.entries.iter().filter(|(key, _)| String::from_utf8_lossy(key).contains(incarnation.as_str()));
        assert_eq!(left.count(), 0);
    }
    assert_eq!(service.run_due(service.clock.now()).await.unwrap(), DueReport::default());
}

#[tokio::test]
async fn what_an_earlier_process_left_is_swept() {
    let kms = Kms::new().await;
    let id = kms.key(&me(), NewKey::default()).await;
    let key = kms.service.find(&me().scope(), &by_id(&id)).await.unwrap();
    let left = kms.service.generate_version(&key).await.unwrap();
    let now = kms.service.clock.now();
    assert_eq!(kms.service.sweep_intents(now).await.unwrap(), 0);
    let next = Service { worker: "worker-2".into(), ..kms.service.clone() };
    assert_eq!(next.sweep_intents(now).await.unwrap(), 1);
    assert!(next.catalogue.intents().await.unwrap().is_empty());
    // The rest of the key is whole, and the late commit is too late.
    assert!(kms.service.encrypt(&me(), &by_id(&id), b"x", &BTreeMap::new()).await.is_ok());
    let guarded = kms.service.catalogue.guard(&me().scope()).await.unwrap();
    let (late, _) = kms.service.add_version(&guarded, key, &left, now).unwrap();
    assert!(kms.service.catalogue.commit(late).await.is_err());
}

#[tokio::test]
async fn rotation_makes_a_new_primary_version_when_it_is_due() {
    let kms = Kms::new().await;
    let service = &kms.service;
    let id = kms.key(&me(), NewKey { rotation: Some(DAY * 7), ..NewKey::default() }).await;
    let sealed = service.encrypt(&me(), &by_id(&id), b"old", &BTreeMap::new()).await.unwrap();
    kms.clock.advance(DAY * 7 - Duration::from_secs(1));
    assert_eq!(service.run_due(service.clock.now()).await.unwrap().rotated, 0);
    kms.clock.advance(Duration::from_secs(1));
    assert_eq!(service.run_due(service.clock.now()).await.unwrap().rotated, 1);
    assert_eq!(service.run_due(service.clock.now()).await.unwrap().rotated, 0);
    let view = service.describe_key(&me(), &by_id(&id)).await.unwrap();
    assert_eq!((view.key.version_count, view.key.rotation.last), (2, Some(service.clock.now())));
    assert_ne!(view.key.primary_version, Some(sealed.version.clone()));
    let opened = service.decrypt(&me(), &sealed.blob, &BTreeMap::new()).await.unwrap();
    assert_eq!((opened.plaintext.as_slice(), opened.version), (b"old".as_slice(), sealed.version));

    // Held back while the key is disabled, made up for when it is enabled again.
    service.disable_key(&me(), &id).await.unwrap();
    kms.clock.advance(DAY * 8);
    assert_eq!(service.run_due(service.clock.now()).await.unwrap().rotated, 0);
    let view = service.describe_key(&me(), &by_id(&id)).await.unwrap();
    assert_eq!(view.rotation, AutomaticRotation::Suspended);
    service.enable_key(&me(), &id).await.unwrap();
    assert_eq!(service.run_due(service.clock.now()).await.unwrap().rotated, 1);
    service.update_rotation_policy(&me(), &id, false, None).await.unwrap();
    kms.clock.advance(DAY * 30);
    assert_eq!(service.run_due(service.clock.now()).await.unwrap(), DueReport::default());
}

#[tokio::test]
async fn a_managed_secret_that_is_due_without_a_rotator_keeps_its_value_and_is_told_once() {
    let kms = Kms::new().await;
    let service = &kms.service;
    service.create_secret(&me(), &crate::kms::secrets::testing::rds("db")).await.unwrap();
    let name = "db".parse().unwrap();
    let before = service.catalogue.secret(&me().scope(), &name).await.unwrap().unwrap();
    kms.clock.advance(DAY * 7);
    let report = service.run_due(service.clock.now()).await.unwrap();
    assert_eq!(report, DueReport { unserved: 1, ..DueReport::default() });
    assert_eq!(service.run_due(service.clock.now()).await.unwrap(), DueReport::default());
    assert_eq!(service.catalogue.secret(&me().scope(), &name).await.unwrap().unwrap(), before);
}
