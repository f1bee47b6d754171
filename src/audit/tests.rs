//! The trail attacked in its store: every change, deletion, reordering and truncation shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::model::{SystemClock, SystemRandom};
use crate::store::memory::MemoryStore;
use crate::store::{Store as _, Transaction};

const ENTRIES: u64 = 120;

struct Planted {
    store: SharedStore,
    trail: Trail,
}

impl Planted {
    fn new() -> Self {
        let store: SharedStore = Arc::new(MemoryStore::new());
        let identity = Identity::generate(&SystemRandom).unwrap();
        let trail = Trail::new(Arc::clone(&store), Arc::new(SystemClock::default()), Some(identity));
        Self { store, trail }
    }

    /// 120 entries over three batches, a head signed after each half.
    async fn filled() -> (Self, Head) {
        let planted = Self::new();
        for n in 0..ENTRIES {
            planted.put(n).await;
            if n == ENTRIES / 2 {
                planted.trail.sign_head().await.unwrap();
            }
        }
        let head = planted.trail.sign_head().await.unwrap().head;
        assert_eq!(head.place, ENTRIES);
        (planted, head)
    }

    async fn put(&self, n: u64) {
        let mut transaction = Transaction::new();
        transaction.put(format!("record-{n}"), "x");
        entry(n).put(&mut transaction).unwrap();
        assert!(matches!(self.store.commit(transaction).await.unwrap(), crate::store::Outcome::Committed(_)));
    }

    async fn all(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let page = self.store.scan(b"a/", Some(b"a0"), usize::MAX).await.unwrap();
        page.entries.into_iter().map(|(key, value)| (key, value.value)).collect()
    }

    /// Writes to the store past every rule; `None` deletes.
    async fn plant(&self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let mut transaction = Transaction::new();
        match value {
            Some(value) => transaction.put(key, value),
            None => transaction.delete(key),
        };
        assert!(matches!(self.store.commit(transaction).await.unwrap(), crate::store::Outcome::Committed(_)));
    }

    async fn findings(&self, given: Option<Head>) -> Vec<Finding> {
        self.trail.verify(given).await.unwrap().findings
    }
}

fn entry(n: u64) -> Entry {
    Entry::new(Timestamp::from_second(1_800_000_000).unwrap(), Actor::Daemon, "test").detail(&format!("number {n}"))
}

#[tokio::test]
async fn an_untouched_trail_is_intact_and_in_the_order_of_the_commits() {
    let (planted, head) = Planted::filled().await;
    planted.put(ENTRIES).await;
    let verdict = planted.trail.verify(Some(head)).await.unwrap();
    assert_eq!((verdict.entries, verdict.pending, verdict.signed), (ENTRIES, 1, 2));
    assert_eq!(verdict.findings, []);
    let links = planted.all().await.into_iter().filter(|(key, _)| key.starts_with(paths::LINKS));
    for ((_, value), n) in links.zip(0..) {
        let text = String::from_utf8_lossy(&value).into_owned();
        assert!(text.contains(&format!("\"number {n}\"")), "{n}: {text}");
    }
    // A head is what the log shows of it, and an old one still holds when the trail has grown.
    assert_eq!(head.to_string().parse::<Head>().unwrap(), head);
    planted.trail.chain().await.unwrap();
    assert_eq!(planted.findings(Some(head)).await, []);
    assert!(planted.trail.head().await.unwrap().place > head.place);
}

#[tokio::test]
async fn every_bit_of_an_entry_counts() {
    let (planted, _) = Planted::filled().await;
    let key = paths::link(7);
    let value = planted.all().await[&key].clone();
    for at in 0..value.len() {
        let mut changed = value.clone();
        changed[at] ^= 1 << (at % 8);
        planted.plant(key.clone(), Some(changed)).await;
        let findings = planted.findings(None).await;
        assert!(findings.contains(&Finding::Changed(7)), "byte {at}: {findings:?}");
    }
    planted.plant(key, Some(value)).await;
    assert_eq!(planted.findings(None).await, []);
}

