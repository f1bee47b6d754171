#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::model::SystemRandom;

fn open(directory: &Path) -> FileSlots {
    FileSlots::open(&directory.join("slots"), Arc::new(SystemRandom)).unwrap()
}

#[tokio::test]
async fn a_slot_is_written_once_read_replaced_and_gone() {
    let directory = tempfile::tempdir().unwrap();
    let slots = open(directory.path());
    let name = SlotName::generate(&SystemRandom);
    assert_eq!(slots.read(&name).await.unwrap(), None);
    slots.create(&name, b"first").await.unwrap();
    assert!(matches!(slots.create(&name, b"second").await, Err(SlotError::Exists(_))));
    assert_eq!(open(directory.path()).read(&name).await.unwrap().unwrap(), b"first");
    let mode = fs::metadata(slots.inner.path(&name, "")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    slots.replace(&name, b"second").await.unwrap();
    assert_eq!(slots.read(&name).await.unwrap().unwrap(), b"second");
    slots.shred(&name).await.unwrap();
    slots.shred(&name).await.unwrap();
    assert_eq!(slots.read(&name).await.unwrap(), None);
    assert_eq!(fs::read_dir(directory.path().join("slots")).unwrap().count(), 0);
}

/// A second name of the same file shows what became of its content.
#[tokio::test]
async fn what_goes_was_overwritten_before() {
    let directory = tempfile::tempdir().unwrap();
    let slots = open(directory.path());
    let content = vec![7; 1300];
    for replaced in [false, true] {
        let name = SlotName::generate(&SystemRandom);
        let witness = directory.path().join(format!("witness-{replaced}"));
        slots.create(&name, &content).await.unwrap();
        fs::hard_link(slots.inner.path(&name, ""), &witness).unwrap();
        if replaced {
            slots.replace(&name, b"other").await.unwrap();
        } else {
            slots.shred(&name).await.unwrap();
        }
        let left = fs::read(&witness).unwrap();
        assert_eq!(left.len(), content.len());
        let same = left.iter().zip(&content).filter(|(a, b)| a == b).count();
        assert!(same < 40, "{same} bytes are as before");
    }
}

#[tokio::test]
async fn a_replacement_that_was_cut_shows_one_whole_content() {
    let directory = tempfile::tempdir().unwrap();
    let slots = open(directory.path());
    let name = SlotName::generate(&SystemRandom);
    slots.create(&name, b"old").await.unwrap();
    fs::write(slots.inner.path(&name, PART), b"ne").unwrap();
    assert_eq!(slots.read(&name).await.unwrap().unwrap(), b"old");
    // Cut while the old content was being overwritten.
    fs::write(slots.inner.path(&name, NEXT), b"new").unwrap();
    fs::write(slots.inner.path(&name, ""), b"###").unwrap();
    assert_eq!(slots.read(&name).await.unwrap().unwrap(), b"new");
    fs::remove_file(slots.inner.path(&name, "")).unwrap();
    assert_eq!(slots.read(&name).await.unwrap().unwrap(), b"new");
    slots.replace(&name, b"newer").await.unwrap();
    assert_eq!(slots.read(&name).await.unwrap().unwrap(), b"newer");
    assert_eq!(fs::read_dir(directory.path().join("slots")).unwrap().count(), 1);
    fs::write(slots.inner.path(&name, PART), b"ne").unwrap();
    slots.shred(&name).await.unwrap();
    assert_eq!(fs::read_dir(directory.path().join("slots")).unwrap().count(), 0);
}
