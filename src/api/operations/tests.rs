//! The table against the list of actions.

use std::collections::BTreeSet;

use super::table;
use crate::api::actions;

#[test]
fn every_row_is_an_action_and_stands_once() {
    let names: Vec<&str> = table().map(|row| row.name).collect();
    let once: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(once.len(), names.len());
    for name in names {
        assert!(actions::find(name).is_some(), "{name}");
    }
    assert_eq!(once.len(), 45);
}