#[tokio::test]
async fn a_changed_entry_with_every_link_after_it_made_anew_is_found_by_signature_and_by_head() {
    let (planted, head) = Planted::filled().await;
    // As somebody would who knows this program and can write to the store, but has no key.
    let links = planted.all().await.into_iter().filter(|(key, _)| key.starts_with(paths::LINKS));
    let mut before = chain::genesis();
    for ((key, value), place) in links.zip(1_u64..) {
        let (_, revision, bytes) = chain::parts(&value).unwrap();
        let bytes = if place == 3 {
            String::from_utf8(bytes.to_vec()).unwrap().replace("number 2", "number 9").into_bytes()
        } else {
            bytes.to_vec()
        };
        before = chain::link(&before, place, revision, &bytes);
        planted.plant(key, Some([before.as_slice(), &revision.to_be_bytes(), &bytes].concat())).await;
    }
    let mut transaction = Transaction::new();
    transaction.overwrite(paths::HEAD, &chain::HeadRecord { place: ENTRIES, link: before }).unwrap();
    let _ = planted.store.commit(transaction).await.unwrap();
    let findings = planted.findings(None).await;
    assert!(findings.iter().any(|f| matches!(f, Finding::SignedDiffers { number: 2, .. })), "{findings:?}");
    // Without the signed heads only a head from elsewhere tells.
    for number in 1..=2 {
        planted.plant(paths::signed(number), None).await;
    }
    assert_eq!(planted.findings(None).await, []);
    assert_eq!(planted.findings(Some(head)).await, [Finding::Other(ENTRIES)]);
    // Nor does a signature by somebody else's key help.
    let other = Identity::generate(&SystemRandom).unwrap();
    let forger = Trail::new(Arc::clone(&planted.store), Arc::new(SystemClock::default()), Some(other));
    forger.sign_head().await.unwrap();
    assert!(matches!(planted.findings(None).await.as_slice(), [Finding::Foreign { number: 1, .. }]));
}

#[tokio::test]
async fn deletion_shows() {
    for place in [1, 50, ENTRIES] {
        let (planted, _) = Planted::filled().await;
        planted.plant(paths::link(place), None).await;
        assert!(planted.findings(None).await.contains(&Finding::Missing(place, place)), "{place}");
    }
    // The ones behind it moved up, so that no place is missing.
    let (planted, _) = Planted::filled().await;
    let all = planted.all().await;
    for place in 50..ENTRIES {
        planted.plant(paths::link(place), Some(all[&paths::link(place + 1)].clone())).await;
    }
    planted.plant(paths::link(ENTRIES), None).await;
    assert!(planted.findings(None).await.contains(&Finding::Changed(50)));
}

#[tokio::test]
async fn reordering_shows() {
    let (planted, _) = Planted::filled().await;
    let all = planted.all().await;
    let (a, b) = (paths::link(10), paths::link(11));
    planted.plant(a.clone(), Some(all[&b].clone())).await;
    planted.plant(b, Some(all[&a].clone())).await;
    assert!(planted.findings(None).await.contains(&Finding::Changed(10)));
}

