//! The rule of replacement and of rotation, and who is matched to whom.

use serde_json::json;

use super::super::{Moved, MovedKey, ProtectionLevel, Strategy, Verdict};
use super::{ALIAS, INSTANCE, World};

fn key(inside: &str) -> String {
    format!("resource \"alicloud_kms_key\" \"k\" {{\n{inside}\n}}\n{ALIAS}")
}

fn secret(inside: &str) -> String {
    format!("resource \"alicloud_kms_secret\" \"s\" {{\n  secret_name = \"s\"\n{inside}\n}}\n")
}

/// Which attributes make the next apply replace.
fn replaced_by(world: &World) -> Vec<&'static str> {
    let found = world.check().findings.into_iter().filter(|f| f.rule == super::super::Rule::WouldBeReplaced);
    found.flat_map(|finding| finding.attributes).collect()
}

#[test]
fn the_instance_id_replaces_as_the_provider_has_it() {
    let same = format!("dkms_instance_id = \"{INSTANCE}\"");
    let cases: [(&str, &str, bool, bool); 8] = [
        // configuration, provider, key replaced, secret replaced
        ("", "1.182.0", false, false),
        ("", "1.183.0", true, true),
        ("", "1.235.0", true, true),
        ("", "1.235.1", false, true),
        ("dkms_instance_id = null", "1.250.0", false, true),
        ("dkms_instance_id = \"kst-other\"", "1.250.0", true, true),
        (&same, "1.200.0", false, false),
        (&same, "1.250.0", false, false),
    ];
    for (inside, version, of_key, of_secret) in cases {
        let world = World::of(&key(inside)).provider(version);
        assert_eq!(replaced_by(&world) == ["dkms_instance_id"], of_key, "key: {inside} {version}");
        let world = World::of(&secret(inside)).provider(version);
        assert_eq!(replaced_by(&world) == ["dkms_instance_id"], of_secret, "secret: {inside} {version}");
    }
    assert_eq!(replaced_by(&World::of(&key(""))), ["dkms_instance_id"], "an unknown version may be an old one");
}

#[test]
fn the_protection_level_replaces_where_it_differs_whatever_the_version() {
    use ProtectionLevel::{Hsm, Software};
    for (inside, actual, replaced) in [
        ("", Software, false),
        ("", Hsm, true),
        ("protection_level = \"HSM\"", Software, true),
        ("protection_level = \"HSM\"", Hsm, false),
        ("protection_level = \"SOFTWARE\"", Software, false),
        ("lifecycle {\n ignore_changes = [protection_level]\n}", Hsm, false),
    ] {
        let mut world = World::of(&key(inside)).provider("1.250.0");
        world.moved.keys[0].protection = Some(actual);
        assert_eq!(replaced_by(&world) == ["protection_level"], replaced, "{inside} {actual:?}");
    }
    let mut world = World::of(&key("")).provider("1.200.0");
    world.moved.keys[0].protection = Some(Hsm);
    assert_eq!(replaced_by(&world), ["dkms_instance_id", "protection_level"]);
    world.moved.keys[0].protection = None;
    assert_eq!(replaced_by(&world), ["dkms_instance_id"], "what is not known is not claimed");
}

#[test]
fn rotation_that_the_next_apply_would_switch_off_is_found() {
    let off = "automatic_rotation = \"Disabled\"\ndkms_instance_id = \"kst-hzz0000000000000001\"";
    for (rotates, found) in [(Some(true), true), (Some(false), false), (None, false)] {
        let mut world = World::of(&key(off));
        world.moved.keys[0].rotates = rotates;
        let expected: &[&str] = if found { &["alicloud_kms_key.k WouldStopRotating Certain"] } else { &[] };
        assert_eq!(world.findings(), expected, "{rotates:?}");
        if found {
            let text = world.rewritten(Strategy::InstanceId);
            assert!(text.contains("ignore_changes = [automatic_rotation, rotation_interval]"), "{text}");
        }
    }
    let mut world = World::of(&secret("enable_automatic_rotation = false"));
    world.moved.secrets[0].rotates = Some(true);
    let both = ["alicloud_kms_secret.s WouldBeReplaced Certain", "alicloud_kms_secret.s WouldStopRotating Certain"];
    assert_eq!(world.findings(), both);
    world.rewritten(Strategy::IgnoreChanges);
}

