//! Files that are broken, and secrets in them.

use super::super::{Moved, State, Strategy};
use super::World;

const SECRET: &str = "hunter2-do-not-print";

#[test]
fn a_mistake_is_named_with_its_line_and_the_other_files_are_looked_at() {
    let good = "resource \"alicloud_kms_secret\" \"s\" {\n  secret_name = \"s\"\n}\n";
    let broken = format!("locals {{\n  password = \"{SECRET}\" \"{SECRET}\"\n}}\n");
    let world = World::new(&[("a.tf", &broken), ("b.tf", good), ("c.tf.json", &format!("{{\n\"a\": {SECRET}\n}}"))])
        .secret("s");
    std::fs::write(world.path("d.tf"), b"a = \"\xff\"").unwrap();
    let found = world.check();
    assert_eq!(found.findings.len(), 1);
    let lines: Vec<_> =
        found.problems.iter().map(|p| (p.file.file_name().unwrap().to_str().unwrap(), p.line)).collect();
    assert_eq!(lines, [("a.tf", Some(2)), ("c.tf.json", Some(2)), ("d.tf", None)]);
    assert!(!format!("{found:?}").contains(SECRET), "{found:?}");
    assert!(!found.is_clean());
}

#[test]
fn a_file_that_is_not_there_any_more_is_a_problem_and_no_end() {
    let good = "resource \"alicloud_kms_secret\" \"s\" {\n  secret_name = \"s\"\n}\n";
    let world = World::new(&[("a.tf", good)]).secret("s");
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", world.path("b.tf")).unwrap();
    let found = world.check();
    assert_eq!((found.findings.len(), found.problems.len()), (1, 1), "{:?}", found.problems);
}

#[test]
fn modules_that_call_each_other_come_to_an_end() {
    let world = World::new(&[("main.tf", "module \"a\" {\n  source = \"./a\"\n}\n"), (
        "a/main.tf",
        "module \"b\" {\n  source = \"../a\"\n}\nresource \"alicloud_kms_secret\" \"s\" {\n  secret_name = local.x\n}\nlocals {\n  x = local.y\n  y = local.x\n}\n",
    )])
    .secret("s");
    assert_eq!(world.findings().len(), 1);
}