#[tokio::test]
async fn truncation_shows() {
    let (planted, head) = Planted::filled().await;
    let older = planted.all().await;
    planted.put(ENTRIES).await;
    planted.put(ENTRIES + 1).await;
    let newer = planted.trail.sign_head().await.unwrap().head;
    // The whole trail put back to what it was a moment ago, signed heads and all: only a head from the log knows.
    for key in planted.all().await.into_keys() {
        planted.plant(key.clone(), older.get(&key).cloned()).await;
    }
    assert_eq!(planted.findings(None).await, []);
    assert_eq!(planted.findings(Some(head)).await, []);
    let cut = Finding::Truncated { end: ENTRIES, given: newer.place };
    assert_eq!(planted.findings(Some(newer)).await, [cut]);

    // The tail cut off without the head, the head set back without the tail, and without the signed head.
    let (planted, _) = Planted::filled().await;
    let all = planted.all().await;
    planted.plant(paths::link(ENTRIES), None).await;
    assert!(planted.findings(None).await.contains(&Finding::Missing(ENTRIES, ENTRIES)));
    planted.plant(paths::link(ENTRIES), Some(all[&paths::link(ENTRIES)].clone())).await;
    let (link, ..) = chain::parts(&all[&paths::link(100)]).unwrap();
    let mut transaction = Transaction::new();
    transaction.overwrite(paths::HEAD, &chain::HeadRecord { place: 100, link }).unwrap();
    let _ = planted.store.commit(transaction).await.unwrap();
    let findings = planted.findings(None).await;
    assert!(findings.contains(&Finding::Beyond(101)), "{findings:?}");
    for place in 101..=ENTRIES {
        planted.plant(paths::link(place), None).await;
    }
    assert_eq!(planted.findings(None).await, [Finding::SignedDiffers { number: 2, place: ENTRIES }]);
    // No head, or one that cannot be read.
    for head in [None, Some(b"rubbish".to_vec())] {
        planted.plant(paths::HEAD.to_vec(), head).await;
        assert!(!planted.findings(None).await.is_empty());
    }
}

#[tokio::test]
async fn signed_heads_cannot_be_changed_or_taken_out_of_their_midst() {
    let (planted, _) = Planted::filled().await;
    planted.put(ENTRIES).await;
    planted.trail.sign_head().await.unwrap();
    let all = planted.all().await;
    planted.plant(paths::signed(2), None).await;
    assert_eq!(planted.findings(None).await, [Finding::SignedMissing(2)]);
    planted.plant(paths::signed(2), Some(all[&paths::signed(3)].clone())).await;
    assert!(planted.findings(None).await.contains(&Finding::SignedMissing(2)));
    let forged = String::from_utf8(all[&paths::signed(2)].clone()).unwrap().replace("\"place\":120", "\"place\":119");
    planted.plant(paths::signed(2), Some(forged.into_bytes())).await;
    assert!(planted.findings(None).await.contains(&Finding::SignedFalse(2)));
    planted.plant(paths::signed(2), Some(all[&paths::signed(2)].clone())).await;
    assert_eq!(planted.findings(None).await, []);
}

#[tokio::test]
async fn a_head_is_signed_once_and_numbered_without_a_gap() {
    let planted = Planted::new();
    assert_eq!(planted.trail.sign_head().await.unwrap().number, 1);
    for n in 0..40 {
        planted.put(n).await;
        let signed = planted.trail.sign_head().await.unwrap();
        assert_eq!((signed.number, signed.head.place), (n + 2, n + 1));
        assert_eq!(planted.trail.sign_head().await.unwrap(), signed);
    }
    assert_eq!(planted.findings(None).await, []);
}

#[tokio::test]
async fn chaining_cut_off_at_any_point_loses_and_doubles_nothing() {
    // A chainer whose commit is written but not heard of, or that works beside another, tries again.
    let planted = Planted::new();
    for n in 0..ENTRIES {
        planted.put(n).await;
    }
    let other = Trail::new(Arc::clone(&planted.store), Arc::new(SystemClock::default()), None);
    while !planted.findings(None).await.is_empty() || planted.trail.verify(None).await.unwrap().pending > 0 {
        let (one, two) = tokio::join!(planted.trail.chain(), other.chain());
        assert!(one.is_ok() || two.is_ok());
    }
    let verdict = planted.trail.verify(None).await.unwrap();
    assert_eq!((verdict.entries, verdict.findings.len()), (ENTRIES, 0));
}

