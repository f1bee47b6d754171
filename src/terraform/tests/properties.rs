//! Generated configurations: rewritten and read again, only what was meant differs.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::Strategy as Remedy;
use super::super::document::{Body, Document, Form};
use super::super::provider::Kind;
use super::World;

/// A resource as it is generated.
#[derive(Debug, Clone)]
struct Generated {
    is_key: bool,
    moved: bool,
    attributes: Vec<String>,
    lifecycle: String,
    one_line: bool,
    comment: bool,
}

fn attribute() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("description = \"a } b { c # d\"".to_owned()),
        Just("tags = {\n    a = \"x\" # y\n    \"b\" = \"${upper(\"z\")}\"\n  }".to_owned()),
        Just("policy = <<-EOT\n    {\"a\": \"${1 + 1}\"}\n    } # no end\n  EOT".to_owned()),
        Just("status    =    \"Enabled\"".to_owned()),
        Just("rotation_interval  = \"604800s\" // week".to_owned()),
        Just("/* before */ pending_window_in_days = 7 /* after */".to_owned()),
        Just("count = var.on ? 1 : 0".to_owned()),
    ]
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "dkms_instance_id",
        "protection_level",
        "tags",
        "status",
        "automatic_rotation",
        "tags[\"a b\"]",
    ])
}

fn lifecycle() -> impl Strategy<Value = String> {
    let list = prop::collection::vec(name(), 0..4).prop_flat_map(|names| {
        prop::sample::select(vec![
            format!("[{}]", names.join(", ")),
            format!("[ {} ]", names.join(" ,")),
            format!("[\n{}    ]", names.iter().map(|n| format!("      {n}, # {n},\n")).collect::<String>()),
            format!("[{}\n    ]", names.join(",\n      ")),
            format!("[{} /* , */]", names.join(", /* x */ ")),
        ])
    });
    let inner = prop_oneof![
        list.prop_map(|list| format!("ignore_changes = {list}")),
        Just("ignore_changes = all".to_owned()),
        Just(String::new()),
    ];
    (inner, any::<bool>(), any::<bool>(), 0_u8..4).prop_map(|(inner, before, after, shape)| match shape {
        0 => String::new(),
        1 if !inner.contains('\n') => format!("lifecycle {{ {inner} }}"),
        _ => {
            let before = if before { "    create_before_destroy = true\n" } else { "" };
            let after = if after { "    prevent_destroy = true # p\n" } else { "" };
            let inner = if inner.is_empty() { inner } else { format!("    {inner}\n") };
            format!("lifecycle {{ # l\n{before}{inner}{after}  }}")
        }
    })
}

fn resource() -> impl Strategy<Value = Generated> {
    let attributes = prop::collection::vec(attribute(), 0..5).prop_map(|mut list| {
        list.sort();
        list.dedup_by_key(|text| text.split('=').next().unwrap().trim().to_owned());
        list
    });
    (any::<bool>(), any::<bool>(), attributes, lifecycle(), any::<bool>(), any::<bool>()).prop_map(
        |(is_key, moved, attributes, lifecycle, one_line, comment)| Generated {
            is_key,
            moved,
            attributes,
            lifecycle,
            one_line,
            comment,
        },
    )
}

fn written(resources: &[Generated], end: &str) -> String {
    let mut text = String::from("# generated\n");
    for (index, resource) in resources.iter().enumerate() {
        let kind = if resource.is_key { "alicloud_kms_key" } else { "alicloud_kms_secret" };
        let label = format!("resource \"{kind}\" \"r{index}\" {{");
        if resource.is_key {
            let alias = format!("alias_name = \"alias/r{index}\"\n  key_id = alicloud_kms_key.r{index}.id");
            text += &format!("resource \"alicloud_kms_alias\" \"r{index}\" {{\n  {alias}\n}}\n");
        }
        let own = if resource.is_key { String::new() } else { format!("secret_name = \"r{index}\"") };
        if resource.one_line {
            text += &format!("{label} {own} }}\n");
            continue;
        }
        text += &format!("{label}\n");
        for line in std::iter::once(&own).chain(&resource.attributes).chain([&resource.lifecycle]) {
            if !line.is_empty() {
                text += &format!("  {line}\n");
            }
        }
        text += if resource.comment { "  # last\n}\n\n" } else { "}\n" };
    }
    text.replace('\n', end)
}

/// Values by their place, without lists of what is ignored; and those lists.
type Told = (BTreeMap<String, String>, BTreeMap<String, Vec<String>>);

