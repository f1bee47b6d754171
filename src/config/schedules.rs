//! Schedules.

use std::time::Duration;

use super::keys;
use super::reader::{Found, Table};
use super::resources::{ACCOUNT, INSTANCE, Named, REGION};
use super::settings::Instance;
use crate::model::{
    AccountId, Cron, Directories, IfMissed, InstanceId, KeyId, MAX_ACCOUNTS, MAX_SELECTED, ProblemCode, RegionId,
    ScheduleEntry, SecretName, Selection, When,
};

pub(super) fn schedules(
    root: &Table<'_>,
    named: &Named,
    instances: &[Instance],
    directories: &Directories,
) -> Vec<ScheduleEntry> {
    let mut lines: Vec<(String, usize)> = Vec::new();
    let tables = root.tables("schedule", &keys::SCHEDULE);
    let read = |table: Table<'_>| schedule(&table, named, (instances, directories), &mut lines);
    tables.into_iter().filter_map(read).collect()
}

fn schedule(
    table: &Table<'_>,
    named: &Named,
    (instances, directories): (&[Instance], &Directories),
    lines: &mut Vec<(String, usize)>,
) -> Option<ScheduleEntry> {
    let name = name(table, lines);
    let region = table.required("region", REGION, table.parsed::<RegionId>("region", REGION));
    if let Some(region) = &region {
        named.check_region(table, region);
    }
    let accounts = accounts(table, named);
    let instance = table.required("instance", INSTANCE, table.parsed::<InstanceId>("instance", INSTANCE));
    if let Some(instance) = &instance {
        named.check_instance(table, instance);
        check_target(table, instance, region.as_ref(), &accounts, (instances, directories));
    }
    let when = when(table);
    let resources = resources(table);
    let window = table.duration("window");
    if let Some(zero) = window.as_ref().filter(|w| w.value.is_zero()) {
        table.source.problem(zero.at, "a window of 0s", "a window in which the migration can run, such as \"2h\"");
    }
    let soak = table.duration("soak");
    let length = window.as_ref().map_or(ScheduleEntry::DEFAULT_WINDOW, |w| w.value);
    if let Some(long) = soak.as_ref().filter(|soak| soak.value >= length && !length.is_zero()) {
        let window = super::format_duration(length);
        table.source.problem(
            long.at,
            format!("a soak of {}", super::format_duration(long.value)),
            format!("less than the window, which is {window}"),
        );
    }
    let if_missed = table.word("if_missed", &["run", "skip"], |word| match word {
        "run" => Some(IfMissed::Run),
        "skip" => Some(IfMissed::Skip),
        _ => None,
    });
    let rehearse = table.boolean("rehearse").is_some_and(|b| b.value);
    let acknowledge = table.boolean("acknowledge").is_some_and(|b| b.value);
    if accounts.is_empty() {
        return None;
    }
    Some(ScheduleEntry {
        name: name?,
        region: region?.value,
        accounts: accounts.into_iter().map(|account| account.value).collect(),
        instance: instance?.value,
        when: when?,
        resources: resources?,
        window: length,
        if_missed: if_missed.map(|word| word.value).unwrap_or_default(),
        soak: soak.map_or(Duration::ZERO, |soak| soak.value),
        rehearse,
        acknowledge,
    })
}

fn name(table: &Table<'_>, lines: &mut Vec<(String, usize)>) -> Option<String> {
    const ALLOWED: &str = "1 to 64 letters, digits and . _ - in quotes, beginning with a letter or digit";
    let name = table.required("name", ALLOWED, table.string("name", ALLOWED))?;
    let fits = name.value.len() <= 64
        && name.value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.value.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !fits {
        table.source.problem(name.at, format!("{:?}", name.value), format!("name = {ALLOWED}"));
    }
    match lines.iter().find(|(known, _)| known == name.value) {
        Some((_, line)) => {
            let found = format!("the schedule {} a second time", name.value);
            table.source.problem(name.at, found, format!("each name once (first in line {line})"));
        }
        None => lines.push((name.value.to_owned(), table.source.line(name.at))),
    }
    fits.then(|| name.value.to_owned())
}

fn accounts(table: &Table<'_>, named: &Named) -> Vec<Found<AccountId>> {
    const EITHER: &str = "account = \"...\" or accounts = [\"...\", ...]";
    let one = table.parsed::<AccountId>("account", ACCOUNT);
    let several = table.list::<AccountId>("accounts", ACCOUNT);
    let found = match (table.get("account"), table.get("accounts")) {
        (Some(_), Some(_)) => "both account and accounts",
        (None, None) => "a schedule without an account",
        (None, Some(list)) if list.get_ref().as_array().is_some_and(|list| list.is_empty()) => {
            "an empty list of accounts"
        }
        _ => "",
    };
    if !found.is_empty() {
        table.source.problem(table.at, found, EITHER);
    }
    let accounts = several.unwrap_or_else(|| one.into_iter().collect());
    if accounts.len() > MAX_ACCOUNTS {
        let at = table.get("accounts").map_or(table.at, |list| list.span().start);
        let allowed = format!("at most {MAX_ACCOUNTS} accounts in one schedule: split it into several");
        table.source.problem(at, format!("{} accounts", accounts.len()), allowed);
    }
    for account in &accounts {
        named.check_account(table, account);
    }
    accounts
}

