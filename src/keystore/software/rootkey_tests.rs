#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use crate::model::SystemRandom;

fn write_mode(path: &Path, content: &[u8], mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_generated_key_is_written_once_and_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("root.key");
    let source = RootKeySource::Generated(path.clone());
    assert!(matches!(load(&source, false, &SystemRandom), Err(RootKeyError::Lost { .. })));
    assert!(!path.exists());
    let first = load(&source, true, &SystemRandom).unwrap();
    assert_eq!(first.generated.as_deref(), Some(path.as_path()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no other file is left");
    for store_is_empty in [true, false] {
        let again = load(&source, store_is_empty, &SystemRandom).unwrap();
        assert_eq!((again.key.id(), again.generated), (first.key.id(), None));
    }
}

#[test]
fn a_file_that_others_can_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("root.key");
    let source = RootKeySource::File(path.clone());
    assert!(matches!(load(&source, true, &SystemRandom), Err(RootKeyError::File { .. })), "never generated");
    for mode in [0o640, 0o604, 0o660, 0o601] {
        write_mode(&path, &[1; 32], mode);
        let error = load(&source, true, &SystemRandom).err().unwrap();
        assert!(matches!(error, RootKeyError::Open { .. }));
        assert!(error.to_string().contains("chmod 0600"), "{error}");
    }
    write_mode(&path, &[1; 32], 0o400);
    load(&source, true, &SystemRandom).unwrap();
}

#[test]
fn raw_bytes_and_digits_are_the_same_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("root.key");
    let source = RootKeySource::File(path.clone());
    let mut ids = Vec::new();
    for content in [vec![0xab; 32], "ab".repeat(32).into_bytes(), format!("{}\n", "AB".repeat(32)).into_bytes()] {
        write_mode(&path, &content, 0o600);
        ids.push(load(&source, true, &SystemRandom).unwrap().key.id());
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    for content in [vec![], vec![1; 31], "ab".repeat(31).into_bytes(), "xy".repeat(32).into_bytes(), vec![b'a'; 4096]] {
        write_mode(&path, &content, 0o600);
        assert!(matches!(load(&source, true, &SystemRandom), Err(RootKeyError::Content { .. })));
    }
}
