//! The file as a whole: the sample, mistakes and their places, secrets, rendering, reloads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod identities;
mod mistakes;
mod tokens;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::model::{Selection, When};
use crate::observe::{LogFormat, LogLevel};

const SAMPLE: &str = include_str!("../../config/keyferry.toml");
const BASE: &str = r#"
[[region]]
id = "cn-hangzhou"
[[region]]
id = "cn-beijing"
[[account]]
id = "1000000000000001"
[[account.access_key]]
id = "LTAIretail"
secret = "open sesame"
[[account]]
id = "1000000000000002"
[[instance]]
id = "kst-hz1"
region = "cn-hangzhou"
owner = "1000000000000001"
kind = "software"
[[instance]]
id = "kst-bj1"
region = "cn-beijing"
owner = "1000000000000001"
kind = "software"
"#;

fn file() -> PathBuf {
    PathBuf::from("/etc/keyferry/keyferry.toml")
}

fn good(text: &str) -> Loaded {
    match Config::parse(&file(), text) {
        Ok(loaded) => loaded,
        Err(problems) => panic!("{problems:#?}"),
    }
}

fn bad(text: &str) -> Vec<ConfigProblem> {
    match Config::parse(&file(), text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(problems) => problems,
    }
}

fn schedule(lines: &str) -> String {
    format!(
        "{BASE}[[schedule]]\nname = \"s\"\nregion = \"cn-hangzhou\"\naccount = \"1000000000000001\"\n\
         instance = \"kst-hz1\"\nresources = \"all\"\n{lines}\n"
    )
}

#[test]
fn the_sample_is_read() {
    let loaded = good(SAMPLE);
    let config = loaded.config;
    assert_eq!(loaded.warnings, []);
    assert_eq!((config.log.format, config.log.level), (LogFormat::Json, LogLevel::Info));
    assert_eq!(config.admin.group.as_deref(), Some("keyferry"));
    assert_eq!(config.regions[0].service_keys, ["ecs", "oss"]);
    assert_eq!(config.accounts[0].access_keys[0].secret.expose(), "change-me");
    assert_eq!(config.instances[0].expires, Some("2027-12-30T16:00:00Z".parse().unwrap()));
    assert_eq!(config.schedules[0].when, When::At("2026-11-30T18:00:00Z".parse().unwrap()));
    assert_eq!(config.schedules[0].window, Duration::from_secs(7200));
    assert!(
        matches!(&config.schedules[1].resources, Selection::Picked { keys, secrets } if keys.len() + secrets.len() == 2)
    );
}

#[test]
fn an_instance_on_another_host() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["ca.pem", "c.pem", "c.key"] {
        fs::write(directory.path().join(name), "a file").unwrap();
    }
    let parse = |endpoint: &str, more: &str| {
        let remote = format!(
            "remote = {{ endpoint = \"{endpoint}\", ca = \"ca.pem\", certificate = \"c.pem\", private_key = \"c.key\" }}\n"
        );
        let text = format!("{BASE}{remote}{more}");
        Config::parse(&directory.path().join("keyferry.toml"), &text)
    };
    let config = parse("https://kms-1.example:8785/", "enabled = false\n").unwrap_or_else(|p| panic!("{p:#?}")).config;
    let instance = config.instance(&"kst-bj1".parse().unwrap()).unwrap().clone();
    let remote = instance.remote.clone().unwrap();
    assert_eq!(remote.endpoint, "https://kms-1.example:8785");
    assert_eq!(remote.ca, directory.path().join("ca.pem"));
    assert!(!instance.enabled && config.instance(&"kst-hz1".parse().unwrap()).unwrap().enabled);
    let again = Config::parse(&file(), &config.to_masked_toml()).unwrap_or_else(|p| panic!("{p:#?}")).config;
    assert_eq!(again.instances, config.instances);
    // Where it is identifies it.
    let moved = parse("https://kms-2.example:8785", "").unwrap_or_else(|p| panic!("{p:#?}")).config;
    let in_use = InUse { instances: [(instance.id.clone(), Some(instance.identity()))].into(), ..InUse::default() };
    let refused = reload_diff(&config, &moved, &in_use).unwrap_err();
    assert!(refused.len() == 1 && refused[0].starts_with("remote of instance kst-bj1"), "{refused:?}");
    for (endpoint, more, expected) in [
        ("http://kms-1.example:8785", "", "https://HOST:PORT"),
        ("https://kms-1.example/path", "", "https://HOST:PORT"),
        ("kms-1.example:8785", "", "https://HOST:PORT"),
        ("https://kms-1.example:8785", "root_key = { file = \"/k\" }\n", "own host"),
    ] {
        let problems = parse(endpoint, more).err().unwrap();
        assert!(problems.len() == 1 && problems[0].to_string().contains(expected), "{problems:#?}");
    }
    assert_eq!(bad(&format!("{BASE}remote = {{}}\n")).len(), 4);
    let server = "instance_server = { listen = \"0.0.0.0:8785\", certificate = \"c.pem\", private_key = \"c.key\", client_ca = \"ca.pem\" }\n";
    let config = Config::parse(&directory.path().join("keyferry.toml"), &format!("{server}{BASE}"));
    let config = config.unwrap_or_else(|p| panic!("{p:#?}")).config;
    assert_eq!(config.instance_server.as_ref().unwrap().listen.port(), 8785);
    let again = Config::parse(&file(), &config.to_masked_toml()).unwrap_or_else(|p| panic!("{p:#?}")).config;
    assert_eq!(again.instance_server, config.instance_server);
}

