//! Modules, variables, repetition, override files, and what cannot be followed.

use super::super::{Strategy, TerraformError};
use super::{ALIAS, INSTANCE, World};

#[test]
fn names_are_followed_through_modules_variables_locals_and_files_of_variables() {
    let world = World::new(&[
        (
            "main.tf",
            "variable \"env\" {}\nvariable \"team\" {\n  default = \"x\"\n}\nlocals {\n  names = {\n    db    = format(\"%s/%s\", var.env, \
             \"db\")\n    cache = join(\"/\", [var.env, upper(\"c\")])\n  }\n}\nmodule \"outer\" {\n  for_each = local.names\n  source   = \
             \"./modules/outer\"\n  name     = each.value\n}\n",
        ),
        ("terraform.tfvars", "env = \"dev\"\n"),
        ("prod.auto.tfvars.json", "{\"env\": \"prod\"}"),
        ("modules/outer/main.tf", "variable \"name\" {}\nmodule \"inner\" {\n  source = \"../inner\"\n  name   = \"${var.name}-pw\"\n}\n"),
        (
            "modules/inner/main.tf",
            "variable \"name\" {}\nresource \"alicloud_kms_secret\" \"s\" {\n  secret_name = var.name\n  secret_data = \"x\"\n}\n",
        ),
    ])
    .secret("prod/db-pw")
    .secret("prod/C-pw");
    let found = world.check();
    assert_eq!(found.findings.len(), 1, "one block, used twice: {found:?}");
    assert_eq!(found.findings[0].moved, ["prod/db-pw", "prod/C-pw"]);
    assert!(found.findings[0].file.ends_with("modules/inner/main.tf"));
    assert_eq!(found.findings[0].address, "module.outer[\"db\"].module.inner.alicloud_kms_secret.s");
    world.rewritten(Strategy::IgnoreChanges);
}

#[test]
fn an_alias_leads_to_its_key_across_modules() {
    let inner = "resource \"alicloud_kms_key\" \"k\" {}\noutput \"id\" {\n  value = alicloud_kms_key.k.id\n}\n";
    let alias = "resource \"alicloud_kms_alias\" \"a\" {\n  alias_name = \"alias/k\"\n  key_id     = module.m.id\n}\n";
    let world =
        World::new(&[("main.tf", &format!("module \"m\" {{\n  source = \"./m\"\n}}\n{alias}")), ("m/main.tf", inner)]);
    let world = world.key("k1", "alias/k");
    assert_eq!(world.findings(), ["module.m.alicloud_kms_key.k WouldBeReplaced Certain"]);
    let by_variable = "variable \"key\" {}\nresource \"alicloud_kms_alias\" \"a\" {\n  alias_name = \"alias/k\"\n  key_id     = var.key\n}\n";
    let main = "resource \"alicloud_kms_key\" \"k\" {\n  count = 1\n}\nmodule \"m\" {\n  source = \"./m\"\n  key    = one(alicloud_kms_key.k[*].id)\n}\n";
    let world = World::new(&[("main.tf", main), ("m/main.tf", by_variable)]).key("k1", "alias/k");
    assert_eq!(world.findings(), ["alicloud_kms_key.k WouldBeReplaced Certain"]);
}

#[test]
fn repetition_is_taken_apart_where_it_is_known() {
    let counted =
        "resource \"alicloud_kms_secret\" \"s\" {\n  count       = 3\n  secret_name = \"s-${count.index}\"\n}\n";
    let world = World::new(&[("main.tf", counted)]).secret("s-0").secret("s-1").secret("s-2");
    assert_eq!(world.check().findings[0].moved, ["s-0", "s-1", "s-2"]);
    let text = world.rewritten(Strategy::InstanceId);
    assert!(text.contains(&format!("dkms_instance_id = \"{INSTANCE}\"")), "all of them moved: {text}");
    // Only some of them moved: stating the instance would replace the others.
    let world = World::new(&[("main.tf", counted)]).secret("s-0").secret("s-1");
    let made = world.rewrite(Strategy::InstanceId);
    assert!(made.files.is_empty() && made.left[0].reason.contains("ignore-changes"), "{made:?}");
    world.rewritten(Strategy::IgnoreChanges);
    let mut world = World::new(&[("main.tf", counted)]).secret("s-0").secret("s-1").secret("s-2");
    world.moved.secrets[2].instance = Some("kst-2".to_owned());
    assert!(world.rewrite(Strategy::InstanceId).left[0].reason.contains("several instances"));
}

