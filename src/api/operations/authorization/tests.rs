//! The table of needs against the table of operations.

use std::collections::BTreeSet;

use super::needs::ROWS;
use crate::access::USES;
use crate::api::actions;
use crate::api::operations::table;

#[test]
fn every_operation_that_is_offered_has_its_needs_and_only_one_row() {
    let rows: BTreeSet<&str> = ROWS.iter().map(|row| row.operation).collect();
    assert_eq!(rows.len(), ROWS.len());
    assert_eq!(rows, table().map(|row| row.name).collect());
}

#[test]
fn rights_are_named_after_operations() {
    let needed = ROWS.iter().flat_map(|row| row.needs).filter_map(|need| need.right);
    for name in needed.chain(USES.iter().copied()) {
        assert!(actions::find(name).is_some(), "{name}");
    }
    // Another account is never allowed what changes something.
    for name in USES {
        assert_ne!(actions::find(name).map(|action| action.plane), Some(crate::api::Plane::Management), "{name}");
    }
}

#[test]
fn only_what_needs_no_right_has_no_needs() {
    let without: Vec<&str> = ROWS.iter().filter(|row| row.needs.is_empty()).map(|row| row.operation).collect();
    assert_eq!(without, ["BatchGetSecretValue", "DescribeRegions"]);
}
