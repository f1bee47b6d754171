//! Policies of keys and secrets, which only an instance has.

use super::*;
use crate::kms::secrets::testing::rds;

const POLICY: &str = r#"{"Version":"1","Statement":[{"Effect":"Deny","Principal":{"RAM":["acs:ram::1000000000000001:*"]},"Action":"kms:Decrypt","Resource":["*"]}]}"#;

#[tokio::test]
async fn an_instance_key_keeps_the_policy_that_was_set_and_a_shared_one_has_none() {
    let kms = Kms::new().await;
    let service = &kms.service;
    let there = kms.key(&me(), NewKey { instance: Some(INSTANCE.parse().unwrap()), ..NewKey::default() }).await;
    assert_eq!(
        service.key_policy(&me(), &there).await.unwrap(),
        default_policy(crate::model::ResourceKind::Key, &me().account)
    );
    service.set_key_policy(&me(), &there, POLICY).await.unwrap();
    assert_eq!(service.key_policy(&me(), &there).await.unwrap(), POLICY);
    let shared = kms.key(&me(), NewKey::default()).await;
    assert!(matches!(service.key_policy(&me(), &shared).await, Err(KmsError::UnsupportedOperation(_))));
    assert!(matches!(service.set_key_policy(&me(), &shared, POLICY).await, Err(KmsError::UnsupportedOperation(_))));
    // A foreign key is a missing one.
    let foreign = service.set_key_policy(&caller(STRANGER), &there, POLICY).await;
    assert!(matches!(foreign, Err(KmsError::KeyNotFound)));
    service.schedule_key_deletion(&me(), &there, 7).await.unwrap();
    let late = service.set_key_policy(&me(), &there, POLICY).await;
    assert!(matches!(late, Err(KmsError::KeyState("PendingDeletion"))));
    assert_eq!(service.key_policy(&me(), &there).await.unwrap(), POLICY);
}

#[tokio::test]
async fn a_secret_has_one_in_an_instance_only() {
    let kms = Kms::new().await;
    let service = &kms.service;
    let order = rds("managed");
    service.create_secret(&me(), &order).await.unwrap();
    assert!(matches!(
        service.secret_policy(&me(), &order.name.parse().unwrap()).await,
        Err(KmsError::UnsupportedOperation(_))
    ));
    let key = kms.key(&me(), NewKey { instance: Some(INSTANCE.parse().unwrap()), ..NewKey::default() }).await;
    let mut order = rds("there");
    order.instance = Some(INSTANCE.parse().unwrap());
    order.encryption_key = Some(by_id(&key));
    service.create_secret(&me(), &order).await.unwrap();
    let name = order.name.parse().unwrap();
    service.set_secret_policy(&me(), &name, POLICY).await.unwrap();
    assert_eq!(service.secret_policy(&me(), &name).await.unwrap(), POLICY);
}

#[test]
fn what_is_no_policy_is_refused() {
    assert!(check_policy(POLICY).is_ok());
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"Version":1,"Statement":[]}"#,
        r#"{"Version":"2","Statement":[]}"#,
        r#"{"Version":"1","Statement":{}}"#,
        r#"{"Version":"1","Statement":[1]}"#,
        r#"{"Version":"1","Statement":[{"Action":"kms:*"}]}"#,
        r#"{"Version":"1","Statement":[{"Effect":"allow","Action":"kms:*"}]}"#,
        r#"{"Version":"1","Statement":[{"Effect":"Allow"}]}"#,
        r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":[1]}]}"#,
        r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":{}}]}"#,
        r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"kms:*","Principal":"*"}]}"#,
    ] {
        assert!(matches!(check_policy(bad), Err(KmsError::InvalidParameterBecause { name: "Policy", .. })), "{bad}");
    }
    let long = format!(r#"{{"Version":"1","Statement":[],"x":"{}"}}"#, "a".repeat(32_768));
    assert!(check_policy(&long).is_err());
}
