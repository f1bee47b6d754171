//! The table against the list of actions, and both against docs/api-coverage.md.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use super::not_offered::NOT_OFFERED;
use super::table;
use crate::api::actions;

const COVERAGE: &str = include_str!("../../../docs/api-coverage.md");

#[test]
fn every_action_has_a_row_or_a_reason_and_only_one() {
    let rows: Vec<&str> = table().map(|row| row.name).collect();
    let offered: BTreeSet<&str> = rows.iter().copied().collect();
    assert_eq!(offered.len(), rows.len());
    let refused: BTreeSet<&str> = NOT_OFFERED.iter().map(|(name, _)| *name).collect();
    assert_eq!(refused.len(), NOT_OFFERED.len());
    assert!(offered.is_disjoint(&refused));
    let all: BTreeSet<&str> = actions::ALL.iter().map(|action| action.name).collect();
    assert_eq!(offered.union(&refused).copied().collect::<BTreeSet<_>>(), all);
}

#[test]
fn the_documented_coverage_is_the_real_one() {
    let offered: BTreeSet<&str> = table().map(|row| row.name).collect();
    let documented: BTreeSet<&str> = section("## Offered")
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(|name| actions::find(name).is_some())
        .collect();
    assert_eq!(documented, offered);
    let refused: BTreeMap<&str, &str> = section("## Not offered").filter_map(entry).collect();
    let reasons: BTreeMap<&str, &str> = NOT_OFFERED.iter().copied().collect();
    assert_eq!(refused, reasons);
}

/// The lines of a section of the document.
fn section(title: &str) -> impl Iterator<Item = &'static str> {
    let (_, rest) = COVERAGE.split_once(&format!("\n{title}\n")).unwrap_or_else(|| panic!("no {title}"));
    rest.split("\n## ").next().unwrap().lines()
}

/// Name and reason of a table line: ``| `Name` | reason |``.
fn entry(line: &str) -> Option<(&str, &str)> {
    let (name, reason) = line.strip_prefix("| `")?.split_once("` | ")?;
    Some((name, reason.strip_suffix(" |")?))
}
