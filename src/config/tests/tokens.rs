//! Tokens of hardware instances.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::BASE;
use crate::config::Config;

#[test]
fn a_token_belongs_to_one_instance() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    fs::write(place.join("pin"), "482916\n").unwrap();
    fs::set_permissions(place.join("pin"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(place.join("module.so"), "a module").unwrap();
    symlink("module.so", place.join("link.so")).unwrap();
    let parse = |one: (&str, &str), other: (&str, &str)| {
        let instance = |id: &str, (module, label): (&str, &str)| {
            format!(
                "[[instance]]\nid = \"{id}\"\nregion = \"cn-hangzhou\"\nowner = \"1000000000000001\"\nkind = \"hardware\"\n\
                 pkcs11 = {{ module = \"{module}\", token = \"{label}\", pin_file = \"pin\" }}\n"
            )
        };
        let text = format!("{BASE}{}{}", instance("kst-t1", one), instance("kst-t2", other));
        Config::parse(&place.join("keyferry.toml"), &text)
    };
    for other in [("module.so", "two"), ("away.so", "one")] {
        let loaded = parse(("module.so", "one"), other).unwrap_or_else(|problems| panic!("{problems:#?}"));
        assert_eq!(loaded.config.instances.len(), 4, "{other:?}");
    }
    // The same under another name is the same.
    for other in [("module.so", "one"), ("link.so", "one"), ("./module.so", "one  "), ("away.so", "one")] {
        let one = if other.0 == "away.so" { other } else { ("module.so", "one") };
        let problems = parse(one, other).err().unwrap_or_else(|| panic!("{other:?} is accepted"));
        let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
        let text = problem.to_string();
        assert!(text.contains("the token \"one\" of") && text.contains("a second time"), "{text}");
        assert!(text.contains("each token once (first in line"), "{text}");
    }
}
