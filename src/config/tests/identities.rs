//! Users, roles and their policies; rights over the admin socket.

use super::*;
use crate::model::AdminRight;

/// The base file with more about its first account.
fn with(lines: &str) -> String {
    BASE.replacen("secret = \"open sesame\"\n", &format!("secret = \"open sesame\"\n{lines}\n"), 1)
}

#[test]
fn the_sample_has_users_roles_and_rights() {
    let config = good(SAMPLE).config;
    let user = &config.accounts[0].users[0];
    assert_eq!((user.name.as_str(), user.policies.len(), user.access_keys.len()), ("orders-app", 2, 1));
    assert_eq!(user.policies[0].origin, PolicyOrigin::BuiltIn);
    assert_eq!(config.accounts[0].roles[0].policies.len(), 2);
    let rights = &config.admin.rights;
    assert_eq!((&rights[0].who, rights[0].may), (&Who::Group("keyferry".to_owned()), AdminRight::Administer));
    assert_eq!((&rights[1].who, rights[1].may), (&Who::User("deploy".to_owned()), AdminRight::Plan));
    let (account, key) = config.access_key("LTAIorders").unwrap();
    assert_eq!((account.id.as_str(), key.disabled), ("1000000000000001", false));
}

#[test]
fn mistakes_are_told_with_their_places() {
    const KEY: &str = "[[account.user.access_key]]\nid = \"LTAIretail\"\nsecret = \"x\"";
    for (lines, said) in [
        ("[[account.user]]", "without name"),
        ("[[account.user]]\nname = \"a b\"", "1 to 64 letters"),
        ("[[account.user]]\nname = \"a\"\n[[account.user]]\nname = \"a\"", "the user a a second time"),
        ("[[account.role]]\nname = \"a\"\n[[account.role]]\nname = \"a\"", "the role a a second time"),
        (
            "[[account.user]]\nname = \"a\"\npolicies = [\"AliyunKMSFullAcess\"]",
            "did you mean \"AliyunKMSFullAccess\"?",
        ),
        ("[[account.user]]\nname = \"a\"\n[[account.user.policy]]\nname = \"p\"", "a policy without its document"),
        (
            "[[account.user]]\nname = \"a\"\n[[account.user.policy]]\nname = \"p\"\ndocument = '{\"Version\":\"1\",\"Statement\":[{}]}'",
            "a fault at $.Statement[0]: found no Effect",
        ),
        (
            "[[account.user]]\nname = \"a\"\n[[account.user.policy]]\nname = \"p\"\ndocument = '{\"Version\" 1}'",
            "a fault at line 1, column 12",
        ),
        (
            "[[account.user]]\nname = \"a\"\n[[account.user.policy]]\nname = \"p\"\nfile = \"none.json\"",
            "cannot be read",
        ),
        (&format!("[[account.user]]\nname = \"a\"\n{KEY}"), "the access key LTAIretail a second time"),
        (
            "[[account.user]]\nname = \"a\"\npolicy = \"x\"",
            "one or more tables that begin with [[account.user.policy]]",
        ),
    ] {
        let problems = bad(&with(lines));
        let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(text.contains(said), "{lines}\n{text}");
        assert!(problems.iter().all(|problem| problem.position.is_some()), "{text}");
    }
    for (lines, said) in [
        ("[[admin.rights]]\nmay = \"view\"", "rights of nobody"),
        ("[[admin.rights]]\nuser = \"a\"\ngroup = \"b\"\nmay = \"view\"", "rights of nobody, or of two"),
        ("[[admin.rights]]\nuser = \"a\"\nmay = \"migrat\"", "did you mean \"migrate\"?"),
        ("[[admin.rights]]\nuser = \"a\"", "without may"),
    ] {
        let text = bad(&format!("{BASE}{lines}\n")).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(text.contains(said), "{lines}\n{text}");
    }
}

#[test]
fn a_policy_file_lies_beside_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keyferry.toml");
    let lines = "[[account.role]]\nname = \"a\"\n[[account.role.policy]]\nname = \"p\"\nfile = \"p.json\"";
    fs::write(&path, with(lines)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(directory.path().join("p.json"), "{\n\"Version\": \"1\",\n\"Statement\": [}").unwrap();
    let problems = Config::load_with(&path, None).err().unwrap();
    assert!(problems[0].found.contains("p.json, a policy with a fault at line 3, column 15"), "{problems:?}");
    fs::write(directory.path().join("p.json"), r#"{"Version":"1","Statement":[]}"#).unwrap();
    let config = Config::load_with(&path, None).ok().unwrap().config;
    assert_eq!(config.accounts[0].roles[0].policies[0].origin, PolicyOrigin::File(directory.path().join("p.json")));
}

#[test]
fn users_keys_and_rights_change_by_reload() {
    let old = good(BASE).config;
    let changed = |text: &str| reload_diff(&old, &good(text).config, &InUse::default()).unwrap();
    assert!(changed(&with("disabled = true")).accounts.contains(&"1000000000000001".parse().unwrap()));
    assert!(changed(&with("[[account.role]]\nname = \"a\"")).accounts.contains(&"1000000000000001".parse().unwrap()));
    let rights = changed(&format!("{BASE}[[admin.rights]]\nuser = \"a\"\nmay = \"view\"\n"));
    assert!(rights.rights && rights.at_next_start.is_empty(), "{}", rights.summary());
}
