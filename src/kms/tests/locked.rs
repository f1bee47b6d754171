//! A locked scope: every management operation is refused, everything else goes on.

use futures::future::BoxFuture;

use super::*;

type Attempt<'a> = (&'static str, BoxFuture<'a, Result<(), KmsError>>);

fn attempts<'a>(service: &'a Service, id: &'a KeyId, external: &'a KeyId) -> Vec<Attempt<'a>> {
    let tags = TagMap::from([("k".to_owned(), "v".to_owned())]);
    vec![
        ("CreateKey", Box::pin(async { service.create_key(&me(), NewKey::default()).await.map(|_| ()) })),
        ("EnableKey", Box::pin(async { service.enable_key(&me(), id).await })),
        ("DisableKey", Box::pin(async { service.disable_key(&me(), id).await })),
        ("UpdateKeyDescription", Box::pin(async { service.update_key_description(&me(), id, "d").await })),
        ("SetDeletionProtection", Box::pin(async { service.set_deletion_protection(&me(), id, true, "").await })),
        ("ScheduleKeyDeletion", Box::pin(async { service.schedule_key_deletion(&me(), id, 7).await.map(|_| ()) })),
        ("CancelKeyDeletion", Box::pin(async { service.cancel_key_deletion(&me(), id).await })),
        ("UpdateRotationPolicy", Box::pin(async { service.update_rotation_policy(&me(), id, false, None).await })),
        ("CreateKeyVersion", Box::pin(async { service.create_key_version(&me(), &by_id(id)).await.map(|_| ()) })),
        ("CreateAlias", Box::pin(async { service.create_alias(&me(), "alias/new", id).await })),
        ("UpdateAlias", Box::pin(async { service.update_alias(&me(), "alias/x", external).await })),
        ("DeleteAlias", Box::pin(async { service.delete_alias(&me(), "alias/x").await })),
        (
            "TagResource",
            Box::pin(async move { service.tag_resources(&me(), &[ResourceId::Key(id.clone())], &tags).await }),
        ),
        (
            "UntagResource",
            Box::pin(async { service.untag_resources(&me(), &[ResourceId::Key(id.clone())], &Untag::All).await }),
        ),
        (
            "GetParametersForImport",
            Box::pin(async {
                let algorithm = WrappingAlgorithm::OaepSha256;
                service.get_parameters_for_import(&me(), external, algorithm).await.map(|_| ())
            }),
        ),
        (
            "ImportKeyMaterial",
            Box::pin(async { service.import_key_material(&me(), external, b"token", b"material", None).await }),
        ),
        ("DeleteKeyMaterial", Box::pin(async { service.delete_key_material(&me(), external).await })),
    ]
}

#[tokio::test]
async fn every_management_operation_is_refused_and_changes_nothing() {
    let kms = Kms::new().await;
    let service = &kms.service;
    let id = kms.key(&me(), NewKey { rotation: Some(DAY * 7), ..NewKey::default() }).await;
    let external = kms.key(&me(), NewKey { origin: KeyOrigin::External, ..NewKey::default() }).await;
    let doomed = kms.key(&me(), NewKey::default()).await;
    service.create_alias(&me(), "alias/x", &id).await.unwrap();
    service.schedule_key_deletion(&me(), &doomed, 7).await.unwrap();
    let sealed = service.encrypt(&me(), &by_id(&id), b"text", &BTreeMap::new()).await.unwrap();
    kms.lock().await;
    let before = service.catalogue.keys(&me().scope()).await.unwrap();
    for (name, attempt) in attempts(service, &id, &external) {
        assert!(matches!(attempt.await, Err(KmsError::Migrating(_))), "{name}");
    }
    // What falls due waits.
    kms.clock.advance(DAY * 8);
    let report = service.run_due(service.clock.now()).await.unwrap();
    assert_eq!(report, DueReport { waiting: 2, ..DueReport::default() });
    assert_eq!(service.ensure_service_keys(&me().region, &me().account).await.unwrap(), 0);
    assert_eq!(service.catalogue.keys(&me().scope()).await.unwrap(), before);
    assert!(service.catalogue.intents().await.unwrap().is_empty());
    // Reading and cryptography go on; so does another account.
    assert!(service.describe_key(&me(), &by_id(&id)).await.is_ok());
    assert!(service.decrypt(&me(), &sealed.blob, &BTreeMap::new()).await.is_ok());
    assert!(service.encrypt(&me(), &by_id(&id), b"x", &BTreeMap::new()).await.is_ok());
    let here = NewKey { instance: Some(INSTANCE.parse().unwrap()), ..NewKey::default() };
    assert!(service.create_key(&caller(FRIEND), here).await.is_ok());
}