fn check_target(
    table: &Table<'_>,
    id: &Found<InstanceId>,
    region: Option<&Found<RegionId>>,
    accounts: &[Found<AccountId>],
    (instances, directories): (&[Instance], &Directories),
) {
    let Some(instance) = instances.iter().find(|instance| instance.id == id.value) else {
        return;
    };
    if let Some(region) = region.filter(|region| region.value != instance.region) {
        table.source.problem(
            id.at,
            format!("the instance {} of region {}", id.value, instance.region),
            format!("an instance of the schedule's region {} ({})", region.value, ProblemCode::RegionMismatch),
        );
    }
    for account in accounts.iter().filter(|account| !instance.is_open_to(&account.value)) {
        let outlook = match directories.check_share(&instance.owner, &account.value) {
            Ok(()) => "unless the instance is shared on the command line by then, the run is refused".to_owned(),
            Err(refusal) => format!("it cannot be shared, because {refusal}, and the run is refused"),
        };
        table.source.warn(
            account.at,
            format!(
                "account {} neither owns instance {} nor is in its shared_with: {outlook} ({})",
                account.value,
                id.value,
                ProblemCode::InstanceNotShared
            ),
        );
    }
}

fn when(table: &Table<'_>) -> Option<When> {
    const EITHER: &str = "at = 2026-12-01T02:00:00+08:00, or cron = \"0 2 * * Sun\" with time_zone = \"Asia/Shanghai\"";
    const CRON: &str = "five fields, such as \"0 2 * * Sun\"";
    const ZONE: &str = "an IANA time zone, such as \"Asia/Shanghai\"";
    let at = table.instant("at");
    let cron = table.string("cron", CRON);
    let zone = table.string("time_zone", ZONE);
    match (table.get("at"), table.get("cron")) {
        (Some(_), Some(_)) | (None, None) => {
            let both = table.get("at").is_some();
            table.source.problem(table.at, if both { "both at and cron" } else { "neither at nor cron" }, EITHER);
            None
        }
        (Some(_), None) => {
            if let Some(value) = table.get("time_zone") {
                table.source.problem(value.span().start, "time_zone beside at", "only beside cron: at has its offset");
            }
            at.map(|at| When::At(at.value))
        }
        (None, Some(_)) => {
            let zone = table.required("time_zone", ZONE, zone);
            let cron = cron?;
            // Without a usable zone the pattern itself can still be checked.
            let name = zone.as_ref().map_or("UTC", |zone| zone.value);
            if let Err(error) = Cron::parse(cron.value, name) {
                let (at, found, allowed) = match (&error, &zone) {
                    (crate::model::CronError::Zone(_), Some(zone)) => (zone.at, zone.value, ZONE),
                    _ => (cron.at, cron.value, CRON),
                };
                table.source.problem(at, format!("{found:?}"), format!("{allowed} ({error})"));
                return None;
            }
            Some(When::Cron { pattern: cron.value.to_owned(), time_zone: zone?.value.to_owned() })
        }
    }
}

fn resources(table: &Table<'_>) -> Option<Selection> {
    const ALLOWED: &str = "\"all\" or { keys = [\"...\"], secrets = [\"...\"] }";
    let Some(value) = table.get("resources") else {
        table.missing("resources", ALLOWED);
        return None;
    };
    if let Some(word) = value.get_ref().as_str() {
        if word == "all" {
            return Some(Selection::All);
        }
        table.source.guess(value.span().start, word, format!("resources = {ALLOWED}"), &["all"]);
        return None;
    }
    if !value.get_ref().is_table() {
        table.mistyped("resources", value, ALLOWED);
        return None;
    }
    let picked = table.table("resources", &keys::RESOURCES)?;
    let keys = picked.list::<KeyId>("keys", "a key ID").unwrap_or_default();
    let secrets = picked.list::<SecretName>("secrets", "the name of a secret").unwrap_or_default();
    for (count, what) in [(keys.len(), "keys"), (secrets.len(), "secrets")] {
        if count > MAX_SELECTED {
            picked.source.problem(
                picked.at,
                format!("{count} {what}"),
                format!(
                    "at most {MAX_SELECTED} ({}): split the schedule, or move \"all\"",
                    ProblemCode::TooManySelected
                ),
            );
        }
    }
    // An unknown key in here has been reported as such.
    let lists = ["keys", "secrets"].into_iter().filter_map(|key| picked.get(key));
    let all_empty = lists.map(|list| list.get_ref().as_array().is_some_and(|list| list.is_empty()));
    if picked.is_empty() || all_empty.reduce(|a, b| a && b).unwrap_or_default() {
        picked.source.problem(picked.at, "resources that name nothing", format!("resources = {ALLOWED}"));
        return None;
    }
    Some(Selection::Picked {
        keys: keys.into_iter().map(|found| found.value).collect(),
        secrets: secrets.into_iter().map(|found| found.value).collect(),
    })
}
