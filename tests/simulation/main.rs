//! Deterministic simulation: a region with its clients migrates on a simulated clock, over simulated stores and an instance
//! with seeded faults. A seed that fails prints itself; put it into `REGRESSIONS`.
//!
//! Checked in every story, whatever happens in it: a ciphertext once made always opens; a secret's current version never
//! goes back; no management operation commits in a locked scope; what moved is gone from the source and what did not is
//! whole there; nothing of a job is left; a failed job can simply be run again. `tests/campaign simulation` runs more.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod chance;
mod client;
mod deployment;
mod disk;
mod story;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use story::{Ending, tell};

const IN_THE_SUITE: u64 = 1000;

/// Seeds that failed once.
const REGRESSIONS: [u64; 0] = [];

#[test]
fn a_thousand_stories_end_well() {
    let seed = std::env::var("KEYFERRY_SEED").ok().map(|seed| seed.parse().unwrap());
    let stories: Vec<u64> = match seed {
        Some(seed) => vec![seed],
        None => REGRESSIONS.into_iter().chain(1..=IN_THE_SUITE).collect(),
    };
    let ends = tell_all(&stories);
    if seed.is_none() {
        for end in ["complete", "failed", "canceled"] {
            let many = ends.get(end).copied().unwrap_or(0);
            assert!(many > IN_THE_SUITE / 50, "too few stories end {end}: {ends:?}");
        }
        let of = |word: &str| ends.get(word).copied().unwrap_or(0);
        assert!(of("crashes") > IN_THE_SUITE / 2 && of("calls migrating") > IN_THE_SUITE / 4, "{ends:?}");
    }
}

/// The long form; tests/campaign sets how many.
#[test]
#[ignore = "tests/campaign simulation"]
fn campaign() {
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let (first, many) = (number("KEYFERRY_CAMPAIGN_SEED"), number("KEYFERRY_CAMPAIGN_RUNS"));
    let ends = tell_all(&(first..first + many).collect::<Vec<_>>());
    let rows: String = ends.iter().map(|(what, count)| format!("| {what} | {count} |\n")).collect();
    std::fs::write(
        std::env::var("KEYFERRY_CAMPAIGN_OUT").unwrap(),
        format!("| in {many} stories | |\n|---|---:|\n{rows}| broken promises | 0 |\n"),
    )
    .unwrap();
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 1..=20 {
        let (first, second) = (tell(seed), tell(seed));
        assert_eq!(first.trace, second.trace, "KEYFERRY_SEED={seed}");
    }
}

fn tell_all(seeds: &[u64]) -> BTreeMap<String, u64> {
    let next = AtomicU64::new(0);
    let (ends, failed) = (Mutex::new(BTreeMap::<String, u64>::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, std::num::NonZero::get) {
            scope.spawn(|| {
                while let Ok(n) = usize::try_from(next.fetch_add(1, Ordering::SeqCst))
                    && let Some(seed) = seeds.get(n)
                {
                    match catch_unwind(AssertUnwindSafe(|| tell(*seed))) {
                        Ok(ending) => count(&ending, &mut ends.lock().unwrap()),
                        Err(_) => {
                            println!("KEYFERRY_SEED={seed} fails");
                            failed.lock().unwrap().push(*seed);
                        }
                    }
                }
            });
        }
    });
    let (ends, failed) = (ends.into_inner().unwrap(), failed.into_inner().unwrap());
    println!("{ends:#?}");
    assert!(
        failed.is_empty(),
        "{} broken promises; run each with KEYFERRY_SEED=N: {:?}",
        failed.len(),
        failed.get(..20).unwrap_or(&failed)
    );
    ends
}

fn count(ending: &Ending, ends: &mut BTreeMap<String, u64>) {
    *ends.entry(ending.first.to_owned()).or_default() += 1;
    *ends.entry("crashes".to_owned()).or_default() += ending.crashes;
    for (word, many) in &ending.answers {
        *ends.entry(format!("calls {word}")).or_default() += many;
    }
}