#[test]
fn rotators_are_read_in_order_with_their_defaults() {
    let config = good(SAMPLE).config;
    let [first, second] = config.rotators.as_slice() else { panic!("two rotators") };
    assert!(matches!(&first.kind, RotatorKind::Postgresql { port: 5432, ca: None, .. }));
    assert_eq!((first.names[0].to_string(), first.targets[0].as_str()), ("orders/*".to_owned(), "rm-orders"));
    assert!(
        matches!(&second.kind, RotatorKind::Webhook { url, .. } if url.as_str() == "https://rotator.example/rotate")
    );
    assert_eq!((second.types.len(), second.accounts.len(), second.names.len()), (0, 0, 0));
    assert_eq!((second.timeout.as_secs(), second.retry_after.as_secs(), second.attempts), (10, 5, 8));
    let text = format!(
        "{BASE}[[rotator]]\nname = \"pg\"\nkind = \"postgresql\"\nhost = \"::1\"\ndatabase = \"d\"\nuser = \"u\"\n\
         secret = \"s\"\n"
    );
    assert_eq!(good(&text).config.rotators[0].types, [crate::model::SecretType::Rds]);
}

#[test]
fn the_sample_has_every_key() {
    for table in keys::ALL {
        for key in table.keys {
            let as_table = if table.table.is_empty() { (*key).to_owned() } else { format!("{}.{key}", table.table) };
            let found = SAMPLE.contains(&format!("{key} = ")) || SAMPLE.contains(&format!("[{as_table}]"));
            assert!(found, "{as_table}");
        }
    }
}

