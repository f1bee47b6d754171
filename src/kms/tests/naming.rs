//! Aliases, tags, service keys and lists.

use super::*;

#[tokio::test]
async fn aliases_name_one_key_each() {
    let kms = Kms::new().await;
    let service = &kms.service;
    let (a, b) = (kms.key(&me(), NewKey::default()).await, kms.key(&me(), NewKey::default()).await);
    let name = KeyOrAlias::Alias("alias/x".to_owned());
    service.create_alias(&me(), "alias/x", &a).await.unwrap();
    assert!(matches!(service.create_alias(&me(), "alias/x", &b).await, Err(KmsError::AliasExists)));
    assert_eq!(service.describe_key(&me(), &name).await.unwrap().key.id, a);
    service.update_alias(&me(), "alias/x", &b).await.unwrap();
    assert_eq!(service.describe_key(&me(), &name).await.unwrap().key.id, b);
    assert!(service.list_aliases_of(&me(), &by_id(&a)).await.unwrap().is_empty());
    assert_eq!(service.list_aliases_of(&me(), &by_id(&b)).await.unwrap().len(), 1);
    service.delete_alias(&me(), "alias/x").await.unwrap();
    for refused in [
        service.delete_alias(&me(), "alias/x").await,
        service.update_alias(&me(), "alias/x", &a).await,
        service.describe_key(&me(), &name).await.map(|_| ()),
    ] {
        assert!(matches!(refused, Err(KmsError::AliasNotFound)));
    }
    for bad in ["x", "alias/", "alias/acs/ecs", "alias/a b", &format!("alias/{}", "x".repeat(250))] {
        let refused = service.create_alias(&me(), bad, &a).await;
        assert!(matches!(refused, Err(KmsError::InvalidParameterBecause { name: "AliasName", .. })), "{bad}");
    }
}

#[tokio::test]
async fn a_key_has_at_most_three_hundred_aliases() {
    let kms = Kms::new().await;
    let (full, other) = (kms.key(&me(), NewKey::default()).await, kms.key(&me(), NewKey::default()).await);
    for n in 0..300 {
        kms.service.create_alias(&me(), &format!("alias/{n:0>249}"), &full).await.unwrap();
    }
    kms.service.create_alias(&me(), "alias/other", &other).await.unwrap();
    let refused = [
        kms.service.create_alias(&me(), "alias/more", &full).await,
        kms.service.update_alias(&me(), "alias/other", &full).await,
    ];
    assert!(refused.iter().all(|r| matches!(r, Err(KmsError::LimitExceeded(_)))), "{refused:?}");
    // It is changed and deleted like any other.
    kms.service.disable_key(&me(), &full).await.unwrap();
    kms.service.delete_alias(&me(), &format!("alias/{:0>249}", 7)).await.unwrap();
    kms.service.update_alias(&me(), "alias/other", &full).await.unwrap();
    kms.service.schedule_key_deletion(&me(), &full, 7).await.unwrap();
}

#[tokio::test]
async fn a_resource_has_at_most_twenty_tags() {
    let kms = Kms::new().await;
    let id = ResourceId::Key(kms.key(&me(), NewKey::default()).await);
    let tags = |range: std::ops::Range<u32>| -> TagMap { range.map(|n| (format!("k{n}"), "v".to_owned())).collect() };
    kms.service.tag_resources(&me(), std::slice::from_ref(&id), &tags(0..15)).await.unwrap();
    assert!(matches!(
        kms.service.tag_resources(&me(), std::slice::from_ref(&id), &tags(15..21)).await,
        Err(KmsError::LimitExceeded(_))
    ));
    kms.service.tag_resources(&me(), std::slice::from_ref(&id), &tags(10..20)).await.unwrap();
    kms.service
        .untag_resources(&me(), std::slice::from_ref(&id), &Untag::Keys(vec!["k0".to_owned(), "none".to_owned()]))
        .await
        .unwrap();
    let ResourceId::Key(key) = &id else { panic!("a key") };
    assert_eq!(kms.service.key_tags(&me(), &by_id(key)).await.unwrap().1, tags(1..20));
}

