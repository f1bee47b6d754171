//! `doctor --repair`: what was lost comes back from labels, what nothing is known of stays a finding, and what somebody
//! works on is not touched.

use keyferry::audit::Actor;
use keyferry::doctor::{FindingCode, Treatment, examine, repair};
use keyferry::model::{Job, JobState, KeyState, ResourceKind, SecretRecord};
use keyferry::store::{Outcome, Stored, Transaction, get_record};

use crate::world::{Disks, World, entries, instance_id, scope};

const OPERATOR: Actor = Actor::Operator { uid: Some(0) };

/// Loses every record below a prefix.
async fn lose(disks: &Disks, prefix: &str) {
    let end = keyferry::store::prefix_end(prefix.as_bytes());
    let page = disks.control.scan(prefix.as_bytes(), end.as_deref(), 50).await.unwrap();
    assert!(!page.entries.is_empty(), "{prefix}");
    let mut transaction = Transaction::new();
    for (path, _) in page.entries {
        transaction.delete(path);
    }
    assert!(matches!(disks.control.commit(transaction).await.unwrap(), Outcome::Committed(_)));
}

async fn treat(world: &World) -> Treatment {
    repair(world.migrations.service(), &OPERATOR).await.unwrap()
}

async fn secret(world: &World, name: &str) -> Option<Stored<SecretRecord>> {
    world.catalogue().secret(&scope(), &name.parse().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_entries_come_back_from_labels_switched_off() {
    for moved in [false, true] {
        let disks = Disks::default();
        let world = World::open(&disks).await;
        let remembered = world.fill().await;
        if moved {
            let id = world.submit(world.order()).await;
            assert_eq!(world.finish(&id).await.state, JobState::Complete);
        }
        let before = entries(&disks).await;
        let old = secret(&world, "db/password").await.unwrap();
        lose(&disks, "c/key/").await;
        lose(&disks, "c/secret/").await;
        let found = examine(world.migrations.service()).await.unwrap().findings;
        assert_eq!(found.len(), 5);
        assert!(found.iter().all(|finding| finding.code == FindingCode::NotInCatalogue), "{found:?}");

        let treatment = treat(&world).await;
        assert_eq!(treatment.repaired.len(), 5, "{treatment:?}");
        assert!(treatment.examination.findings.is_empty(), "{treatment:?}");
        for known in &remembered {
            let key = world.catalogue().key(&known.key.region, &known.key.id).await.unwrap().unwrap();
            assert_eq!(key.state, KeyState::Disabled, "somebody has to look first");
            let same = |key: &keyferry::model::KeyRecord| {
                (key.incarnation.clone(), key.spec, key.created_at, key.version_count, key.account.clone())
            };
            assert_eq!(same(&key), same(&known.key));
            assert_eq!(key.policy.is_some(), moved, "what lies in an instance has a policy");
            let primary = if known.key.spec.is_asymmetric() { &known.places[0] } else { known.places.last().unwrap() };
            assert_eq!(key.primary_version.as_ref(), Some(&primary.0.version));
        }
        let new = secret(&world, "db/password").await.unwrap();
        assert_eq!((&new.keystore, new.created_at), (&old.keystore, old.created_at));
        // Versions, names and stages were still there, and are as they were.
        let versions = |entries: std::collections::BTreeMap<Vec<u8>, Vec<u8>>| -> Vec<_> {
            entries
                .into_iter()
                .filter(|(key, _)| key.starts_with(b"c/keyver/") || key.starts_with(b"c/secver/"))
                .collect()
        };
        assert_eq!(versions(entries(&disks).await), versions(before));
        assert!(treat(&world).await.repaired.is_empty(), "a second time there is nothing to do");
        let trail = disks.control.scan(b"a/new/", Some(b"a/new0"), usize::MAX).await.unwrap();
        let told =
            trail.entries.iter().filter(|(_, entry)| String::from_utf8_lossy(&entry.value).contains("doctor.repair"));
        assert_eq!(told.count(), 5, "each in the audit trail");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_known_is_not_guessed() {
    let disks = Disks::default();
    let world = World::open(&disks).await;
    let remembered = world.fill().await;
    // The whole catalogue is gone.
    lose(&disks, "c/").await;
    let treatment = treat(&world).await;
    assert_eq!(treatment.repaired.len(), remembered.len(), "{treatment:?}");
    // Which of two versions applications are to get is written nowhere.
    let left = treatment.examination.findings;
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|finding| finding.kind.as_deref() == Some("secret")), "{left:?}");
    assert_eq!(world.catalogue().list(&scope(), ResourceKind::Key).await.unwrap().len(), remembered.len());
    for known in &remembered {
        let key = world.catalogue().key(&known.key.region, &known.key.id).await.unwrap().unwrap();
        let versions = world.catalogue().key_versions(&key.incarnation).await.unwrap();
        assert_eq!(versions.len(), known.places.len());
        assert!(known.places.iter().all(|(place, _)| versions.iter().any(|version| version.id == place.version)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_fell_out_of_the_lists_come_back_as_they_were() {
    let disks = Disks::default();
    let world = World::open(&disks).await;
    world.fill().await;
    let before = entries(&disks).await;
    lose(&disks, "c/index/").await;
    assert!(world.catalogue().list(&scope(), ResourceKind::Key).await.unwrap().is_empty());
    let treatment = treat(&world).await;
    assert_eq!(treatment.repaired.len(), 5, "{treatment:?}");
    assert!(treatment.examination.findings.is_empty(), "{treatment:?}");
    assert_eq!(entries(&disks).await, before, "byte for byte");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_without_a_job_is_found_and_released_and_only_that() {
    let disks = Disks::default();
    let world = World::open(&disks).await;
    world.fill().await;
    let mut order = world.order();
    order.soak = std::time::Duration::from_secs(600);
    let id = world.submit(order).await;
    let runner = world.start();
    let mut changes = world.migrations.changes();
    while world.catalogue().job(&id).await.unwrap().unwrap().state != JobState::Confirming {
        changes.changed().await.unwrap();
    }
    // While the job runs, nothing is anybody else's to repair.
    let treatment = treat(&world).await;
    assert!(treatment.repaired.is_empty() && treatment.examination.findings.is_empty(), "{treatment:?}");
    runner.abort();
    let _ = runner.await;
    let treatment = treat(&world).await;
    assert!(treatment.repaired.is_empty(), "it is left to the next process: {treatment:?}");

    // Its record is lost: nobody will ever end it.
    let path = format!("j/job/{id}").into_bytes();
    let record: Stored<Job> = get_record(disks.control.as_ref(), &path).await.unwrap().unwrap();
    let mut transaction = Transaction::new();
    transaction.remove(&path, &record);
    assert!(matches!(disks.control.commit(transaction).await.unwrap(), Outcome::Committed(_)));
    let found = examine(world.migrations.service()).await.unwrap().findings;
    let stranded = found.iter().filter(|finding| finding.code == FindingCode::StrandedLock).count();
    assert_eq!(stranded, 2, "the scope and the instance: {found:?}");
    let treatment = treat(&world).await;
    assert_eq!(treatment.repaired.len(), 2, "{treatment:?}");
    assert!(world.catalogue().guard(&scope()).await.is_ok());
    assert!(world.catalogue().instance_gate(&instance_id()).await.unwrap().is_none());
    assert!(world.catalogue().quota(&instance_id()).await.unwrap().reserved.is_empty());
    assert!(treatment.examination.findings.iter().all(|finding| finding.code != FindingCode::StrandedLock));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repairing_all_the_time_disturbs_no_migration() {
    let disks = Disks::default();
    let world = World::open(&disks).await;
    let remembered = world.fill().await;
    let mut order = world.order();
    // A job that is quick would leave no time for several rounds.
    order.soak = std::time::Duration::from_secs(1);
    let id = world.submit(order).await;
    let service = world.migrations.service().clone();
    let busy = tokio::spawn(async move {
        let mut rounds = 0_u32;
        while !service.catalogue.job(&id).await.unwrap().unwrap().state.is_final() {
            let treatment = repair(&service, &OPERATOR).await.unwrap();
            assert!(treatment.repaired.is_empty() && treatment.examination.findings.is_empty(), "{treatment:?}");
            rounds += 1;
        }
        rounds
    });
    let submitted = world.catalogue().jobs().await.unwrap().remove(0);
    assert_eq!(world.finish(&submitted.id).await.state, JobState::Complete);
    assert!(busy.await.unwrap() > 3);
    world.assert_moved(&remembered).await;
}
