//! How files look afterwards.

use super::super::Strategy;
use super::{ALIAS, INSTANCE, World};

const KEY_LIST: &str = "dkms_instance_id, automatic_rotation, rotation_interval, protection_level";
const SECRET_LIST: &str = "dkms_instance_id, enable_automatic_rotation, rotation_interval";

/// Rewrites a key (with its alias behind it) and compares the whole text.
fn key_becomes(before: &str, after: &str) {
    for end in ["\n", "\r\n"] {
        let with_alias = |text: &str| format!("{text}{ALIAS}").replace('\n', end);
        let world = World::of(&with_alias(before));
        let expected = with_alias(&after.replace("LIST", KEY_LIST));
        assert_eq!(world.rewritten(Strategy::IgnoreChanges), expected, "{before:?} with {end:?}");
    }
}

#[test]
fn a_lifecycle_is_added_where_there_is_none() {
    key_becomes(
        "# a\nresource \"alicloud_kms_key\" \"k\" { # b\n  description = \"x\" # c\n  # d\n}\n",
        "# a\nresource \"alicloud_kms_key\" \"k\" { # b\n  description = \"x\" # c\n  # d\n\n  lifecycle {\n    \
         ignore_changes = [LIST]\n  }\n}\n",
    );
    key_becomes(
        "resource \"alicloud_kms_key\" \"k\" {}\n",
        "resource \"alicloud_kms_key\" \"k\" {\n  lifecycle {\n    ignore_changes = [LIST]\n  }\n}\n",
    );
    key_becomes(
        "resource alicloud_kms_key k { description = \"{\" }\n",
        "resource alicloud_kms_key k {\n  description = \"{\"\n\n  lifecycle {\n    ignore_changes = [LIST]\n  }\n}\n",
    );
    key_becomes(
        "resource \"alicloud_kms_key\" /* { */ \"k\" {\n\tdescription = \"x\"\n}\n",
        "resource \"alicloud_kms_key\" /* { */ \"k\" {\n\tdescription = \"x\"\n\n\tlifecycle {\n\t\tignore_changes = \
         [LIST]\n\t}\n}\n",
    );
    key_becomes(
        "resource \"alicloud_kms_key\" \"k\" {\n}\n",
        "resource \"alicloud_kms_key\" \"k\" {\n  lifecycle {\n    ignore_changes = [LIST]\n  }\n}\n",
    );
}

#[test]
fn a_lifecycle_that_is_there_gets_the_list() {
    key_becomes(
        "resource \"alicloud_kms_key\" \"k\" {\n    lifecycle {\n        prevent_destroy = true # p\n    }\n}\n",
        "resource \"alicloud_kms_key\" \"k\" {\n    lifecycle {\n        prevent_destroy = true # p\n        ignore_changes  \
         = [LIST]\n    }\n}\n",
    );
    key_becomes(
        "resource \"alicloud_kms_key\" \"k\" {\n  lifecycle { prevent_destroy = true }\n}\n",
        "resource \"alicloud_kms_key\" \"k\" {\n  lifecycle {\n    prevent_destroy = true\n    ignore_changes = \
         [LIST]\n  }\n}\n",
    );
    key_becomes(
        "resource \"alicloud_kms_key\" \"k\" {\n  lifecycle {}\n}\n",
        "resource \"alicloud_kms_key\" \"k\" {\n  lifecycle {\n    ignore_changes = [LIST]\n  }\n}\n",
    );
    key_becomes(
        "resource \"alicloud_kms_key\" \"k\" {\n  lifecycle {\n    precondition {\n      condition     = true\n      \
         error_message = \"x\"\n    }\n  }\n}\n",
        "resource \"alicloud_kms_key\" \"k\" {\n  lifecycle {\n    precondition {\n      condition     = true\n      \
         error_message = \"x\"\n    }\n    ignore_changes = [LIST]\n  }\n}\n",
    );
}

/// A list in a lifecycle of a key.
fn list_becomes(before: &str, after: &str) {
    let whole = |list: &str| {
        format!("resource \"alicloud_kms_key\" \"k\" {{\n  lifecycle {{\n    ignore_changes = {list}\n  }}\n}}\n")
    };
    key_becomes(&whole(before), &whole(after));
}