#[test]
fn a_name_that_only_terraform_knows_is_left_and_explained() {
    let text = "variable \"env\" {}\nresource \"alicloud_kms_secret\" \"s\" {\n  secret_name = \"${var.env}/db\"\n}\n";
    let world = World::new(&[("main.tf", text)]).secret("prod/db").secret("x");
    assert_eq!(world.findings(), ["alicloud_kms_secret.s Undecided Undecided"]);
    let left = world.rewrite(Strategy::IgnoreChanges).left;
    assert!(left[0].line == 2 && left[0].reason.contains("--state"), "{left:?}");
    let world = World::new(&[("main.tf", text)]).secret("prod/cache");
    assert!(world.check().is_clean(), "no name that moved ends like that");
}

#[test]
fn an_instance_that_is_an_expression_is_left_under_one_strategy_and_ignored_under_the_other() {
    let text = "variable \"i\" {\n  default = \"kst-old\"\n}\nresource \"alicloud_kms_secret\" \"s\" {\n  secret_name      = \"s\"\n  dkms_instance_id = var.i\n}\n";
    let world = World::of(text);
    let left = world.rewrite(Strategy::InstanceId).left;
    assert_eq!((left.len(), left[0].line), (1, 6), "the line of the attribute: {left:?}");
    world.rewritten(Strategy::IgnoreChanges);
    let right = text.replace("kst-old", INSTANCE);
    assert!(World::of(&right).check().is_clean(), "the variable says what holds");
    let open = text.replace("  default = \"kst-old\"\n", "");
    assert_eq!(World::of(&open).findings(), ["alicloud_kms_secret.s WouldBeReplaced Likely"]);
}

#[test]
fn override_files_are_merged_as_terraform_merges_them() {
    let key = format!(
        "resource \"alicloud_kms_key\" \"k\" {{\n  description = \"x\"\n  lifecycle {{\n    ignore_changes = [dkms_instance_id]\n  }}\n}}\n{ALIAS}"
    );
    let list = "resource \"alicloud_kms_key\" \"k\" {\n  lifecycle {\n    ignore_changes = [tags]\n  }\n}\n";
    let world = World::new(&[("main.tf", &key), ("a_override.tf", list)]).key("k1", "alias/k");
    let found = world.check();
    assert!(found.findings[0].file.ends_with("main.tf"), "told where the resource is described");
    // The list of the override file is the one that holds, so it is the one that is changed.
    let text = world.rewritten(Strategy::IgnoreChanges);
    assert!(text.contains("[tags, dkms_instance_id"), "{text}");
    let other = "resource \"alicloud_kms_key\" \"k\" {\n  lifecycle {\n    prevent_destroy = true\n  }\n}\n";
    let world = World::new(&[("main.tf", &key), ("override.tf", other)]).key("k1", "alias/k");
    assert!(world.check().is_clean(), "the list of the base stays");
}

#[test]
fn a_module_that_lies_elsewhere_is_told_where_it_is_called() {
    let text = "module \"kms\" {\n  source  = \"terraform-alicloud-modules/kms/alicloud\"\n  version = \"1.0\"\n}\n";
    let state = serde_json::json!({ "version": 4, "resources": [
        { "mode": "managed", "type": "alicloud_kms_key", "name": "this", "module": "module.kms", "instances": [
            { "attributes": { "id": "k1" } } ] },
        { "mode": "managed", "type": "alicloud_kms_key", "name": "gone", "instances": [ { "attributes": { "id": "k2" } } ] } ] });
    let world = World::new(&[("main.tf", text)]).key("k1", "").key("k2", "").state(&state);
    let found = world.check();
    assert_eq!((found.findings[0].address.as_str(), found.findings[0].line), ("module.kms.alicloud_kms_key.this", 1));
    assert!(found.notes[0].contains("alicloud_kms_key.gone"), "{:?}", found.notes);
    let made = world.rewrite(Strategy::IgnoreChanges);
    assert!(made.files.is_empty() && made.left[0].reason.contains("module"), "{made:?}");
}

#[test]
fn files_outside_of_the_directory_are_read_but_not_changed() {
    let world = World::new(&[
        ("env/main.tf", "module \"m\" {\n  source = \"../shared\"\n}\n"),
        ("shared/main.tf", "resource \"alicloud_kms_secret\" \"s\" {\n  secret_name = \"s\"\n}\n"),
    ])
    .secret("s");
    let configuration = super::Configuration::read(&world.path("env"), &[]).unwrap();
    let found = super::assess(&configuration, &world.state, &world.moved, None);
    assert_eq!(found.findings.len(), 1);
    let made = super::rewrite(&configuration, &found, Strategy::IgnoreChanges, None);
    assert!(made.files.is_empty() && made.left[0].reason.contains("outside"), "{made:?}");
    // Above both it is.
    world.rewritten(Strategy::IgnoreChanges);
}

