//! Many accounts migrate into one instance as one group, while clients of all of them keep reading; beside it, in the same
//! run, one account with as many resources in all.
//!
//! `cargo bench --bench accounts [-- ACCOUNTS KEYS SECRETS]` (default 20 accounts with 100 keys and 400 secrets each).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "accounts/world.rs"]
mod world;

use std::time::Duration;

use world::{Figures, run};

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let number = |at: usize, default| *numbers.get(at).unwrap_or(&default);
    let (accounts, keys, secrets) = (number(0, 20), number(1, 100), number(2, 400));
    println!("{accounts} accounts with {keys} keys and {secrets} secrets each, into one instance, in one group");
    let group = run(accounts, keys, secrets, accounts).await;
    print(&group);
    let (all_keys, all_secrets) = (keys * accounts, secrets * accounts);
    println!("baseline: one account with {all_keys} keys and {all_secrets} secrets, and as many clients");
    let alone = run(1, all_keys, all_secrets, accounts).await;
    print(&alone);
    println!("group against baseline (1.00 = as fast as one account)");
    println!("  resources a second              {:8.2}", group.rate() / alone.rate());
    println!("  calls a second meanwhile        {:8.2}", group.during / alone.during);
    let longest = |figures: &Figures| figures.blocked.iter().max().copied().unwrap_or_default();
    println!("  longest management block        {:8.2}", longest(&group).as_secs_f64() / longest(&alone).as_secs_f64());
    assert_eq!((group.failures.len(), alone.failures.len()), (0, 0), "{:?} {:?}", group.failures, alone.failures);
}

fn print(figures: &Figures) {
    let seconds = |time: Duration| time.as_secs_f64();
    println!("  filled in                       {:8.2} s", seconds(figures.fill));
    println!("  migrated, order to the last end {:8.2} s", seconds(figures.total));
    println!("  resources a second              {:8.0}", figures.rate());
    let blocked: Duration = figures.blocked.iter().sum();
    let mean = seconds(blocked) / figures.blocked.len() as f64;
    println!("  management blocked, mean        {mean:8.2} s");
    println!("  management blocked, longest     {:8.2} s", seconds(figures.blocked.iter().max().copied().unwrap()));
    println!("  calls a second before           {:8.0}", figures.idle);
    println!("  calls a second meanwhile        {:8.0}", figures.during);
    println!("  slowest call meanwhile          {:8.3} s", seconds(figures.slowest));
    println!("  calls meanwhile                 {:8}", figures.calls);
    println!("  failed calls                    {:8}", figures.failures.len());
}