#[test]
fn a_list_that_is_there_is_added_to() {
    list_becomes("[]", "[LIST]");
    list_becomes("[ ]", "[LIST]");
    list_becomes("[description]", "[description, LIST]");
    list_becomes("[description, ]", "[description, LIST ]");
    list_becomes(
        "[tags[\"a\"], protection_level]",
        "[tags[\"a\"], protection_level, dkms_instance_id, automatic_rotation, rotation_interval]",
    );
    list_becomes(
        "[\"description\"]",
        "[\"description\", \"dkms_instance_id\", \"automatic_rotation\", \"rotation_interval\", \"protection_level\"]",
    );
    list_becomes(
        "[\n      description, # , why\n      status // no comma, here\n    ]",
        "[\n      description, # , why\n      status, // no comma, here\n      dkms_instance_id,\n      automatic_rotation,\n      \
         rotation_interval,\n      protection_level\n    ]",
    );
    list_becomes(
        "[\n      description, /* a */\n      status, /* , */\n      # the end\n    ]",
        "[\n      description, /* a */\n      status, /* , */\n      # the end\n      dkms_instance_id,\n      automatic_rotation,\n      \
         rotation_interval,\n      protection_level,\n    ]",
    );
    list_becomes(
        "[\n      # nothing yet\n    ]",
        "[\n      # nothing yet\n      dkms_instance_id,\n      automatic_rotation,\n      rotation_interval,\n      \
         protection_level,\n    ]",
    );
    list_becomes("[description,\n      status]", "[description,\n      status, LIST]");
}

#[test]
fn what_ignores_all_is_no_finding() {
    for list in ["all", "[\"*\"]", "[dkms_instance_id]", "[\"dkms_instance_id\"]"] {
        let key =
            format!("resource \"alicloud_kms_key\" \"k\" {{\n  lifecycle {{\n    ignore_changes = {list}\n  }}\n}}\n");
        let world = World::of(&format!("{key}{ALIAS}"));
        assert!(world.check().is_clean(), "{list}");
        assert!(world.rewrite(Strategy::IgnoreChanges).files.is_empty());
        assert!(world.rewrite(Strategy::InstanceId).files.is_empty());
    }
}

#[test]
fn heredocs_templates_and_whatever_else_is_there_stay_as_they_are() {
    let secret = "resource \"alicloud_kms_secret\" \"s\" {\n  secret_name = \"s\"\n  version_id  = \"v\"\n  secret_data = <<-EOT\n    \
        }\n    lifecycle { ignore_changes = [] }\n    ${jsonencode({ a = \"%{ if true }x%{ endif }\" })} # no comment\n  EOT\n}\n# end";
    let expected =
        secret.replace("  EOT\n}", &format!("  EOT\n\n  lifecycle {{\n    ignore_changes = [{SECRET_LIST}]\n  }}\n}}"));
    assert_eq!(World::of(secret).rewritten(Strategy::IgnoreChanges), expected);
    let before = "\u{feff}resource \"alicloud_kms_secret\" \"s\" {\n  secret_name = \"s\"\n}";
    let after = World::of(before).rewritten(Strategy::IgnoreChanges);
    assert!(after.starts_with('\u{feff}') && after.ends_with('}'), "{after}");
}

#[test]
fn the_instance_is_stated_in_line_with_the_rest() {
    let cases = [
        (
            "  description             = \"x\" # d\n",
            "  description             = \"x\" # d\n  dkms_instance_id        = \"ID\"\n",
        ),
        ("  description = \"x\"\n", "  description = \"x\"\n\n  dkms_instance_id = \"ID\"\n"),
        ("  tags = {\n    a = 1\n  }\n", "  tags = {\n    a = 1\n  }\n\n  dkms_instance_id = \"ID\"\n"),
        ("", "  dkms_instance_id = \"ID\"\n"),
        ("  dkms_instance_id = null\n", "  dkms_instance_id = \"ID\"\n"),
        ("  dkms_instance_id = \"\" # none\n", "  dkms_instance_id = \"ID\" # none\n"),
        ("  dkms_instance_id = \"kst-wrong\"\n", "  dkms_instance_id = \"ID\"\n"),
    ];
    for (before, after) in cases {
        for end in ["\n", "\r\n"] {
            let whole = |inside: &str| {
                format!("resource \"alicloud_kms_key\" \"k\" {{\n{inside}}}\n{ALIAS}")
                    .replace('\n', end)
                    .replace("ID", INSTANCE)
            };
            assert_eq!(World::of(&whole(before)).rewritten(Strategy::InstanceId), whole(after), "{before:?}");
        }
    }
}

#[test]
fn a_protection_level_that_changed_is_ignored_even_where_the_instance_is_stated() {
    let mut world = World::of(&format!("resource \"alicloud_kms_key\" \"k\" {{\n  description = \"x\"\n}}\n{ALIAS}"));
    world.moved.keys[0].protection = Some(super::super::ProtectionLevel::Hsm);
    let text = world.rewritten(Strategy::InstanceId);
    assert!(text.contains(&format!("dkms_instance_id = \"{INSTANCE}\"")), "{text}");
    assert!(text.contains("ignore_changes = [protection_level]"), "{text}");
}

