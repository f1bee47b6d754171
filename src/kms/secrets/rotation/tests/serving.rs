//! Rotators that come, go, and are several.

use super::*;

#[tokio::test]
async fn a_rotator_that_comes_later_serves_what_was_due() {
    let (kms, rotator) = world().await;
    let service = &kms.service;
    service.rotators.replace(Vec::new());
    service.create_secret(&caller(OWNER), &rds("db")).await.unwrap();
    kms.clock.advance(DAY * 7);
    assert_eq!(due(service).await, DueReport { unserved: 1, ..DueReport::default() });
    assert_eq!(due(service).await, DueReport::default());
    // With the next reload, and with the next start.
    let restarted = next_process(&kms, &rotator);
    service.rotators.replace(vec![serving(&rotator)]);
    assert_eq!((due(&restarted).await.begun, due(service).await), (1, DueReport::default()));
    assert_eq!(run(service).await.rotated, 1);
}

#[tokio::test]
async fn a_rotation_whose_rotator_goes_waits_for_another() {
    let (kms, rotator) = world().await;
    let service = &kms.service;
    service.create_secret(&caller(OWNER), &rds("db")).await.unwrap();
    kms.clock.advance(DAY * 7);
    due(service).await;
    rotator.then([Reply::Lost]);
    assert_eq!(run(service).await.failed, 1);
    service.rotators.replace(Vec::new());
    kms.clock.advance(Duration::from_secs(5));
    assert_eq!(run(service).await, RotationReport::default());
    // Nobody can end it, so it does not hold a migration up.
    assert!(!record(service, "db").await.unwrap().in_flight);
    let mut job = migrating::Job::close(&kms).await;
    job.lock().await.unwrap();
    job.unlock().await;
    service.rotators.replace(vec![serving(&rotator)]);
    kms.clock.advance(Duration::from_secs(60));
    assert_eq!(run(service).await.rotated, 1);
    assert!(rotator.asked()[0] == rotator.asked()[1]);
}

#[tokio::test]
async fn the_first_rotator_that_fits_serves() {
    let (kms, _) = world().await;
    let service = &kms.service;
    service.create_secret(&caller(OWNER), &rds("db/a")).await.unwrap();
    let found = secret(service, "db/a").await;
    let rule = |edit: fn(&mut Rule)| {
        let mut rule = Rule::default();
        edit(&mut rule);
        rule.serves(&found)
    };
    assert!(rule(|_| {}));
    assert!(rule(|rule| rule.types = vec![SecretType::Rds]) && !rule(|rule| rule.types = vec![SecretType::ECS]));
    assert!(rule(|rule| rule.accounts = [OWNER.parse().unwrap()].into()));
    assert!(!rule(|rule| rule.accounts = [FRIEND.parse().unwrap()].into()));
    assert!(rule(|rule| rule.names = vec!["db/*".parse().unwrap()]));
    assert!(!rule(|rule| rule.names = vec!["db".parse().unwrap(), "x*".parse().unwrap()]));
    assert!(rule(|rule| rule.targets = ["rm-1".to_owned()].into()));
    assert!(!rule(|rule| rule.targets = ["rm-2".to_owned()].into()));
    let plain = SecretRecord { secret_type: SecretType::Generic, ..found.clone() };
    assert!(!Rule::default().serves(&plain));
    let (first, second) = (Arc::new(Scripted::default()), Arc::new(Scripted::default()));
    let named = |text: &str, rotator| Serving { name: text.to_owned(), ..serving(rotator) };
    service.rotators.replace(vec![named("a", &first), named("b", &second)]);
    assert_eq!(service.rotators.of(&found).unwrap().name, "a");
}