#[cfg(unix)]
#[test]
fn a_file_that_is_linked_into_two_directories_is_changed_once_and_stays_a_link() {
    let text = "resource \"alicloud_kms_secret\" \"s\" {\n  secret_name = \"s\"\n}\n";
    let world = World::new(&[("a/main.tf", text), ("b/other.tf", "")]).secret("s");
    std::os::unix::fs::symlink("../a/main.tf", world.path("b/linked.tf")).unwrap();
    world.rewritten(Strategy::IgnoreChanges);
    assert!(world.path("b/linked.tf").symlink_metadata().unwrap().is_symlink());
}

#[test]
fn the_version_comes_from_the_lock_file() {
    let lock = "provider \"registry.terraform.io/aliyun/alicloud\" {\n  version     = \"1.240.0\"\n  constraints = \">= 1.0\"\n}\n";
    let key = format!("resource \"alicloud_kms_key\" \"k\" {{}}\n{ALIAS}");
    let world = World::of(&key);
    world.put(".terraform.lock.hcl", lock);
    assert_eq!(world.read().provider(), Some("1.240.0".parse().unwrap()));
    assert!(world.check().is_clean(), "the ID is computed since");
    let exact = "terraform {\n  required_providers {\n    alicloud = {\n      source  = \"aliyun/alicloud\"\n      version = \"= 1.220.1\"\n    }\n  }\n}\n";
    let world = World::of(&format!("{exact}{key}"));
    assert_eq!(world.read().provider(), Some("1.220.1".parse().unwrap()));
    let open = World::of(&format!("{}{key}", exact.replace("= 1.220.1", "~> 1.220")));
    assert_eq!(open.read().provider(), None);
}

#[test]
fn a_constraint_that_allows_only_new_versions_says_enough() {
    let key = format!("resource \"alicloud_kms_key\" \"k\" {{}}\n{ALIAS}");
    for (constraint, clean) in [
        (">= 1.236.0", true),
        ("~> 1.240", true),
        (">= 1.235.0", false),
        (">= 1.200, < 2.0", false),
        ("> 1.100, >= 1.250.0", true),
    ] {
        let required = format!("alicloud = {{ version = \"{constraint}\" }}");
        let text = format!("terraform {{\n  required_providers {{\n    {required}\n  }}\n}}\n{key}");
        assert_eq!(World::of(&text).check().is_clean(), clean, "{constraint}");
    }
}

#[test]
fn a_state_of_one_root_module_says_nothing_of_another() {
    let key = |alias: &str| format!("resource \"alicloud_kms_key\" \"k\" {{}}\n{}", ALIAS.replace("alias/k", alias));
    let state = serde_json::json!({ "version": 4, "resources": [
        { "mode": "managed", "type": "alicloud_kms_key", "name": "k", "instances": [
            { "attributes": { "id": "of-a" } } ] } ] });
    let world = World::new(&[("a/main.tf", &key("alias/a")), ("b/main.tf", &key("alias/b"))]);
    let found = world.key("of-b", "alias/b").state(&state).check();
    assert_eq!(found.findings.len(), 1, "{found:?}");
    assert!(found.findings[0].file.ends_with("b/main.tf"));
}

#[test]
fn what_moved_but_was_seen_nowhere_is_told() {
    let text = "module \"far\" {\n  source = \"git::https://example.com/x.git\"\n}\n";
    let notes = World::of(text).check().notes;
    assert!(notes[0].contains("key k1, secret s") && notes[1].contains("module.far"), "{notes:?}");
    let secret = "resource \"alicloud_kms_secret\" \"s\" {\n  secret_name = \"s\"\n}\n";
    let all = format!("resource \"alicloud_kms_key\" \"k\" {{}}\n{secret}{ALIAS}{text}");
    assert!(World::of(&all).check().notes.is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_whose_name_is_not_utf8_is_read_like_any_other() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::new(&[("main.tf", "")]).secret("s");
    let name = world.dir().join(std::ffi::OsStr::from_bytes(b"\xff.tf"));
    std::fs::write(name, "resource \"alicloud_kms_secret\" \"s\" {\n  secret_name = \"s\"\n}\n").unwrap();
    assert!(serde_json::to_string(&world.check()).unwrap().contains("\u{fffd}.tf"));
    world.rewritten(Strategy::IgnoreChanges);
}

#[test]
fn directories_of_terraform_itself_are_left_out_and_an_empty_one_is_refused() {
    let text = "resource \"alicloud_kms_secret\" \"s\" {\n  secret_name = \"s\"\n}\n";
    let world = World::new(&[(".terraform/modules/x/main.tf", text), ("README.md", "")]).secret("s");
    assert!(matches!(super::Configuration::read(world.dir(), &[]), Err(TerraformError::Empty(_))));
    let missing = super::Configuration::read(&world.path("none"), &[]).unwrap_err();
    assert!(matches!(missing, TerraformError::Directory { .. }) && missing.to_string().contains("none"), "{missing}");
    world.put("deep/er/main.tf", text);
    assert_eq!(world.findings().len(), 1);
}