#[test]
fn a_block_of_one_line_is_opened_once_for_both() {
    for (inside, first) in [("", ""), (" description = \"x\" ", "  description = \"x\"\n")] {
        let text = format!("resource \"alicloud_kms_key\" \"k\" {{{inside}}}\n{ALIAS}");
        let mut world = World::of(&text);
        world.moved.keys[0].protection = Some(super::super::ProtectionLevel::Hsm);
        let expected = format!(
            "resource \"alicloud_kms_key\" \"k\" {{\n{first}  dkms_instance_id = \"{INSTANCE}\"\n\n  lifecycle {{\n    ignore_changes = \
             [protection_level]\n  }}\n}}\n{ALIAS}"
        );
        assert_eq!(world.rewritten(Strategy::InstanceId), expected);
    }
}

#[test]
fn json_is_changed_in_its_own_layout() {
    let pretty = "{\n    \"resource\": {\n        \"alicloud_kms_secret\": {\n            \"s\": {\n                \"//\": \"why\",\n                \
        \"secret_name\": \"s\"\n            }\n        }\n    }\n}\n";
    let world = World::new(&[("main.tf.json", pretty)]).secret("s");
    let expected = pretty.replace(
        "\"secret_name\": \"s\"\n",
        "\"secret_name\": \"s\",\n                \"lifecycle\": {\n                    \"ignore_changes\": [\n                        \
         \"dkms_instance_id\",\n                        \"enable_automatic_rotation\",\n                        \
         \"rotation_interval\"\n                    ]\n                }\n",
    );
    assert_eq!(world.rewritten(Strategy::IgnoreChanges), expected);

    let short = "{\"resource\":[{\"alicloud_kms_secret\":{\"s\":[{\"secret_name\":\"s\",\"lifecycle\":[{\"ignore_changes\":[\"tags\"]}]}]}}]}";
    let world = World::new(&[("main.tf.json", short)]).secret("s");
    let expected = short.replace(
        "[\"tags\"]",
        "[\"tags\", \"dkms_instance_id\", \"enable_automatic_rotation\", \"rotation_interval\"]",
    );
    assert_eq!(world.rewritten(Strategy::IgnoreChanges), expected);

    let world = World::new(&[("main.tf.json", short)]).secret("s");
    let expected = short.replace("[\"tags\"]}]", &format!("[\"tags\"]}}], \"dkms_instance_id\": \"{INSTANCE}\""));
    assert_eq!(world.rewritten(Strategy::InstanceId), expected);

    let empty = "{\"resource\": {\"alicloud_kms_secret\": {\"s\": {\"secret_name\": \"s\", \"lifecycle\": {}, \"dkms_instance_id\": null}}}}";
    let world = World::new(&[("main.tf.json", empty)]).secret("s");
    assert_eq!(world.rewritten(Strategy::InstanceId), empty.replace("null", &format!("\"{INSTANCE}\"")));
    let world = World::new(&[("main.tf.json", empty)]).secret("s");
    assert!(
        world.rewritten(Strategy::IgnoreChanges).contains("\"lifecycle\": {\"ignore_changes\": [\"dkms_instance_id\"")
    );
}

#[test]
fn the_list_is_that_of_the_provider_version() {
    let text = format!("resource \"alicloud_kms_key\" \"k\" {{\n  protection_level = \"HSM\"\n}}\n{ALIAS}");
    let world = World::of(&text).provider("1.240.0");
    let after = world.rewritten(Strategy::IgnoreChanges);
    assert!(after.contains("ignore_changes = [automatic_rotation, rotation_interval, protection_level]"), "{after}");
}

#[test]
fn rotation_that_is_to_come_back_is_not_ignored() {
    let text = format!(
        "resource \"alicloud_kms_key\" \"k\" {{\n  automatic_rotation = \"Enabled\"\n  rotation_interval  = \"7d\"\n}}\n{ALIAS}"
    );
    for (rotates, list) in
        [(None, KEY_LIST), (Some(true), KEY_LIST), (Some(false), "dkms_instance_id, protection_level")]
    {
        let mut world = World::of(&text);
        world.moved.keys[0].rotates = rotates;
        let after = world.rewritten(Strategy::IgnoreChanges);
        assert!(after.contains(&format!("ignore_changes = [{list}]")), "{rotates:?} {after}");
        assert!(
            after.contains("automatic_rotation = \"Enabled\"\n  rotation_interval  = \"7d\""),
            "the attributes stay"
        );
    }
}