#[tokio::test]
async fn a_report_altered_or_removed_shows() {
    let planted = Planted::new();
    let job: crate::model::JobId = "job-0198a1b2c3d4e5f60718".parse().unwrap();
    let scope =
        crate::model::Scope { region: "cn-hangzhou".parse().unwrap(), account: "1000000000000001".parse().unwrap() };
    // Longer than one transaction may be.
    let text = "a report; ".repeat(200_000);
    let signed = planted.trail.file_report(&job, &scope, &text).await.unwrap();
    assert_eq!(planted.trail.file_report(&job, &scope, "another").await.unwrap(), signed);
    let stored = read_report(planted.store.as_ref(), &job).await.unwrap().unwrap();
    assert!(stored.is_intact() && stored.text == text.as_bytes());
    // Also before its entry is chained.
    assert_eq!(planted.findings(None).await, []);
    planted.trail.chain().await.unwrap();
    assert_eq!(planted.findings(None).await, []);
    assert_eq!(planted.trail.verify(None).await.unwrap().reports, 1);

    let all = planted.all().await;
    let part = paths::report_part(&job, 3);
    let mut altered = all[&part].clone();
    altered[5] ^= 1;
    planted.plant(part.clone(), Some(altered)).await;
    assert_eq!(planted.findings(None).await, [Finding::ReportChanged(job.to_string())]);
    planted.plant(part.clone(), None).await;
    assert_eq!(planted.findings(None).await, [Finding::ReportChanged(job.to_string())]);
    planted.plant(part.clone(), Some(all[&part].clone())).await;
    planted.plant(paths::report(&job), None).await;
    assert_eq!(planted.findings(None).await, [Finding::ReportMissing(job.to_string())]);
    // Another one in its place, signed by whoever has the key, is not the one the trail knows.
    planted.trail.file_report(&job, &scope, "another").await.unwrap();
    assert!(planted.findings(None).await.contains(&Finding::ReportChanged(job.to_string())));
    // And one that the trail never heard of.
    planted.plant(paths::report(&job), Some(all[&paths::report(&job)].clone())).await;
    let stranger = "job-0198a1b2c3d4e5f60719".parse().unwrap();
    let header = String::from_utf8(all[&paths::report(&job)].clone()).unwrap().replace("60718", "60719");
    planted.plant(paths::report(&stranger), Some(header.into_bytes())).await;
    assert!(planted.findings(None).await.contains(&Finding::ReportUnknown(stranger.to_string())));
}

#[tokio::test]
async fn an_entry_goes_with_the_first_transaction_or_alone() {
    let planted = Planted::new();
    let recording = Recording::new(Arc::clone(&planted.store), entry(1));
    let mut conflicting = Transaction::new();
    conflicting.compare(crate::store::Compare::Present(b"nothing".to_vec())).put("k", "v");
    assert_eq!(recording.commit(conflicting).await.unwrap(), crate::store::Outcome::Conflict);
    assert_eq!(planted.trail.chain().await.unwrap(), 0);
    for _ in 0..2 {
        let mut transaction = Transaction::new();
        transaction.put("k", "v");
        let _ = recording.commit(transaction).await.unwrap();
    }
    recording.settle("ok").await.unwrap();
    assert_eq!(planted.trail.chain().await.unwrap(), 1);
    let refused = Recording::new(Arc::clone(&planted.store), entry(2));
    refused.settle("Refused").await.unwrap();
    assert_eq!(planted.trail.chain().await.unwrap(), 1);
    let newest = &planted.all().await[&paths::link(2)];
    assert!(String::from_utf8_lossy(newest).contains("\"outcome\":\"Refused\""));
}

#[test]
fn an_entry_fits_into_one_value_whatever_it_names() {
    let mut long = entry(1).detail(&"\u{1}".repeat(5000));
    for n in 0..400 {
        long.resources.push(format!("secret/{n}-{}", "s".repeat(192)));
    }
    let mut transaction = Transaction::new();
    long.put(&mut transaction).unwrap();
    transaction.check().unwrap();
    assert_eq!(transaction.operations().len(), 1);
    let text = format!("{:?}", String::from_utf8_lossy(&written(&transaction)));
    assert!(text.contains("more"), "{text}");
}

fn written(transaction: &Transaction) -> Vec<u8> {
    match transaction.operations() {
        [crate::store::Operation::Put(_, value)] => value.clone(),
        other => panic!("{other:?}"),
    }
}