#[test]
fn deep_and_absurd_files_are_told_not_followed() {
    let deep = format!("a = {}1{}\n", "[".repeat(5_000), "]".repeat(5_000));
    let json = format!("{{\"resource\": {}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let world = World::new(&[("a.tf", &deep), ("b.tf.json", &json), ("c.tf", "x {"), ("d.tf", "")]);
    let problems = world.check().problems;
    assert_eq!(problems.len(), 3, "{problems:?}");
}

#[test]
fn no_diff_shows_a_secret() {
    let text = format!(
        "resource \"alicloud_kms_secret\" \"s\" {{\n  secret_name = \"s\"\n  secret_data = \"{SECRET}\"\n}}\nlocals {{\n  db_password = \
         \"{SECRET}\"\n}}\nvariable \"api_token\" {{\n  default = \"{SECRET}\"\n}}\nresource \"alicloud_kms_secret\" \"t\" {{\n  secret_name = \"t\"\n  \
         secret_data = <<-X\n    one\n    {SECRET}\n  X\n}}\n"
    );
    let made = World::of(&text).secret("t").rewrite(Strategy::IgnoreChanges);
    let diff = made.files[0].diff.as_ref().unwrap();
    assert!(diff.contains("+    ignore_changes") && !diff.contains(SECRET), "{diff}");
    assert_eq!(diff.matches("@@ -").count(), 2, "{diff}");
    // Where the line itself changes there is nothing that could be shown.
    let minified = format!(
        "{{\"resource\":{{\"alicloud_kms_secret\":{{\"s\":{{\"secret_name\":\"s\",\"secret_data\":\"{SECRET}\"}}}}}}}}"
    );
    let made = World::new(&[("main.tf.json", &minified)]).secret("s").rewrite(Strategy::IgnoreChanges);
    assert_eq!(made.files[0].diff, None);
    assert!(!serde_json::to_string(&made).unwrap().contains(SECRET));
}

#[test]
fn what_cannot_be_merged_safely_is_left() {
    for (inside, line, reason) in [
        ("  lifecycle {\n    ignore_changes = var.x\n  }\n", 4, "neither a list"),
        ("  lifecycle {\n  }\n  lifecycle {\n  }\n", 1, "more than one"),
    ] {
        let text = format!("resource \"alicloud_kms_secret\" \"s\" {{\n  secret_name = \"s\"\n{inside}}}\n");
        let left = World::of(&text).rewrite(Strategy::IgnoreChanges).left;
        assert!(left.len() == 1 && left[0].line == line && left[0].reason.contains(reason), "{left:?}");
    }
}

#[test]
fn a_file_that_changed_meanwhile_is_not_written_over() {
    let text = "resource \"alicloud_kms_secret\" \"s\" {\n  secret_name = \"s\"\n}\n";
    let world =
        World::new(&[("a.tf", text), ("b.tf", &text.replace("\"s\" {", "\"t\" {").replace("\"s\"\n", "\"t\"\n"))]);
    let world = world.secret("s").secret("t");
    let made = world.rewrite(Strategy::IgnoreChanges);
    world.put("b.tf", "# edited\n");
    let error = made.write().unwrap_err().to_string();
    assert!(error.contains("b.tf") && error.contains("meanwhile"), "{error}");
    assert_eq!(std::fs::read_to_string(world.path("a.tf")).unwrap(), text, "nothing was changed");
    assert_eq!(std::fs::read_to_string(world.path("b.tf")).unwrap(), "# edited\n");
    assert_eq!(std::fs::read_dir(world.dir()).unwrap().count(), 2, "nothing is left over");
}

#[test]
fn modes_of_files_stay() {
    use std::os::unix::fs::PermissionsExt;
    let text = "resource \"alicloud_kms_secret\" \"s\" {\n  secret_name = \"s\"\n}\n";
    let world = World::new(&[("a.tf", text)]).secret("s");
    let mode = |mode| std::fs::set_permissions(world.path("a.tf"), std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o444);
    let error = world.rewrite(Strategy::IgnoreChanges).write().unwrap_err().to_string();
    assert!(error.contains("read-only"), "{error}");
    mode(0o640);
    world.rewritten(Strategy::IgnoreChanges);
    assert_eq!(std::fs::metadata(world.path("a.tf")).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn lists_and_states_that_are_none_are_refused_without_quoting_them() {
    let world = World::new(&[
        (
            "a.list",
            "# what moved\nkey 11111111-2222-3333-4444-555555555555 instance=kst-1 protection=hsm\nalias/x\nsecret a b\n",
        ),
        ("b.list", &format!("{{\"keys\": [{SECRET}")),
        ("c.list", "{}"),
        (
            "d.list",
            "66666666-2222-3333-4444-555555555555\nkey-hzz1\nalias/a\ndb/password # a secret\nsecret alias/odd instance=kst-2\n",
        ),
        (
            "e.list",
            "{\"keys\": [{\"id\": \"k1\", \"instance\": null}, {\"id\": \"k2\", \"instance\": \"kst-1\"}], \"secrets\": [\"s\"]}",
        ),
        ("old.tfstate", "{\"version\": 3, \"modules\": []}"),
        ("bad.tfstate", &format!("{{\"version\": \"{SECRET}\"")),
    ]);
    let error = |name: &str| Moved::read_list(&world.path(name)).unwrap_err().to_string();
    assert!(error("a.list").contains("line 4"), "{}", error("a.list"));
    assert!(error("c.list").contains("neither"), "{}", error("c.list"));
    assert!(error("nope.list").contains("cannot be read"));
    let read = |name: &str| Moved::read_list(&world.path(name)).unwrap();
    let moved = read("d.list");
    let names: Vec<_> = moved.keys.iter().map(|key| key.name().to_owned()).collect();
    assert_eq!(names, ["66666666-2222-3333-4444-555555555555", "key-hzz1", "alias/a"]);
    let names: Vec<_> = moved.secrets.iter().map(|secret| secret.name.as_str()).collect();
    assert_eq!((names, moved.secrets[1].instance.as_deref()), (vec!["db/password", "alias/odd"], Some("kst-2")));
    assert_eq!(read("e.list").keys.len(), 1, "k1 is in the shared KMS");
    let state = |name: &str| State::default().read(&world.path(name)).unwrap_err().to_string();
    assert!(state("old.tfstate").contains("version 3"), "{}", state("old.tfstate"));
    for text in [error("b.list"), state("bad.tfstate")] {
        assert!(text.contains("line 1") && !text.contains(SECRET), "{text}");
    }
}
