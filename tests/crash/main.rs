//! The crash matrix: the real binary dies at every failpoint of a migration, and what is left must end by itself, complete
//! or as it was before, with every invariant of the design held, through the API and in the stores.
//!
//! `tests/campaign crash` runs the long form: many runs a point, pairs of points, and kills from outside at any time.
#![cfg(any(debug_assertions, feature = "failpoints"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod campaign;
mod case;
mod clear;
mod client;
mod daemon;
mod intruder;
mod population;
mod stores;
mod stranded;
mod trail;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use case::{Blow, Region, Verdict};
use keyferry::observe::failpoint::Failpoint;

/// What makes a migration roll back after its entries have flipped.
pub const ROLL_BACK: &str = "target.confirm.before=refuse";

#[test]
fn a_crash_at_every_failpoint_heals_by_itself() {
    let region = block_on(Region::fill());
    // What is passed before the job begins (the store is written at every start) does not count.
    let mut passed = block_on(region.trace(""));
    passed.truncate(passed.iter().position(|point| point == "job.take_over.before").unwrap());
    let before = counted(&passed);
    let cases = points();
    let first_in_job = |point: &Point| match before.get(&point.name) {
        // A start may write once more than the one that was traced: the clock is written down every minute.
        Some(count) if point.name.starts_with("store.") => vec![blow_at(point, count + 2)],
        Some(count) if !point.name.starts_with("job.create") => vec![blow_at(point, count + 1)],
        _ => vec![blow_at(point, 1)],
    };
    let verdicts = run_all(&region, &cases.iter().map(first_in_job).collect::<Vec<_>>());
    let mut wrong = Vec::new();
    for (point, verdict) in cases.iter().zip(&verdicts) {
        let rolls_back = point.only_in_roll_back;
        let ended = match verdict.state.as_str() {
            "complete" => !rolls_back || point.name == "journal.rolling_back.before",
            "failed" => rolls_back,
            // Asked for, and gone before anything was written.
            "none" => point.name == "job.create.before",
            _ => false,
        };
        if verdict.fell != 1 || !ended || !verdict.broken.is_empty() {
            wrong.push(format!("{}: {verdict:#?}", point.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {} points:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    // Otherwise that nothing was changed in a locked scope would show nothing.
    let refused: usize = verdicts.iter().map(|verdict| verdict.refused).sum();
    assert!(refused > 0, "nobody was kept out of a locked scope");
}

#[test]
fn every_failpoint_is_passed_by_a_migration_or_a_roll_back() {
    let region = block_on(Region::fill());
    let plain: BTreeSet<String> = block_on(region.trace("")).into_iter().collect();
    let rolled_back: BTreeSet<String> = block_on(region.trace(ROLL_BACK)).into_iter().collect();
    let missed: Vec<Point> = points()
        .into_iter()
        .filter(|point| !if point.only_in_roll_back { &rolled_back } else { &plain }.contains(&point.name))
        .collect();
    assert!(missed.is_empty(), "not passed: {missed:?}");
    let wrongly: Vec<Point> = points().into_iter().filter(|p| p.only_in_roll_back && plain.contains(&p.name)).collect();
    assert!(wrongly.is_empty(), "not only in a roll-back: {wrongly:?}");
}

/// A failpoint's before or after.
#[derive(Debug, Clone)]
pub struct Point {
    pub name: String,
    pub only_in_roll_back: bool,
}

/// Every point there is.
pub fn points() -> Vec<Point> {
    let sides = |point: Failpoint| {
        ["before", "after"].map(|side| Point {
            name: format!("{}.{side}", point.name()),
            only_in_roll_back: point.only_in_roll_back(),
        })
    };
    Failpoint::all().into_iter().flat_map(sides).collect()
}

/// Death when a point is passed for the `nth` time, in a run that gets there.
pub fn blow_at(point: &Point, nth: usize) -> Blow {
    let roll_back = if point.only_in_roll_back { format!("{ROLL_BACK},") } else { String::new() };
    Blow::At(format!("{roll_back}{}:{nth}=abort", point.name))
}

/// How often each was passed.
pub fn counted(passed: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    passed.iter().for_each(|name| *counts.entry(name.clone()).or_default() += 1);
    counts
}

/// Runs cases side by side; verdicts in their order.
pub fn run_all(region: &Region, cases: &[Vec<Blow>]) -> Vec<Verdict> {
    side_by_side(cases, |case| block_on(region.run(case)))
}

/// Does something with each, some at a time; what came of it in their order.
pub fn side_by_side<T: Sync, R: Send>(things: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<R>>> = Mutex::new(things.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..at_a_time() {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(thing) = things.get(n) else { return };
                    let result = work(thing);
                    done.lock().unwrap()[n] = Some(result);
                }
            });
        }
    });
    done.into_inner().unwrap().into_iter().map(Option::unwrap).collect()
}

/// How many cases run side by side: daemons spend much of their time waiting.
pub fn at_a_time() -> usize {
    std::env::var("KEYFERRY_CAMPAIGN_AT_A_TIME").map_or(4, |text| text.parse().unwrap())
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
