//! Rotations and a migration that closes the gate of their scope.

use super::*;

/// A job that has closed the gate of the owner's scope.
pub(super) struct Job<'a> {
    kms: &'a Kms,
    lease: crate::catalogue::Lease,
    stored: crate::store::Stored<crate::model::Job>,
}

impl<'a> Job<'a> {
    pub(super) async fn close(kms: &'a Kms) -> Self {
        let catalogue = &kms.service.catalogue;
        let now = kms.service.clock.now();
        let job = job(&caller(OWNER).scope(), now);
        catalogue.create_jobs(std::slice::from_ref(&job), Transaction::new()).await.unwrap();
        let lease = catalogue.take_over(&job.id, "worker-1", now).await.unwrap();
        let stored = catalogue.job(&job.id).await.unwrap().unwrap();
        catalogue.close_gate(&lease, &stored, Demand::default(), now).await.unwrap();
        let stored = catalogue.job(&job.id).await.unwrap().unwrap();
        Self { kms, lease, stored }
    }

    pub(super) async fn lock(&mut self) -> Result<(), CatalogueError> {
        let catalogue = &self.kms.service.catalogue;
        catalogue.put_lock(&self.lease, &self.stored, self.kms.service.clock.now()).await?;
        self.stored = catalogue.job(&self.stored.id).await.unwrap().unwrap();
        Ok(())
    }

    pub(super) async fn unlock(self) {
        self.kms.service.catalogue.unlock(&self.lease, &self.stored, Demand::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_lock_waits_for_a_rotation_in_flight_and_no_rotation_moves_in_a_locked_scope() {
    let (kms, rotator) = world().await;
    let service = &kms.service;
    for secret in ["flying", "begun", "late"] {
        service.create_secret(&caller(OWNER), &rds(secret)).await.unwrap();
    }
    service.update_secret_rotation(&caller(OWNER), &name("late"), RotationOrder::default()).await.unwrap();
    let elsewhere = caller(FRIEND);
    service.create_secret(&elsewhere, &rds("other")).await.unwrap();
    kms.clock.advance(DAY * 7);
    assert_eq!(due(service).await.begun, 3);
    // One is called, and nobody knows with what result.
    rotator.then([Reply::Lost]);
    let scope = caller(OWNER).scope();
    assert_eq!(service.drive_rotation(&scope, &name("flying")).await.unwrap(), Driven::Failed("no answer".to_owned()));
    let mut job = Job::close(&kms).await;
    assert!(matches!(job.lock().await, Err(CatalogueError::Conflict)), "the rotation in flight holds it up");
    // What was not in flight stays so, and nothing new begins; another account is not concerned.
    let report = run(service).await;
    assert_eq!(report, RotationReport { rotated: 1, waiting: 1, ..RotationReport::default() });
    let when = RotationOrder { enabled: true, interval: Some(DAY) };
    let refused = service.update_secret_rotation(&caller(OWNER), &name("late"), when).await;
    assert!(matches!(refused, Err(KmsError::Migrating(_))));
    let refused = service.rotate_secret(&caller(OWNER), &name("late"), &"v9".parse().unwrap()).await;
    assert!(matches!(refused, Err(KmsError::Migrating(_))));
    // The one in flight does not wait for its pause while a migration waits for it, and finishes behind the gate.
    kms.clock.advance(Duration::from_secs(2));
    assert_eq!(run(service).await.rotated, 1);
    assert_eq!(at(service, "flying", "ACSPrevious").await["AccountPassword"], "p1");
    job.lock().await.unwrap();
    let asked = rotator.asked().len();
    kms.clock.advance(DAY);
    let before = service.catalogue.secrets(&scope).await.unwrap();
    assert_eq!(run(service).await, RotationReport { waiting: 1, ..RotationReport::default() });
    assert_eq!(service.drive_rotation(&scope, &name("begun")).await.unwrap(), Driven::Waiting);
    assert_eq!((rotator.asked().len(), service.catalogue.secrets(&scope).await.unwrap()), (asked, before));
    job.unlock().await;
    assert_eq!(run(service).await.rotated, 1);
    assert_eq!(at(service, "begun", "ACSPrevious").await["AccountPassword"], "p1");
}

#[tokio::test]
async fn a_mark_holds_a_rotation_back_even_before_its_first_try() {
    let (kms, rotator) = world().await;
    let service = &kms.service;
    service.create_secret(&caller(OWNER), &rds("db")).await.unwrap();
    let mut job = Job::close(&kms).await;
    job.lock().await.unwrap();
    let locked = service.catalogue.locked(&job.lease, &caller(OWNER).scope()).await.unwrap();
    service.catalogue.set_marks(&locked, &[ResourceId::Secret(name("db"))]).await.unwrap();
    kms.clock.advance(DAY * 7);
    assert_eq!(due(service).await, DueReport { waiting: 1, ..DueReport::default() });
    assert!(record(service, "db").await.is_none() && rotator.asked().is_empty());
    service.catalogue.clear_marks(&job.lease, &caller(OWNER).scope()).await.unwrap();
    job.unlock().await;
    assert_eq!((due(service).await.begun, run(service).await.rotated), (1, 1));
}

#[tokio::test]
async fn what_failed_for_certain_does_not_hold_a_migration_up() {
    let (kms, rotator) = world().await;
    let service = &kms.service;
    service.create_secret(&caller(OWNER), &rds("db")).await.unwrap();
    kms.clock.advance(DAY * 7);
    due(service).await;
    rotator.then([Reply::No]);
    assert_eq!(run(service).await.failed, 1);
    let mut job = Job::close(&kms).await;
    job.lock().await.unwrap();
    job.unlock().await;
    kms.clock.advance(DAY);
    assert_eq!(run(service).await.rotated, 1);
}
