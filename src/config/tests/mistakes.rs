//! Every mistake that the reader knows, one file each.

use super::{BASE, bad, good, schedule};
use crate::model::MAX_ACCOUNTS;

#[test]
fn mistakes_one_by_one() {
    let base = |lines: &str| format!("{lines}\n{BASE}");
    let more = |lines: &str| format!("{BASE}{lines}\n");
    let at = "at = 2026-12-01T02:00:00Z";
    let picked = |n: usize| {
        let names: Vec<_> = (0..n).map(|n| format!("\"s{n}\"")).collect();
        schedule(at).replace("resources = \"all\"", &format!("resources = {{ secrets = [{}] }}", names.join(",")))
    };
    let group = |n: usize| {
        let ids: Vec<_> = (0..n).map(|n| format!("2{n:015}")).collect();
        let tables: String = ids.iter().map(|id| format!("\n[[account]]\nid = \"{id}\"")).collect();
        let list = format!("accounts = {ids:?}\ninstance");
        schedule(at).replace("account = \"1000000000000001\"\ninstance", &list) + &tables
    };
    let webhook = |lines: &str| {
        let key = "0123456789abcdef0123456789abcdef";
        more(&format!("[[rotator]]\nname = \"r\"\nkind = \"webhook\"\nsecret = \"{key}\"\n{lines}"))
    };
    let postgresql = |lines: &str| {
        more(&format!(
            "[[rotator]]\nname = \"r\"\nkind = \"postgresql\"\ndatabase = \"d\"\nuser = \"u\"\nsecret = \"s\"\n{lines}"
        ))
    };
    let cases = [
        (
            more(
                "[[rotator]]\nkind = \"webhook\"\nurl = \"https://r.example\"\nsecret = \"0123456789abcdef0123456789abcdef\"",
            ),
            "without name",
        ),
        (more("[[rotator]]\nname = \"r\"\nsecret = \"s\""), "without kind"),
        (more("[[rotator]]\nname = \"r\"\nkind = \"webhok\"\nsecret = \"s\""), "did you mean \"webhook\""),
        (webhook(""), "without url"),
        (webhook("url = \"http://rotator.example\""), "https://rotator.example/rotate"),
        (webhook("url = \"https://user:pw@rotator.example\""), "without user and password"),
        (webhook("url = \"https://rotator.example\"\nca = \"/nonexistent\""), "cannot be read"),
        (webhook("url = \"https://rotator.example\"\nhost = \"h\""), "it only with kind = \"postgresql\""),
        (webhook("url = \"https://rotator.example\"\ntypes = [\"Generic\"]"), "\"Rds\", \"RAMCredentials\", \"ECS\""),
        (webhook("url = \"https://rotator.example\"\naccounts = [\"1000000000000009\"]"), "one account of this file"),
        (webhook("url = \"https://rotator.example\"\nnames = [\"*x\"]"), "at the end"),
        (webhook("url = \"https://rotator.example\"\ntimeout = \"31s\""), "to 30s"),
        (webhook("url = \"https://rotator.example\"\nattempts = 0"), "from 1 to 100"),
        (
            postgresql(
                "host = \"::1\"\n[[rotator]]\nname = \"r\"\nkind = \"webhook\"\nurl = \"https://r.example\"\nsecret = \"0123456789abcdef0123456789abcdef\"",
            ),
            "the rotator r a second time",
        ),
        (
            more("[[rotator]]\nname = \"r\"\nkind = \"webhook\"\nurl = \"https://r.example\"\nsecret = \"short\""),
            "openssl rand -hex 32",
        ),
        (postgresql(""), "without host"),
        (postgresql("host = \"10.0.0.1\""), "or a loopback address"),
        (postgresql("host = \"127.0.0.1\"\nurl = \"https://r.example\""), "it only with kind = \"webhook\""),
        (postgresql("host = \"127.0.0.1\"\ntypes = [\"ECS\"]"), "types = [\"Rds\"]"),
        (postgresql("host = \"127.0.0.1\"\nport = 0"), "from 1 to 65535"),
        (base("a = = 1"), "mistake in the TOML"),
        (base("[api]\nlisten = \"0.0.0.0:8780\""), "without tls"),
        (base("[api]\nlisten = \"localhost\""), "IP address and a port"),
        (base("[api]\ntls = { certificate = \"/nonexistent\", private_key = \"/nonexistent\" }"), "cannot be read"),
        (base("[store]\nengine = \"etcd\""), "etcd comes in a later release"),
        (base("[store]\nengine = \"sledd\""), "did you mean \"sled\""),
        (base("[seal]\nroot_key = { credential = \"a\", file = \"b\" }"), "both credential and file"),
        (base("[seal]\nroot_key = {}"), "neither credential nor file"),
        (base("[seal]\nroot_key = { credential = \"../a\" }"), "without a slash"),
        (base("[migration]\nworkers = 0"), "from 1 to 64"),
        (base("[migration]\nworkers = -1"), "from 1 to 64"),
        (base("[limits]\ndata_per_second = -1"), "from 0 to 1000000"),
        (base("[limits]\nper_second = 1"), "data_per_second"),
        (base("[backup]\nkey_file = \"/k\""), "directory"),
        (base("[backup]\ndirectory = \"/b\""), "key_file"),
        (base("[backup]\ndirectory = \"/b\"\nkey_file = \"/b/key\""), "a place apart"),
        (base("[backup]\ndirectory = \"/b\"\nkey_file = \"/k\"\nevery = \"0s\""), "such as \"24h\""),
        (base("[backup]\ndirectory = \"/b\"\nkey_file = \"/k\"\nkeep = 0"), "from 1 to 10000"),
        (base("[migration]\nallowed_hours = [\"22:00-06:00\"]"), "HH:MM-HH:MM"),
        (base("[migration]\nallowed_hours = [\"22:00-06:00 Asia/Shangai\"]"), "time zone"),
        (base("[migration]\nallowed_hours = []"), "leave the key out"),
        (base("[console]\nx = 1"), "reserved"),
        (more("[[region]]\nid = \"cn-hangzhou\""), "first in line 3"),
        (more("[[region]]\nid = \"CN\""), "lower-case"),
        (more("[[region]]\nid = \"cn-a\"\nlisten = \"127.0.0.1:8780\""), "a second time"),
        (more("[[region]]\nid = \"cn-a\"\nlisten = \"10.0.0.1:8781\""), "without tls"),
        ("[[account]]\nid = \"1000000000000001\"\n".to_owned(), "without [[region]]"),
        (more("[[account]]\nid = \"1000000000000001\""), "account 1000000000000001 a second time"),
        (more("[[account]]\nid = \"1\""), "16 decimal digits"),
        (
            more("[[account]]\nid = \"1000000000000003\"\n[[account.access_key]]\nid = \"LTAIretail\"\nsecret = \"x\""),
            "access key LTAIretail a second time",
        ),
        (more("[[account]]\nid = \"1000000000000003\"\n[[account.access_key]]\nid = \"b\""), "without its secret"),
        (
            more(
                "[[account]]\nid = \"1000000000000003\"\n[[account.access_key]]\nid = \"b\"\nsecret = \"x\"\nsecret_file = \"/y\"",
            ),
            "more than one place",
        ),
        (
            more(
                "[[account]]\nid = \"1000000000000003\"\n[[account.access_key]]\nid = \"b\"\nsecret_file = \"/nonexistent\"",
            ),
            "cannot be read",
        ),
        (
            more(
                "[[instance]]\nid = \"kst-hz1\"\nregion = \"cn-hangzhou\"\nowner = \"1000000000000001\"\nkind = \"software\"",
            ),
            "instance kst-hz1 a second time",
        ),
        (
            more(
                "[[instance]]\nid = \"kst-x\"\nregion = \"cn-hangzho\"\nowner = \"1000000000000001\"\nkind = \"software\"",
            ),
            "did you mean \"cn-hangzhou\"",
        ),
        (
            more(
                "[[instance]]\nid = \"kst-x\"\nregion = \"cn-hangzhou\"\nowner = \"1000000000000009\"\nkind = \"software\"",
            ),
            "one account of this file",
        ),
        (
            more(
                "[[instance]]\nid = \"kst-x\"\nregion = \"cn-hangzhou\"\nowner = \"1000000000000001\"\nkind = \"hardware\"",
            ),
            "without pkcs11",
        ),
        (
            more(
                "[[instance]]\nid = \"kst-x\"\nregion = \"cn-hangzhou\"\nowner = \"1000000000000001\"\nkind = \"hardwear\"",
            ),
            "did you mean \"hardware\"",
        ),
        (
            more(
                "[[instance]]\nid = \"kst-x\"\nregion = \"cn-hangzhou\"\nowner = \"1000000000000001\"\nkind = \"hardware\"\npkcs11 = { module = \"/m.so\", token = \"t\" }",
            ),
            "a token without its PIN",
        ),
        (
            more(
                "[[instance]]\nid = \"kst-x\"\nregion = \"cn-hangzhou\"\nowner = \"1000000000000001\"\nkind = \"hardware\"\npkcs11 = { module = \"/m.so\", token = \"t\", pin_file = \"/no/such/pin\" }",
            ),
            "which cannot be read",
        ),
        (
            more(
                "[[instance]]\nid = \"kst-x\"\nregion = \"cn-hangzhou\"\nowner = \"1000000000000001\"\nkind = \"software\"\npkcs11 = { module = \"/m.so\", token = \"t\", pin_file = \"/p\" }",
            ),
            "pkcs11 with kind = \"hardware\" only",
        ),
        (
            more(
                "[[instance]]\nid = \"kst-x\"\nregion = \"cn-hangzhou\"\nowner = \"1000000000000001\"\nkind = \"software\"\nremote = 7",
            ),
            "a table with endpoint",
        ),
        (
            more(
                "[[instance]]\nid = \"kst-x\"\nregion = \"cn-hangzhou\"\nowner = \"1000000000000001\"\nkind = \"software\"\nshared_with = [\"1000000000000001\"]",
            ),
            "other than the owner",
        ),
        (
            more(
                "[[instance]]\nid = \"kst-x\"\nregion = \"cn-hangzhou\"\nowner = \"1000000000000001\"\nkind = \"software\"\nexpires = 2027-12-31",
            ),
            "offset",
        ),
        (format!("instance_server = 7\n{BASE}"), "a table with listen"),
        (more("[instance]\nid = \"kst-x\""), "mistake in the TOML"),
        (schedule(""), "neither at nor cron"),
        (schedule("at = 2026-12-01T02:00:00"), "offset"),
        (schedule("at = \"2026-12-01 02:00\""), "offset"),
        (schedule("at = 2026-12-01T02:00:00Z\ncron = \"0 2 * * *\"\ntime_zone = \"UTC\""), "both at and cron"),
        (schedule("at = 2026-12-01T02:00:00Z\ntime_zone = \"UTC\""), "time_zone beside at"),
        (schedule("cron = \"0 2 * * *\""), "without time_zone"),
        (schedule("cron = \"0 2 * * Sunn\"\ntime_zone = \"UTC\""), "day of week"),
        (schedule("cron = \"0 2 * * *\"\ntime_zone = \"Asia/Shangai\""), "Asia/Shangai"),
        (schedule(&format!("{at}\nwindow = \"30m\"\nsoak = \"30m\"")), "less than the window"),
        (schedule(&format!("{at}\nsoak = \"2h\"")), "less than the window, which is 2h"),
        (schedule(&format!("{at}\nwindow = \"2 hours\"")), "duration"),
        (schedule(&format!("{at}\nwindow = 7200")), "duration"),
        (schedule(&format!("{at}\nwindow = \"0s\"")), "window of 0s"),
        (schedule(&format!("{at}\nif_missed = \"ran\"")), "did you mean \"run\""),
        (schedule(&format!("{at}\nrehearse = \"yes\"")), "true or false"),
        (schedule(&format!("{at}\naccounts = [\"1000000000000002\"]")), "both account and accounts"),
        (
            schedule(at).replace("account = \"1000000000000001\"\ninstance", "accounts = []\ninstance"),
            "empty list of accounts",
        ),
        (
            schedule(at).replace(
                "account = \"1000000000000001\"\ninstance",
                "accounts = [\"1000000000000001\", \"1000000000000001\"]\ninstance",
            ),
            "twice in accounts",
        ),
        (schedule(at).replace("account = \"1000000000000001\"\ninstance", "instance"), "without an account"),
        (schedule(at).replace("instance = \"kst-hz1\"", "instance = \"kst-hz2\""), "did you mean \"kst-hz1\""),
        (schedule(at).replace("instance = \"kst-hz1\"", "instance = \"kst-bj1\""), "RegionMismatch"),
        (schedule(at).replace("resources = \"all\"", "resources = \"al\""), "did you mean \"all\""),
        (schedule(at).replace("resources = \"all\"", ""), "without resources"),
        (schedule(at).replace("resources = \"all\"", "resources = { keys = [] }"), "name nothing"),
        (schedule(at).replace("resources = \"all\"", "resources = { key = [\"x\"] }"), "did you mean \"keys\""),
        (schedule(at).replace("name = \"s\"", "name = \"a b\""), "letters, digits"),
        (picked(51), "TooManySelected"),
        (group(MAX_ACCOUNTS + 1), "at most 64 accounts"),
        (format!("{}{}", schedule(at), schedule(at).replace(BASE, "")), "schedule s a second time"),
    ];
    for (text, words) in cases {
        let problems = bad(&text);
        let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(shown.iter().any(|line| line.contains(words)), "{words}: {shown:#?}");
        assert!(problems.iter().all(|problem| problem.position.is_some()));
        assert_eq!(shown.len(), 1 + usize::from(words == "cannot be read" && text.contains("tls")), "{shown:#?}");
    }
    assert_eq!(good(&picked(50)).config.schedules.len(), 1);
    assert_eq!(good(&group(MAX_ACCOUNTS)).config.schedules.len(), 1);
}