#[tokio::test]
async fn many_resources_are_tagged_at_once_or_not_at_all() {
    let kms = Kms::new().await;
    let tags = TagMap::from([("team".to_owned(), "red".to_owned())]);
    let mut keys = Vec::new();
    // Rotating ones, which stand in the list of what falls due as well.
    for _ in 0..50 {
        let rotating = NewKey { rotation: Some(DAY * 7), description: "d".repeat(8192), ..NewKey::default() };
        keys.push(ResourceId::Key(kms.key(&caller(FRIEND), rotating).await));
    }
    let friend = || caller(FRIEND);
    kms.service.tag_resources(&friend(), &keys, &tags).await.unwrap();
    let all = || async {
        kms.service.tag_rows(&friend(), crate::model::ResourceKind::Key, &[], &TagMap::new()).await.unwrap()
    };
    assert_eq!(all().await.len(), 50);
    let with = |value: &str| TagMap::from([("team".to_owned(), value.to_owned())]);
    for (value, count) in [("red", 50), ("", 50), ("blue", 0)] {
        let rows = kms.service.tag_rows(&friend(), crate::model::ResourceKind::Key, &[], &with(value)).await.unwrap();
        assert_eq!(rows.len(), count, "{value}");
    }
    // One that is somebody else's: nothing changes.
    let mut mixed = keys[..3].to_vec();
    mixed.push(ResourceId::Key(kms.key(&me(), NewKey::default()).await));
    let refused = kms.service.untag_resources(&friend(), &mixed, &Untag::All).await;
    assert!(matches!(refused, Err(KmsError::KeyNotFound)));
    assert_eq!(all().await.len(), 50);
    kms.service.untag_resources(&friend(), &keys[..20], &Untag::All).await.unwrap();
    assert_eq!(all().await.len(), 30);
}

#[tokio::test]
async fn service_keys_are_made_once_and_cannot_be_managed() {
    let kms = Kms::new().await;
    let (region, account): (RegionId, AccountId) = (me().region, me().account);
    assert_eq!(kms.service.ensure_service_keys(&region, &account).await.unwrap(), 2);
    assert_eq!(kms.service.ensure_service_keys(&region, &account).await.unwrap(), 0);
    let name = KeyOrAlias::Alias("alias/acs/ecs".to_owned());
    let view = kms.service.describe_key(&me(), &name).await.unwrap();
    assert_eq!((view.key.creator.as_str(), view.key.service.as_deref()), ("ecs", Some("ecs")));
    let id = view.key.id;
    let refused = [
        kms.service.disable_key(&me(), &id).await,
        kms.service.schedule_key_deletion(&me(), &id, 7).await.map(|_| ()),
        kms.service.create_alias(&me(), "alias/mine", &id).await,
        kms.service.create_key_version(&me(), &by_id(&id)).await.map(|_| ()),
        kms.service.tag_resources(&me(), &[ResourceId::Key(id.clone())], &TagMap::new()).await,
    ];
    assert!(refused.iter().all(|r| matches!(r, Err(KmsError::UnsupportedOperation(_)))), "{refused:?}");
    assert!(kms.service.encrypt(&me(), &name, b"x", &BTreeMap::new()).await.is_ok());
}

#[tokio::test]
async fn lists_are_filtered_by_and_and_or() {
    let kms = Kms::new().await;
    let aes = kms.key(&me(), NewKey::default()).await;
    kms.clock.advance(Duration::from_secs(1));
    let ec = kms.key(&me(), NewKey { spec: KeySpec::EcP256, ..NewKey::default() }).await;
    kms.clock.advance(Duration::from_secs(1));
    let here = NewKey { instance: Some(INSTANCE.parse().unwrap()), ..NewKey::default() };
    let moved = kms.key(&me(), here).await;
    kms.service.disable_key(&me(), &ec).await.unwrap();
    kms.service.create_alias(&me(), "alias/x", &aes).await.unwrap();
    let list = |filters: Vec<(KeyFilter, Vec<&str>)>| {
        let filters: KeyFilters = filters
            .into_iter()
            .map(|(f, v)| (f, v.into_iter().map(str::to_owned).collect::<BTreeSet<String>>()))
            .collect();
        let service = &kms.service;
        async move { service.list_keys(&me(), &filters).await.unwrap() }
    };
    assert_eq!(list(vec![]).await, [aes.clone(), ec.clone(), moved.clone()]);
    assert_eq!(list(vec![(KeyFilter::State, vec!["Disabled"])]).await, std::slice::from_ref(&ec));
    assert_eq!(list(vec![(KeyFilter::State, vec!["Disabled", "Enabled"])]).await.len(), 3);
    let both = vec![(KeyFilter::State, vec!["Enabled"]), (KeyFilter::Instance, vec![INSTANCE])];
    assert_eq!(list(both).await, [moved]);
    assert_eq!(list(vec![(KeyFilter::Alias, vec!["alias/x"])]).await, std::slice::from_ref(&aes));
    assert_eq!(list(vec![(KeyFilter::Spec, vec!["EC_P256"])]).await, [ec]);
    assert!(list(vec![(KeyFilter::CreatorType, vec!["Service"])]).await.is_empty());
}

#[tokio::test]
async fn an_unknown_scope_has_no_keys() {
    let kms = Kms::new().await;
    kms.key(&me(), NewKey::default()).await;
    let scope = Scope { account: STRANGER.parse().unwrap(), ..me().scope() };
    assert!(kms.service.catalogue.keys(&scope).await.unwrap().is_empty());
}
