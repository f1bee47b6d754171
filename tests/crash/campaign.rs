//! The long form, for `tests/campaign crash`: how much is told by environment variables, what came out is a table.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::case::{Blow, Region, Verdict};
use crate::{at_a_time, block_on, blow_at, counted, points, run_all, side_by_side};

/// What came of a kind of case.
#[derive(Default)]
struct Row {
    runs: usize,
    fell: usize,
    complete: usize,
    rolled_back: usize,
    never_begun: usize,
    broken: Vec<String>,
}

impl Row {
    fn add(&mut self, blows: &[Blow], verdict: &Verdict) {
        self.runs += 1;
        self.fell += usize::from(verdict.fell == blows.len());
        match verdict.state.as_str() {
            "complete" => self.complete += 1,
            "none" => self.never_begun += 1,
            _ => self.rolled_back += 1,
        }
        self.broken.extend(verdict.broken.iter().map(|what| format!("{blows:?}: {what}")));
    }

    fn line(&self, name: &str) -> String {
        let Self { runs, fell, complete, rolled_back, never_begun, broken } = self;
        format!("| {name} | {runs} | {fell} | {complete} | {rolled_back} | {never_begun} | {} |\n", broken.len())
    }
}

#[test]
#[ignore = "takes long; run it by `tests/campaign crash`"]
fn campaign() {
    let number = |name: &str, otherwise: usize| {
        std::env::var(format!("KEYFERRY_CAMPAIGN_{name}")).map_or(otherwise, |text| text.parse().unwrap())
    };
    let (runs, pairs, kills) = (number("RUNS", 1), number("PAIRS", usize::MAX), number("KILLS", 100));
    let mut dice = Dice(number("SEED", 1) as u64);
    let begun = Instant::now();
    let region = block_on(Region::fill());
    let points = points();

    // A point is passed many times: each further run dies at a later passing, chosen among those of a whole run.
    let plain = counted(&block_on(region.trace("")));
    let mut rows: Vec<(String, Row)> = Vec::new();
    for point in &points {
        let passed = if point.only_in_roll_back { 1 } else { plain.get(&point.name).copied().unwrap_or(1) };
        let nth = |run: usize, dice: &mut Dice| if run == 0 { 1 } else { 1 + dice.below(passed) };
        let cases: Vec<Vec<Blow>> = (0..runs).map(|run| vec![blow_at(point, nth(run, &mut dice))]).collect();
        rows.push((format!("`{}`", point.name), row(&region, &cases)));
    }

    // Where the recovery from the first does not pass the second, a pair is nothing but the first.
    let firsts: Vec<Blow> = points.iter().map(|point| blow_at(point, 1)).collect();
    let recoveries = side_by_side(&firsts, |first| block_on(region.recovery(first)));
    let passed: Vec<Vec<Blow>> = firsts
        .iter()
        .zip(&recoveries)
        .flat_map(|(first, passed)| passed.iter().map(|name| vec![first.clone(), Blow::At(format!("{name}=abort"))]))
        .collect();
    let drawn = (0..pairs).filter_map(|_| passed.get(dice.below(passed.len()))).cloned();
    let cases: Vec<Vec<Blow>> = if pairs >= passed.len() { passed.clone() } else { drawn.collect() };
    let all = points.len() * points.len();
    let (tried, meet) = (cases.len(), passed.len());
    let name = format!("two points: {tried} of the {meet} pairs (of {all}) whose second the recovery passes");
    rows.push((name, row(&region, &cases)));

    // As slow as it is among the others, so that the kills reach the last phases too, and some come too late.
    let whole = {
        let begun = Instant::now();
        run_all(&region, &vec![vec![Blow::Kill(Duration::from_secs(60))]; at_a_time()]);
        begun.elapsed().as_millis() as usize
    };
    let moment = |dice: &mut Dice| Blow::Kill(Duration::from_millis(dice.below(whole) as u64));
    let cases: Vec<Vec<Blow>> = (0..kills).map(|_| vec![moment(&mut dice)]).collect();
    rows.push(("`kill -9` at a random time".to_owned(), row(&region, &cases)));
    let cases: Vec<Vec<Blow>> = (0..kills / 4).map(|_| vec![moment(&mut dice), moment(&mut dice)]).collect();
    rows.push(("`kill -9` at a random time, and again in the recovery".to_owned(), row(&region, &cases)));

    let mut text = String::from(HEAD);
    rows.iter().for_each(|(name, row)| text.push_str(&row.line(name)));
    let total: usize = rows.iter().map(|(_, row)| row.runs).sum();
    let broken: Vec<&String> = rows.iter().flat_map(|(_, row)| &row.broken).collect();
    writeln!(text, "\n{total} runs in {} s, {} broken promises.", begun.elapsed().as_secs(), broken.len()).unwrap();
    broken.iter().for_each(|what| writeln!(text, "- {what}").unwrap());
    match std::env::var("KEYFERRY_CAMPAIGN_OUT") {
        Ok(path) => std::fs::write(path, &text).unwrap(),
        Err(_) => println!("{text}"),
    }
    assert!(broken.is_empty(), "{text}");
}

const HEAD: &str = "| point | runs | interrupted as planned | complete | rolled back | never begun | broken promises |\n\
                    |---|---:|---:|---:|---:|---:|---:|\n";

fn row(region: &Region, cases: &[Vec<Blow>]) -> Row {
    let mut row = Row::default();
    cases.iter().zip(run_all(region, cases)).for_each(|(blows, verdict)| row.add(blows, &verdict));
    row
}

/// SplitMix64: the same seed, the same campaign.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit.max(1) as u64) as usize
    }
}
