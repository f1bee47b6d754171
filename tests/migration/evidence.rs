//! What a job leaves as evidence: its entries in the audit trail, in the transactions of what they record, and its report.

use std::sync::Arc;

use keyferry::audit::{Entry, Finding, Trail};
use keyferry::crypto::identity::Identity;
use keyferry::model::{JobState, Report, SystemClock, SystemRandom};
use keyferry::store::{Stored, decode};

use crate::world::{Disks, World, scope};

fn trail(disks: &Disks) -> Trail {
    let identity = Identity::generate(&SystemRandom).unwrap();
    Trail::new(Arc::clone(&disks.control), Arc::new(SystemClock::default()), Some(identity))
}

/// Entries that are not chained, in the order of the commits.
async fn entries(disks: &Disks) -> Vec<Stored<Entry>> {
    let page = disks.control.scan(b"a/new/", Some(b"a/new0"), usize::MAX).await.unwrap();
    let mut found: Vec<Stored<Entry>> =
        page.entries.iter().map(|(key, value)| decode(key, value, &[]).unwrap()).collect();
    // As the chainer does: within a transaction by their bytes.
    found.sort_by_key(|entry| (entry.revision(), serde_json::to_string(&**entry).unwrap()));
    found
}

fn said(entries: &[Stored<Entry>]) -> Vec<String> {
    let say = |entry: &Stored<Entry>| match (entry.action.as_str(), &entry.detail) {
        ("job.step", Some(detail)) => detail.clone(),
        (action, _) => action.to_owned(),
    };
    entries.iter().map(say).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_a_job_is_in_the_trail_and_its_report_says_what_was_proved() {
    let disks = Disks::default();
    let world = World::open(&disks).await;
    let remembered = world.fill().await;
    let id = world.submit(world.order()).await;
    let job = world.finish(&id).await;
    assert_eq!(job.state, JobState::Complete, "{:?}", job.failure);
    let found = entries(&disks).await;
    assert_eq!(
        said(&found),
        [
            "job.queued",
            "job.take_over",
            "queued -> preflight",
            "preflight -> closing",
            "job.gate",
            "job.lock",
            "closing -> locked",
            "locked -> rotation_off",
            "rotation_off -> copying",
            "copying -> verifying",
            "verifying -> activating",
            "activating -> cutting_over",
            "job.cut_over",
            "job.cut_over",
            "cutting_over -> confirming",
            "confirming -> purging",
            "purging -> rotation_on",
            "rotation_on -> unlocking",
            "unlocking -> complete",
            "job.unlock",
        ]
    );
    // A batch of flips is one entry that names what flipped, committed with the flips; keys go before secrets.
    let flips: Vec<_> = found.iter().filter(|entry| entry.action == "job.cut_over").collect();
    assert_eq!(flips.iter().map(|entry| entry.resources.len()).collect::<Vec<_>>(), [3, 2]);
    let page = disks.control.scan(b"c/secret/", Some(b"c/secret0"), 10).await.unwrap();
    assert!(page.entries.iter().all(|(_, secret)| secret.revision == flips[1].revision()));

    let report = world.migrations.report(&job).await.unwrap();
    assert!(report.resources.iter().all(|resource| resource.moved));
    let versions: Vec<_> = report.resources.iter().flat_map(|resource| &resource.versions).collect();
    assert_eq!(versions.len(), 8);
    assert!(versions.iter().all(|version| version.copy_proved_at < version.served_proved_at));
    let secret = report.resources.iter().find(|resource| resource.resource.name() == "db/password").unwrap();
    assert_eq!(secret.versions.iter().map(|version| version.id.as_str()).collect::<Vec<_>>(), ["v1", "v2"]);
    assert_eq!(report.rotation.len(), 1);
    assert_eq!(report.rotation[0].resource.name(), remembered[0].key.id.as_str());
    assert_eq!(Some(&report.rotation[0].before), report.rotation[0].after.as_ref());
    assert!(!report.rotation[0].held);
    assert_eq!((report.asked_by.as_deref(), report.blocked_millis.is_some()), (Some("the daemon"), true));
    assert_eq!((report.from.as_str(), report.to.as_str()), ("shared:cn-hangzhou", "kst-hzz1"));

    // Filed, it reads back as it was; neither it nor the trail holds a value.
    let trail = trail(&disks);
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    trail.file_report(&id, &scope(), &text).await.unwrap();
    let head = trail.sign_head().await.unwrap().head;
    let verdict = trail.verify(Some(head)).await.unwrap();
    assert_eq!((verdict.findings, verdict.reports), (Vec::<Finding>::new(), 1));
    for (key, value) in disks.control.scan(b"a/", Some(b"a0"), usize::MAX).await.unwrap().entries {
        let text = String::from_utf8_lossy(&value.value).into_owned();
        assert!(!text.contains(" value 1") && !text.contains(" value 2"), "{}", String::from_utf8_lossy(&key));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsal_proves_and_moves_nothing() {
    let disks = Disks::default();
    let world = World::open(&disks).await;
    world.fill().await;
    let order = keyferry::migration::Order { rehearsal: true, ..world.order() };
    let id = world.submit(order).await;
    let job = world.finish(&id).await;
    assert_eq!(job.state, JobState::Rehearsed, "{:?}", job.failure);
    let report = world.migrations.report(&job).await.unwrap();
    let versions: Vec<_> = report.resources.iter().flat_map(|resource| &resource.versions).collect();
    assert_eq!(versions.len(), 8);
    assert!(versions.iter().all(|version| version.copy_proved_at.is_some() && version.served_proved_at.is_none()));
    assert!(report.resources.iter().all(|resource| !resource.moved));
    let said = said(&entries(&disks).await);
    assert!(said.ends_with(&["rolling_back -> rehearsed".to_owned(), "job.unlock".to_owned()]), "{said:?}");
}
