#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use super::*;
use crate::observe::Event;

/// All metrics, as they are when each has a value.
fn everything() -> String {
    for action in actions::ALL {
        // A latency appears once something was counted.
        let counted = crate::observe::metrics::METRICS.time(action.place(), async {});
        futures::executor::block_on(counted);
    }
    text(figures::sample()).unwrap()
}

/// All that an instance's own process gives.
fn of_an_instance() -> String {
    instance::sample().unwrap()
}

/// Type and help by name, as a scraper sees them.
fn described(text: &str) -> BTreeMap<String, (String, String)> {
    let mut found: BTreeMap<String, (String, String)> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            found.entry(name.to_owned()).or_default().1 = help.trim_end_matches('.').to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            found.entry(name.to_owned()).or_default().0 = kind.to_owned();
        }
    }
    found
}

/// The labels of every series of a metric, `le` apart.
fn labels(text: &str, name: &str) -> BTreeSet<String> {
    let series = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('{'));
    let mine = series.filter(|(series, _)| {
        ["", "_bucket", "_count", "_sum", "_total"].iter().any(|end| *series == format!("{name}{end}"))
    });
    let pairs =
        mine.flat_map(|(_, rest)| rest.split_once('}').unwrap().0.split(',').map(str::to_owned).collect::<Vec<_>>());
    pairs.map(|pair| pair.split_once('=').unwrap().0.to_owned()).filter(|label| label != "le").collect()
}

/// The names that queries may use.
fn queryable() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (name, (kind, _)) in described(&everything()) {
        match kind.as_str() {
            "counter" => names.extend([format!("{name}_total")]),
            "histogram" => names.extend(["_bucket", "_count", "_sum"].map(|end| format!("{name}{end}"))),
            _ => names.extend([name]),
        }
    }
    names
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("keyferry_")).map(str::to_owned).collect()
}

#[test]
fn the_page_names_every_metric_with_its_labels() {
    let text = everything();
    let mut page = String::from(
        "# Metrics\n\nMade from the code by a test. Names carry the endings of the OpenMetrics text format: counters are \
         queried as `…_total`, histograms as `…_bucket`, `…_count` and `…_sum`. No label ever holds the name of a resource, an \
         account or a job. A gauge whose help says *absent* has no series then. The daemon gives all of them; what an \
         instance's own process (`keyferry run --role instance`) gives too is marked, there for that instance alone.\n\n\
         | metric | type | labels | instance | is |\n|---|---|---|---|---|\n",
    );
    let there = described(&of_an_instance());
    for (name, (kind, help)) in described(&text) {
        let labels: Vec<String> = labels(&text, &name).iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "-".to_owned() } else { labels.join(", ") };
        let too = if there.contains_key(&name) { "yes" } else { "-" };
        let _ = writeln!(page, "| `{name}` | {kind} | {labels} | {too} | {help} |");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    if std::env::var_os("KEYFERRY_WRITE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, page, "run KEYFERRY_WRITE=1 cargo test --lib daemon::vitals");
}

#[test]
fn what_an_instance_gives_is_what_the_page_says() {
    let (here, there) = (everything(), of_an_instance());
    let known = described(&here);
    let given = described(&there);
    for (name, said) in &given {
        assert_eq!(known.get(name), Some(said), "{name} has one meaning");
        assert!(labels(&there, name).is_subset(&labels(&here, name)), "{name}");
    }
    assert!(given.len() > 8 && given.contains_key("keyferry_build_info"), "{given:?}");
    assert!(!given.keys().any(|name| name.contains("request") || name.contains("jobs")), "{given:?}");
}

#[test]
fn labels_are_of_small_fixed_sets() {
    let text = everything();
    let all: BTreeSet<String> = described(&text).keys().flat_map(|name| labels(&text, name)).collect();
    assert_eq!(all.into_iter().collect::<Vec<_>>(), ["keystore", "kind", "operation", "state", "version"]);
}

#[test]
fn alerts_and_board_name_what_there_is() {
    let known = queryable();
    let board: serde_json::Value = serde_json::from_str(&read("docs/grafana.json")).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let queries: Vec<&str> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap())
        .collect();
    assert!(queries.len() >= panels.len() && panels.len() > 15);
    for text in [queries.join("\n"), read("docs/alerts/prometheus.yml")] {
        let used = named(&text);
        let strange: Vec<&String> = used.difference(&known).collect();
        assert!(strange.is_empty() && used.len() > 10, "{strange:?}");
    }
    // The board shows everything there is.
    let shown = named(&queries.join("\n"));
    let of = |name: &str| {
        ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
    };
    let shown: BTreeSet<String> = shown.iter().map(|name| of(name)).collect();
    let hidden: Vec<String> = known.iter().map(|name| of(name)).filter(|name| !shown.contains(name)).collect();
    assert!(hidden.iter().all(|name| name == "keyferry_locks"), "{hidden:?}");
}

#[test]
fn alerts_on_events_name_what_there_is() {
    let events: BTreeSet<&str> = Event::ALL.iter().map(|event| event.as_str()).collect();
    let mut seen = 0;
    for line in read("docs/alerts/events.yml").lines().filter(|line| line.trim_start().starts_with("expr:")) {
        let quoted = line.split("event=").nth(1).unwrap().trim_start_matches('~').split('"').nth(1).unwrap();
        for event in quoted.split('|') {
            assert!(events.contains(event), "{event}");
            seen += 1;
        }
    }
    assert!(seen > 8);
    // What the other rules send people to look for is there too.
    let rules = read("docs/alerts/prometheus.yml");
    let words = rules.split(|c: char| !(c.is_ascii_lowercase() || c == '.' || c == '_'));
    let told: Vec<&str> = words
        .map(|word| word.trim_matches('.'))
        .filter(|word| {
            events.iter().any(|event| event.split('.').next() == word.split('.').next() && word.contains('.'))
        })
        .collect();
    assert!(told.len() > 5 && told.iter().all(|word| events.contains(word)), "{told:?}");
}