#[test]
fn the_commented_keys_of_the_sample_are_good_too() {
    let directory = tempfile::tempdir().unwrap();
    let ours = ["instance.pem", "instance.key", "gateway-ca.pem", "instance-ca.pem", "gateway.pem", "gateway.key"];
    for name in
        ["tls.pem", "tls.key", "rotator-ca.pem", "retail.secret", "keyferry-retail", "pin"].into_iter().chain(ours)
    {
        fs::write(directory.path().join(name), "s3cret\n").unwrap();
        fs::set_permissions(directory.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    for name in ["operators.url", "keyferry-operators"] {
        fs::write(directory.path().join(name), "https://hooks.example.com/keyferry\n").unwrap();
    }
    for name in ["operators.secret", "keyferry-operators-secret"] {
        fs::write(directory.path().join(name), "s3cret\n").unwrap();
    }
    let made = rcgen::generate_simple_self_signed(vec!["hooks.example.com".to_owned()]).unwrap();
    fs::write(directory.path().join("operators-ca.pem"), made.cert.pem()).unwrap();
    let place = directory.path().display().to_string();
    for line in SAMPLE.lines().filter_map(|line| line.strip_prefix("# ")) {
        let Some((key, _)) =
            line.split_once(" = ").filter(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        else {
            continue;
        };
        let mut text = SAMPLE.replace(&format!("# {line}"), line).replace("/etc/keyferry", &place);
        if ["secret_file", "credential"].contains(&key) {
            let inline =
                if line.contains("operators") { "secret = \"change-me-too\"" } else { "secret = \"change-me\"" };
            text = text.replace(inline, "");
        }
        if ["url_file", "url_credential"].contains(&key) {
            text = text.replace("url = \"https://hooks.example.com/keyferry\"", "");
        }
        if key == "pkcs11" {
            text = text.replace("kind = \"software\"", "kind = \"hardware\"");
        }
        if key == "account" {
            text = text.replace("accounts = [\"1000000000000001\"]", "");
        }
        let path = directory.path().join("keyferry.toml");
        fs::write(&path, &text).unwrap();
        if let Err(problems) = Config::load_with(&path, Some(directory.path())) {
            panic!("{line}: {problems:#?}");
        }
    }
}

#[test]
fn defaults() {
    let config = good(&schedule("at = \"2026-12-01T02:00:00+08:00\"")).config;
    assert_eq!(config.state_dir, Path::new("/var/lib/keyferry"));
    assert_eq!(config.admin.socket, Path::new("/var/lib/keyferry/admin.sock"));
    assert_eq!(config.api.listen, "127.0.0.1:8780".parse().unwrap());
    assert_eq!((config.migration.workers, config.migration.max_rate), (8, 0));
    assert!(config.migration.allowed_hours.ranges().is_empty());
    assert!(config.root_key == RootKey::Generated && config.instances[0].root_key == RootKey::Generated);
    let entry = &config.schedules[0];
    assert_eq!((entry.window, entry.soak), (Duration::from_secs(7200), Duration::ZERO));
    assert!(!entry.rehearse && !entry.acknowledge && entry.resources == Selection::All);
}

#[test]
fn every_mistake_at_once_with_its_place() {
    let text = "stat_dir = \"/x\"\n[log]\nformat = \"jsn\"\nlevel = 3\n[console]\n[[region]]\nid = \"cn-hangzhou\"\n\
                [[account]]\nid = 1000000000000001\n";
    let shown: Vec<String> = bad(text).iter().map(ToString::to_string).collect();
    let place = "/etc/keyferry/keyferry.toml";
    assert_eq!(
        shown,
        [
            format!(
                "{place}:1:1: found the unknown key \"stat_dir\"; allowed: state_dir, log, admin, api, store, seal, \
                 migration, limits, backup, instance_server, metrics, notify, region, account, directory, instance, rotator, schedule; did you \
                 mean \"state_dir\"?"
            ),
            format!(
                "{place}:3:10: found \"jsn\"; allowed: format = \"json\", \"text\", \"journald\"; did you mean \"json\"?"
            ),
            format!(
                "{place}:4:9: found an integer; allowed: level = \"error\", \"warn\", \"info\", \"debug\", \"trace\""
            ),
            format!(
                "{place}:5:2: found the table \"console\"; allowed: nothing: this table is reserved for a later release"
            ),
            format!("{place}:9:6: found an integer; allowed: id = 16 digits in quotes"),
        ]
    );
}

#[test]
fn secrets_never_show_in_problems_or_warnings() {
    for text in [
        "[[account.access_key]]\nsecret = \"s3cret\" oops\n",
        "[[account]]\nid = 1\n[[account.access_key]]\nid = \"a\"\nsecret = \"s3cret\"\nsecrt = \"s3cret\"\n",
        "[[account]]\n[[account.access_key]]\nsecret = [\"s3cret\"]\n",
        "[[account]]\n[[account.access_key]]\nsecret = \"\\s3cret\"\n",
        "[[account]]\n[[account.access_key]]\nsecret = \"s3cret\n",
        "secret = \"s3cret\"\nsecret = \"s3cret\"\n",
    ] {
        for problem in bad(text) {
            assert!(!problem.to_string().contains("s3cret"), "{problem}");
        }
    }
}

#[test]
fn secret_files_and_credentials_are_read_and_open_ones_warned_about() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keyferry.toml");
    let place = |mode, name: &str, text: &str| {
        fs::write(directory.path().join(name), text).unwrap();
        fs::set_permissions(directory.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let with = |line: &str| BASE.replace("secret = \"open sesame\"", line);
    let load = || Config::load_with(&path, Some(directory.path()));
    let secret = |loaded: &Loaded| loaded.config.accounts[0].access_keys[0].secret.expose().to_owned();

    place(0o644, "keyferry.toml", BASE);
    let loaded = load().unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].to_string().contains("keyferry.toml:10:10: "), "{}", loaded.warnings[0]);
    assert!(!loaded.warnings[0].to_string().contains("sesame"));
    place(0o640, "keyferry.toml", BASE);
    assert!(load().is_ok_and(|loaded| loaded.warnings.is_empty()));

    // Relative to the configuration file; the end of the line is no part of the secret.
    place(0o644, "keyferry.toml", &with("secret_file = \"one\""));
    place(0o600, "one", "from a file\n");
    assert!(load().is_ok_and(|loaded| loaded.warnings.is_empty() && secret(&loaded) == "from a file"));
    place(0o644, "one", "from a file\n");
    assert!(load().is_ok_and(|loaded| loaded.warnings.len() == 1));
    for empty in ["", "\n"] {
        place(0o600, "one", empty);
        assert!(load().is_err_and(|problems| problems[0].to_string().contains("empty")));
    }

    place(0o600, "keyferry.toml", &with("credential = \"two\""));
    place(0o600, "two", "from systemd");
    assert!(load().is_ok_and(|loaded| secret(&loaded) == "from systemd"));
    let without = Config::load_with(&path, None);
    assert!(without.is_err_and(|problems| problems[0].to_string().contains("$CREDENTIALS_DIRECTORY")));
}

#[test]
fn a_file_that_is_not_there() {
    let problems = Config::load(Path::new("/nonexistent/keyferry.toml")).err().unwrap();
    assert!(problems[0].to_string().starts_with("/nonexistent/keyferry.toml: found a file that cannot be read"));
}

#[test]
fn what_is_shown_is_a_file_that_says_the_same() {
    let text = format!(
        "{}expires = 2027-12-31T00:00:00+08:00\nshared_with = [\"1000000000000002\"]\n{}",
        BASE.replace(
            "kind = \"software\"\n[[instance]]",
            "kind = \"software\"\nroot_key = { file = \"k\" }\n[[instance]]"
        ),
        schedule("cron = \"0 2 * * Sun\"\ntime_zone = \"Asia/Shanghai\"\nwindow = \"90m\"\nsoak = \"10m\"")
            .replace(BASE, "")
    );
    for text in [SAMPLE, &text] {
        let config = good(text).config;
        let shown = config.to_masked_toml();
        assert!(
            !shown.contains("open sesame") && !shown.contains("change-me") && !shown.contains("example.com/keyferry"),
            "{shown}"
        );
        let mut again = good(&shown).config;
        assert!(again != config, "the mask is no secret");
        for (receiver, before) in again.notify.iter_mut().zip(&config.notify) {
            receiver.url.clone_from(&before.url);
            receiver.signing.clone_from(&before.signing);
        }
        for (account, before) in again.accounts.iter_mut().zip(&config.accounts) {
            account.access_keys.clone_from(&before.access_keys);
            for (user, before) in account.users.iter_mut().zip(&before.users) {
                user.access_keys.clone_from(&before.access_keys);
            }
        }
        for (rotator, before) in again.rotators.iter_mut().zip(&config.rotators) {
            rotator.secret = before.secret.clone();
        }
        assert!(again == config, "{shown}");
    }
}

#[test]
fn a_target_that_is_not_shared_is_a_warning() {
    let text = schedule("at = 2026-12-01T02:00:00Z")
        .replace("account = \"1000000000000001\"\ninst", "account = \"1000000000000002\"\ninst");
    let warnings = good(&text).warnings;
    assert!(warnings.len() == 1 && warnings[0].message.contains("InstanceNotShared"), "{warnings:?}");
}

#[test]
fn a_reload_leaves_what_is_in_use_alone() {
    let old = good(BASE).config;
    let in_use = InUse {
        regions: ["cn-hangzhou".parse().unwrap()].into(),
        accounts: ["1000000000000001".parse().unwrap()].into(),
        instances: [("kst-hz1".parse().unwrap(), Some(old.instances[0].identity()))].into(),
        ..InUse::default()
    };
    assert!(reload_diff(&old, &old, &in_use).unwrap().is_empty());

    let mut new = old.clone();
    new.instances[0].owner = "1000000000000002".parse().unwrap();
    new.instances[0].root_key = RootKey::File("/k".into());
    new.regions.remove(0);
    let refused = reload_diff(&old, &new, &in_use).unwrap_err();
    assert_eq!(refused.len(), 3, "{refused:?}");
    for words in ["region cn-hangzhou", "owner of instance kst-hz1", "root_key of instance kst-hz1"] {
        assert!(refused.iter().any(|text| text.starts_with(words)), "{words}: {refused:?}");
    }
    assert_eq!(check_start(&new, &in_use), refused);
    // The same, where the store does not know the identity.
    let unknown = InUse { instances: [("kst-hz1".parse().unwrap(), None)].into(), ..in_use.clone() };
    assert_eq!(reload_diff(&old, &new, &unknown).unwrap_err().len(), 3);
    new.instances.remove(0);
    new.accounts.remove(0);
    assert_eq!(reload_diff(&old, &new, &in_use).unwrap_err().len(), 3);
}

#[test]
fn a_reload_changes_what_may_change() {
    let old = good(BASE).config;
    let in_use = InUse {
        instances: [("kst-hz1".parse().unwrap(), Some(old.instances[0].identity()))].into(),
        ..InUse::default()
    };
    let text = BASE
        .replace("open sesame", "another")
        .replace("id = \"cn-beijing\"", "id = \"cn-beijing\"\nlisten = \"127.0.0.1:9999\"")
        .replace("id = \"kst-hz1\"", "id = \"kst-hz1\"\nkey_quota = 7")
        .replace("id = \"kst-bj1\"", "id = \"kst-bj1\"\nroot_key = { file = \"/k\" }")
        .replace("[[account]]\nid = \"1000000000000002\"\n", "");
    let new = good(&format!("[log]\nlevel = \"debug\"\nformat = \"text\"\n{text}")).config;
    let changes = reload_diff(&old, &new, &in_use).unwrap();
    assert_eq!(
        changes,
        Changes {
            level: Some(LogLevel::Debug),
            accounts: ["1000000000000001".parse().unwrap()].into(),
            accounts_gone: ["1000000000000002".parse().unwrap()].into(),
            instances: ["kst-hz1".parse().unwrap()].into(),
            instances_replaced: ["kst-bj1".parse().unwrap()].into(),
            at_next_start: ["listen of region cn-beijing".to_owned(), "log.format".to_owned()].into(),
            ..Changes::default()
        }
    );
    assert_eq!(
        changes.summary(),
        "log level debug; accounts 1000000000000001; accounts gone: 1000000000000002; instances kst-hz1; \
         instances replaced: kst-bj1; from the next start: listen of region cn-beijing, log.format"
    );
}

const MEMBERS: &str = "[[directory]]\nid = \"rd-a\"\n[[directory.entity]]\nname = \"Retail\"\nverified = true\n\
                       accounts = [\"1000000000000001\", \"1000000000000002\"]\n";

/// The base with an instance that is shared, and directories.
fn shared(directories: &str) -> String {
    let base = BASE.replace("id = \"kst-hz1\"", "id = \"kst-hz1\"\nshared_with = [\"1000000000000002\"]");
    format!("{base}{directories}")
}

#[test]
fn a_share_outside_the_directories_is_a_problem_that_names_the_reason() {
    for directories in ["", MEMBERS] {
        assert_eq!(good(&shared(directories)).warnings, [], "{directories}");
    }
    let one = MEMBERS.replace(", \"1000000000000002\"", "");
    let entity = "[[directory.entity]]\nname = \"Other\"\nverified = true\naccounts = [\"1000000000000002\"]\n";
    let elsewhere = format!("[[directory]]\nid = \"rd-b\"\n{entity}");
    for (directories, words) in [
        (one.clone(), "account 1000000000000002 is a member of no resource directory"),
        (format!("{one}{entity}"), "belongs to the entity \"Retail\", account 1000000000000002 to \"Other\""),
        (format!("{one}{elsewhere}"), "of the resource directory \"rd-a\", account 1000000000000002 of \"rd-b\""),
        (
            MEMBERS.replace("verified = true\n", ""),
            "\"Retail\" in the resource directory \"rd-a\" has not passed real-name",
        ),
    ] {
        let problems = bad(&shared(&directories));
        assert_eq!(problems.len(), 1, "{problems:?}");
        let shown = problems[0].to_string();
        assert!(shown.contains(words) && shown.contains("1000000000000002 in shared_with"), "{words}: {shown}");
        // What the file does not share may stand there.
        assert_eq!(good(&format!("{BASE}{directories}")).warnings, []);
    }
}

#[test]
fn mistakes_in_directories_are_found_with_their_places() {
    for (text, words) in [
        (MEMBERS.replace("id = \"rd-a\"\n", ""), "[directory] without id"),
        (MEMBERS.replace("name = \"Retail\"\n", ""), "[directory.entity] without name"),
        (MEMBERS.replace("verified = true", "verified = \"yes\""), "true or false"),
        (MEMBERS.replace("verified", "verifed"), "did you mean \"verified\""),
        (MEMBERS.replace("1000000000000002", "1000000000000009"), "one account of this file"),
        (format!("{MEMBERS}{MEMBERS}").replacen("1000000000000002", "1000000000000003", 1), "one account of this file"),
        ("[[directory]]\nid = \"rd-a\"\n".to_owned(), "without [[directory.entity]]"),
        (format!("{MEMBERS}[[directory]]\nid = \"rd-a\"\nentity = []\n"), "the directory \"rd-a\" a second time"),
        (format!("{MEMBERS}[[directory.entity]]\nname = \"Retail\"\n"), "the entity \"Retail\" a second time"),
        (
            format!("{MEMBERS}[[directory.entity]]\nname = \"B\"\naccounts = [\"1000000000000001\"]\n"),
            "account 1000000000000001 as a member a second time",
        ),
    ] {
        let problems: Vec<String> = bad(&format!("{BASE}{text}")).iter().map(ToString::to_string).collect();
        assert!(problems.iter().any(|line| line.contains(words)), "{words}: {problems:#?}");
    }
}

#[test]
fn a_schedule_that_no_share_can_help_is_told_so() {
    let text = schedule("at = 2026-12-01T02:00:00Z")
        .replace("account = \"1000000000000001\"\ninst", "account = \"1000000000000002\"\ninst");
    let warnings = good(&format!("{text}{}", MEMBERS.replace("verified = true\n", ""))).warnings;
    assert!(warnings.len() == 1 && warnings[0].message.contains("cannot be shared, because"), "{warnings:?}");
}

#[test]
fn a_reload_takes_no_share_away_that_is_in_use() {
    let old = good(&shared(MEMBERS)).config;
    let tenant = |shared_by_hand| Tenant { account: "1000000000000002".parse().unwrap(), shared_by_hand };
    let used = |tenant| InUse { tenants: [("kst-hz1".parse().unwrap(), vec![tenant])].into(), ..InUse::default() };
    assert!(reload_diff(&old, &old, &used(tenant(false))).unwrap().is_empty());

    let gone = good(&format!("{BASE}{MEMBERS}")).config;
    let refused = reload_diff(&old, &gone, &used(tenant(false))).unwrap_err();
    assert!(refused.len() == 1 && refused[0].contains("is gone: put it back into shared_with"), "{refused:?}");
    assert_eq!(check_start(&gone, &used(tenant(false))), refused);
    let changes = reload_diff(&old, &gone, &used(tenant(true))).unwrap();
    assert_eq!(changes.summary(), "instances kst-hz1", "what `instance share` made is still there");
    assert!(reload_diff(&old, &gone, &InUse::default()).is_ok(), "nobody uses it");

    // Neither the file nor a share by hand helps where the directory says no.
    let unverified = good(&format!("{BASE}{}", MEMBERS.replace("verified = true", "verified = false"))).config;
    let refused = reload_diff(&old, &unverified, &used(tenant(true))).unwrap_err();
    assert!(refused.len() == 1 && refused[0].contains("has not passed real-name verification"), "{refused:?}");
    assert_eq!(reload_diff(&old, &unverified, &InUse::default()).unwrap().summary(), "directories; instances kst-hz1");
}
