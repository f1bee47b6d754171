#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::os::unix::fs::PermissionsExt;

use super::super::load;
use super::*;
use crate::model::SystemRandom;

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_next_key_takes_the_place_of_the_present_one_and_the_old_one_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let source = RootKeySource::Generated(directory.path().join("root.key"));
    let old = load(&source, true, &SystemRandom).unwrap();
    assert!(old.next.is_none() && next(&source).unwrap().is_none());
    let new = make_next(&source, &SystemRandom).unwrap().id();
    assert_eq!(make_next(&source, &SystemRandom).unwrap().id(), new, "made once");
    let both = load(&source, false, &SystemRandom).unwrap();
    assert_eq!((both.key.id(), both.next.unwrap().id()), (old.key.id(), new.clone()));
    // Not before everything is sealed under it.
    assert!(settle(&source, &old.key.id()).unwrap());
    assert_eq!(names(directory.path()), ["root.key", "root.key.next"]);
    assert!(!settle(&source, "0000000000000000").unwrap());
    assert_eq!(names(directory.path()), ["root.key", "root.key.next"]);

    for _ in 0..2 {
        assert!(settle(&source, &new).unwrap());
        let now = load(&source, false, &SystemRandom).unwrap();
        assert!(now.key.id() == new && now.next.is_none());
        let kept = retired(&source);
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].id, old.key.id());
        let again = load(&RootKeySource::File(kept[0].path.clone()), false, &SystemRandom).unwrap();
        assert_eq!(again.key.id(), old.key.id());
        assert_eq!(fs::metadata(&kept[0].path).unwrap().permissions().mode() & 0o7777, 0o600);
    }
}

#[test]
fn settling_goes_on_where_a_crash_cut_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("root.key");
    let source = RootKeySource::File(path.clone());
    load(&RootKeySource::Generated(path.clone()), true, &SystemRandom).unwrap();
    let old = load(&source, false, &SystemRandom).unwrap().key.id();
    let new = make_next(&source, &SystemRandom).unwrap().id();
    // The link was made, the rename was not.
    fs::hard_link(&path, directory.path().join(format!("root.key.retired-{old}"))).unwrap();
    assert!(settle(&source, &new).unwrap());
    assert_eq!(load(&source, false, &SystemRandom).unwrap().key.id(), new);
    assert_eq!(retired(&source).len(), 1);
}

#[test]
fn a_next_key_that_others_can_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("root.key");
    let source = RootKeySource::Generated(path);
    load(&source, true, &SystemRandom).unwrap();
    let next_path = directory.path().join("root.key.next");
    fs::write(&next_path, "11".repeat(32)).unwrap();
    fs::set_permissions(&next_path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(next(&source), Err(RootKeyError::Open { .. })));
    assert!(matches!(make_next(&source, &SystemRandom), Err(RootKeyError::Open { .. })));
    assert!(matches!(load(&source, false, &SystemRandom), Err(RootKeyError::Open { .. })));
}

#[test]
fn escrow_holds_what_opens() {
    let directory = tempfile::tempdir().unwrap();
    let source = RootKeySource::Generated(directory.path().join("root.key"));
    assert!(escrow(&source, "shared").is_err(), "nothing is generated for it");
    let old = load(&source, true, &SystemRandom).unwrap().key.id();
    let new = make_next(&source, &SystemRandom).unwrap().id();
    let (text, ids) = escrow(&source, "shared").unwrap();
    assert_eq!(ids, [old, new]);
    for (line, id) in text.lines().zip(&ids) {
        let [name, shown, digits] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        assert_eq!((name, shown), ("shared", id.as_str()));
        let restored = directory.path().join("restored");
        fs::write(&restored, digits).unwrap();
        fs::set_permissions(&restored, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(load(&RootKeySource::File(restored), false, &SystemRandom).unwrap().key.id(), *id);
    }
}