#[test]
fn a_key_is_matched_by_description_only_where_one_has_it() {
    let text = "resource \"alicloud_kms_key\" \"k\" {\n  description = \"app\"\n}\n";
    let world = World::new(&[("main.tf", text)]).described("k1", "app").described("k2", "other");
    assert_eq!(world.findings(), ["alicloud_kms_key.k WouldBeReplaced Likely"]);
    world.rewritten(Strategy::IgnoreChanges);
    let world = World::new(&[("main.tf", text)]).described("k1", "app").described("k2", "app");
    assert_eq!(world.findings(), ["alicloud_kms_key.k Undecided Undecided"]);
    let made = world.rewrite(Strategy::IgnoreChanges);
    assert!(made.files.is_empty() && made.left[0].reason.contains("2 keys that moved"), "{made:?}");
    let world = World::new(&[("main.tf", text)]).described("k2", "other");
    assert!(world.check().is_clean(), "{:?}", world.findings());
    // A key that carries another alias is another key, whatever its description.
    let mut world = World::new(&[("main.tf", &format!("{text}{ALIAS}"))]).described("k1", "app");
    world.moved.keys[0].aliases = vec!["alias/other".to_owned()];
    assert!(world.check().is_clean(), "{:?}", world.findings());
}

#[test]
fn keys_of_which_only_the_id_is_known_leave_the_question_open() {
    let text = "resource \"alicloud_kms_key\" \"k\" {\n  description = \"app\"\n}\n";
    let world = World::new(&[("main.tf", text)]).key("k1", "");
    assert_eq!(world.findings(), ["alicloud_kms_key.k Undecided Undecided"]);
    let safe =
        "resource \"alicloud_kms_key\" \"k\" {\n  lifecycle {\n    ignore_changes = [dkms_instance_id]\n  }\n}\n";
    assert!(World::new(&[("main.tf", safe)]).key("k1", "").check().is_clean(), "it carries its remedy whichever it is");
}

fn state(instance: &str) -> serde_json::Value {
    json!({ "version": 4, "terraform_version": "1.9.0", "resources": [
        { "mode": "managed", "type": "alicloud_kms_key", "name": "k", "instances": [
            { "schema_version": 0, "attributes": { "id": "k1", "dkms_instance_id": instance, "description": "x",
              "protection_level": "SOFTWARE", "automatic_rotation": "Enabled" } } ] },
        { "mode": "managed", "type": "alicloud_kms_key", "name": "old", "instances": [ { "attributes": { "id": "k9", "dkms_instance_id": "" } } ] },
        { "mode": "managed", "type": "alicloud_kms_secret", "name": "s", "module": "module.m[\"a\"]", "instances": [
            { "index_key": "x", "attributes": { "id": "s1", "dkms_instance_id": instance, "secret_data": "value" } },
            { "index_key": "y", "attributes": { "id": "s2", "dkms_instance_id": instance } } ] },
        { "mode": "managed", "type": "alicloud_vpc", "name": "v", "instances": [ { "attributes": ["any", 7] } ] },
        { "mode": "data", "type": "alicloud_kms_keys", "name": "d", "instances": [ { "attributes": { "ids": [1] } } ] },
    ]})
}

const TREE: [(&str, &str); 2] = [
    (
        "main.tf",
        "resource \"alicloud_kms_key\" \"k\" {}\nresource \"alicloud_kms_key\" \"old\" {}\nmodule \"m\" {\n  source   = \"./m\"\n  \
         for_each = toset(var.unknown)\n}\n",
    ),
    ("m/main.tf", "resource \"alicloud_kms_secret\" \"s\" {\n  for_each    = var.any\n  secret_name = each.value\n}\n"),
];

#[test]
fn a_state_says_which_is_which_and_what_moved() {
    let mut world = World::new(&TREE).state(&state(INSTANCE));
    world.moved = world.state.moved().unwrap();
    assert_eq!(world.moved.keys.len(), 1, "k9 is in no instance");
    let certain =
        ["module.m.alicloud_kms_secret.s WouldBeReplaced Certain", "alicloud_kms_key.k WouldBeReplaced Certain"];
    assert_eq!(world.findings(), certain);
    let made = world.rewrite(Strategy::InstanceId);
    assert_eq!((made.files.len(), made.left.len()), (2, 0), "all of module.m is in one instance: {:?}", made.left);
    made.write().unwrap();
    assert!(world.check().is_clean());
}