fn told(document: &Document, body: &Body, path: &str, into: &mut Told) {
    for attribute in &body.attributes {
        let place = format!("{path}/{}", attribute.name);
        if attribute.name == "ignore_changes" {
            let items = match &attribute.value.form {
                Form::List(items) => items.iter().map(|item| document.slice(&item.span).to_owned()).collect(),
                _ => vec!["all".to_owned()],
            };
            into.1.insert(path.to_owned(), items);
        } else {
            into.0.insert(place, document.slice(&attribute.value.span).to_owned());
        }
    }
    for block in &body.blocks {
        told(document, &block.body, &format!("{path}/{}.{}", block.kind, block.labels.join(".")), into);
    }
}

fn read(world: &World) -> Told {
    let configuration = world.read();
    assert!(configuration.problems().is_empty(), "{:?}", configuration.problems());
    let mut into = Told::default();
    for document in &configuration.modules[0].documents {
        told(document, &document.body, "", &mut into);
    }
    into
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn only_what_is_meant_differs(
        resources in prop::collection::vec(resource(), 1..6),
        crlf in any::<bool>(),
        state_instance in any::<bool>(),
    ) {
        let text = written(&resources, if crlf { "\r\n" } else { "\n" });
        let mut world = World::new(&[("main.tf", &text)]);
        for (index, resource) in resources.iter().enumerate().filter(|(_, resource)| resource.moved) {
            let name = format!("r{index}");
            world = if resource.is_key { world.key(&name, &format!("alias/{name}")) } else { world.secret(&name) };
        }
        let remedy = if state_instance { Remedy::InstanceId } else { Remedy::IgnoreChanges };
        let before = read(&world);
        let found = world.check();
        let made = world.rewrite(remedy);
        // A repeated resource may stand for several, of which not all may have moved.
        let repeated = |address: &str| {
            let index: usize = address.rsplit('r').next().unwrap().parse().unwrap();
            resources[index].attributes.iter().any(|text| text.starts_with("count"))
        };
        for left in &made.left {
            prop_assert!(state_instance && repeated(&left.address), "{left:?}\n{text}");
        }
        made.write().unwrap();
        let now = std::fs::read_to_string(world.path("main.tf")).unwrap();
        let (mut values, lists) = read(&world);
        for finding in &found.findings {
            if made.left.iter().any(|left| left.address == finding.address) {
                continue;
            }
            let path = format!("/resource.{}/", finding.address);
            let id = values.get(&format!("{path}dkms_instance_id")).cloned();
            let list = lists.get(&format!("{path}lifecycle."));
            if state_instance {
                prop_assert_eq!(id, Some(format!("\"{}\"", super::INSTANCE)));
                values.remove(&format!("{path}dkms_instance_id"));
            } else {
                let kind = if finding.kind == "key" { Kind::Key } else { Kind::Secret };
                let list = list.cloned().unwrap_or_default();
                for name in kind.remedy(None) {
                    let count = list.iter().filter(|item| item.as_str() == name).count();
                    prop_assert!(count >= 1, "{} in {:?}\n{}", name, list, now);
                }
            }
        }
        prop_assert_eq!(&values, &before.0, "{}", now);
        for (place, list) in &lists {
            let was = before.1.get(place).cloned().unwrap_or_default();
            prop_assert_eq!(list.get(..was.len()).unwrap_or_default(), was.as_slice(), "{}", now);
            let touched = found.findings.iter().any(|f| *place == format!("/resource.{}/lifecycle.", f.address));
            prop_assert!(touched && !state_instance || *list == was, "{}", now);
        }
        prop_assert_eq!(crlf, now.contains('\r'));
        if crlf {
            prop_assert_eq!(now.matches('\n').count(), now.matches("\r\n").count());
        }
        prop_assert!(world.rewrite(remedy).files.is_empty(), "a second time changes nothing\n{}", now);
        prop_assert_eq!(world.check().findings.len(), made.left.len());
    }

    #[test]
    fn no_text_makes_it_fall_over(text in "[a-z{}\\[\\]\"#=,$%<>\\-\\\\/*\n\r ]{0,200}", json in any::<bool>()) {
        let world = World::new(&[(if json { "main.tf.json" } else { "main.tf" }, &text)]).secret("s").key("k", "");
        let _ = world.check();
        let _ = world.rewrite(Remedy::IgnoreChanges);
    }
}
