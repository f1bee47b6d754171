#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use super::super::writing::Writer;
use super::super::{NeededKey, PartKind};
use super::*;
use crate::model::SystemRandom;
use crate::store::memory::MemoryStore;
use crate::store::{Outcome, Store, Transaction};

fn key(byte: u8) -> ArchiveKey {
    ArchiveKey::new(Zeroizing::new([byte; 32]))
}

fn manifest() -> Manifest {
    let root_keys = vec![NeededKey { keystore: "kst-a".to_owned(), id: "0011223344556677".to_owned() }];
    Manifest { version: "1".to_owned(), at: "2026-12-01T02:00:00Z".parse().unwrap(), root_keys }
}

async fn filled(values: usize) -> MemoryStore {
    let store = MemoryStore::new();
    for n in 0..values {
        let mut transaction = Transaction::new();
        transaction.put(format!("k/{n:04}").into_bytes(), vec![u8::try_from(n % 251).unwrap(); n * 97 % 16_000]);
        assert!(matches!(store.commit(transaction).await.unwrap(), Outcome::Committed(_)));
    }
    store
}

async fn written(store: &dyn Store) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &key(1), &SystemRandom, &manifest()).unwrap();
    writer.store("control", store).await.unwrap();
    writer.files("slots/a", &[("one".to_owned(), b"1".to_vec()), ("none".to_owned(), Vec::new())]).unwrap();
    writer.store("instances/empty", &MemoryStore::new()).await.unwrap();
    writer.finish().unwrap()
}

/// By part and name: content and revision.
type All = BTreeMap<(String, Vec<u8>), (Vec<u8>, u64)>;

fn read(bytes: &[u8], key: &ArchiveKey) -> Result<All, BackupError> {
    let (found, mut reader) = Reader::open(bytes, key)?;
    assert_eq!(found, manifest());
    let (mut all, mut place) = (BTreeMap::new(), String::new());
    while let Some(item) = reader.next_item()? {
        match item {
            Item::Part(part) => {
                all.insert((part.place.clone(), Vec::new()), (Vec::new(), part.revision));
                assert_eq!(part.kind == PartKind::Files, part.place.starts_with("slots"));
                place = part.place;
            }
            Item::Record(key, Versioned { value, revision }) => {
                all.insert((place.clone(), key), (value, revision.0));
            }
            Item::File(name, content) => {
                all.insert((place.clone(), name.into_bytes()), (content, 0));
            }
        }
    }
    Ok(all)
}

#[tokio::test]
async fn what_was_written_is_read() {
    let store = filled(400).await;
    let bytes = written(&store).await;
    assert!(bytes.len() > CHUNK * 4, "several chunks");
    let all = read(&bytes, &key(1)).unwrap();
    assert_eq!(all.len(), 400 + 2 + 3);
    for (key, versioned) in store.scan(b"", None, 1000).await.unwrap().entries {
        assert_eq!(all[&("control".to_owned(), key)], (versioned.value, versioned.revision.0));
    }
    assert_eq!(all[&("slots/a".to_owned(), b"one".to_vec())].0, b"1");
    assert_eq!(all[&("control".to_owned(), Vec::new())].1, 400);
    assert!(!bytes.windows(6).any(|window| window == b"k/0001"), "it is sealed");
}

#[tokio::test]
async fn another_key_or_another_file_is_named() {
    let bytes = written(&filled(3).await).await;
    let refused = read(&bytes, &key(2)).unwrap_err().to_string();
    assert!(refused.contains(&key(1).id()) && refused.contains(&key(2).id()), "{refused}");
    for other in [&b""[..], b"keyferry", &[0; 200]] {
        assert!(matches!(read(other, &key(1)), Err(BackupError::NoBackup)));
    }
}

#[tokio::test]
async fn no_byte_can_be_changed_and_nothing_cut() {
    let bytes = written(&filled(3).await).await;
    for at in 17..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        assert!(read(&changed, &key(1)).is_err(), "byte {at}");
    }
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length], &key(1)).is_err(), "cut to {length}");
    }
    let longer = [bytes.as_slice(), b"x"].concat();
    assert!(read(&longer, &key(1)).is_err());
}

#[tokio::test]
async fn chunks_cannot_be_moved_repeated_or_left_out() {
    let bytes = written(&filled(400).await).await;
    let head = 16 + 1 + 8 + SEALED_KEY;
    let mut chunks = Vec::new();
    let mut rest = &bytes[head..];
    while !rest.is_empty() {
        let length = usize::try_from(u32::from_be_bytes(rest[1..5].try_into().unwrap())).unwrap() + 5;
        chunks.push(rest[..length].to_vec());
        rest = &rest[length..];
    }
    let with = |chunks: &[Vec<u8>]| read(&[&bytes[..head], &chunks.concat()].concat(), &key(1));
    assert!(with(&chunks).is_ok() && chunks.len() > 4);
    let mut swapped = chunks.clone();
    swapped.swap(1, 2);
    let mut repeated = chunks.clone();
    repeated.insert(1, chunks[1].clone());
    let mut shorter = chunks.clone();
    shorter.remove(1);
    let without_end = &chunks[..chunks.len() - 1];
    for wrong in [&swapped[..], &repeated, &shorter, without_end] {
        assert!(matches!(with(wrong), Err(BackupError::Damaged { .. })));
    }
}