#[test]
fn a_state_from_before_the_migration_does_not_say_what_moved() {
    let mut world = World::new(&TREE).state(&state(""));
    assert_eq!(world.state.moved(), None);
    assert_eq!((world.state.all().keys.len(), world.state.all().secrets.len()), (2, 2));
    // Another source says what moved; the state says which it is, though the key has neither alias nor description.
    world.moved = Moved { keys: vec![MovedKey { id: "k1".to_owned(), ..MovedKey::default() }], secrets: Vec::new() };
    assert_eq!(world.findings(), ["alicloud_kms_key.k WouldBeReplaced Certain"]);
}

#[test]
fn moved_blocks_lead_an_older_state_to_the_resource() {
    let world = World::new(&[
        (
            "main.tf",
            "resource \"alicloud_kms_key\" \"new\" {}\nmoved {\n  from = alicloud_kms_key.middle\n  to   = alicloud_kms_key.new\n}\n\
         moved {\n  from = alicloud_kms_key.k\n  to   = alicloud_kms_key.middle\n}\nmodule \"n\" {\n  source = \"./m\"\n}\n\
         moved {\n  from = module.m[\"a\"]\n  to   = module.n\n}\n",
        ),
        TREE[1],
    ]);
    let mut world = world.state(&state(INSTANCE));
    world.moved = world.state.moved().unwrap();
    let found = world.findings();
    assert_eq!(
        found,
        ["module.n.alicloud_kms_secret.s WouldBeReplaced Certain", "alicloud_kms_key.new WouldBeReplaced Certain"]
    );
}

#[test]
fn import_blocks_name_their_resource() {
    let text = "import {\n  to = alicloud_kms_key.k\n  id = var.id\n}\nvariable \"id\" {\n  default = \"k1\"\n}\nresource \"alicloud_kms_key\" \"k\" {}\n";
    let world = World::new(&[("main.tf", text)]).key("k1", "");
    assert_eq!(world.findings(), ["alicloud_kms_key.k WouldBeReplaced Certain"]);
}

#[test]
fn what_depends_on_a_key_is_told_with_it() {
    let text = format!(
        "{}resource \"alicloud_kms_ciphertext\" \"c\" {{\n  key_id = alicloud_kms_key.k.id\n  plaintext = \"p\"\n}}\n\
         resource \"alicloud_kms_key_version\" \"v\" {{\n  key_id = alicloud_kms_key.k.id\n}}\n\
         resource \"alicloud_kms_secret\" \"t\" {{\n  secret_name = \"t\"\n  encryption_key_id = alicloud_kms_key.k.id\n}}\n\
         data \"alicloud_kms_ciphertext\" \"d\" {{\n  key_id = \"k1\"\n  plaintext = \"p\"\n}}\n",
        key("")
    );
    let found = World::of(&text).check();
    let dependents: Vec<_> = found.findings[0].dependents.iter().map(|d| d.address.as_str()).collect();
    let expected =
        ["alicloud_kms_alias.k", "alicloud_kms_ciphertext.c", "alicloud_kms_key_version.v", "alicloud_kms_secret.t"];
    assert_eq!(dependents, expected);
    let verdicts: Vec<_> = found.resources.iter().map(|item| (item.address.as_str(), item.verdict)).collect();
    let expected = [
        ("alicloud_kms_key.k", Verdict::Finding),
        ("alicloud_kms_alias.k", Verdict::FollowsItsKey),
        ("alicloud_kms_ciphertext.c", Verdict::FollowsItsKey),
        ("alicloud_kms_key_version.v", Verdict::FollowsItsKey),
        ("alicloud_kms_secret.t", Verdict::NotMoved),
        ("data.alicloud_kms_ciphertext.d", Verdict::ReadOnly),
    ];
    assert_eq!(verdicts, expected);
    assert_eq!(found.resources[5].moved, ["k1"], "what a data source names has moved");
}
