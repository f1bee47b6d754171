//! Checking and rewriting a configuration of many resources, against a floor measured in the same run.
//!
//! `cargo bench --bench terraform [-- RESOURCES]` (default 10000). The floor only parses the same text with hcl-edit, which
//! whoever reads a configuration has to do. A third of the resources are keys, a third their aliases, a third secrets; all
//! of them have moved, so each key and each secret is changed. Aim: under 2 s for check and rewrite together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use keyferry::terraform::{
    Configuration, Moved, MovedKey, MovedSecret, ProtectionLevel, State, Strategy, assess, rewrite,
};

const ROUNDS: usize = 5;

fn main() {
    let count: usize = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(10_000);
    for files in [1, 100] {
        let directory = tempfile::tempdir().unwrap();
        let (moved, bytes) = write(directory.path(), count, files);
        let floor = best(|| {
            for index in 0..files {
                let text = std::fs::read_to_string(directory.path().join(format!("f{index}.tf"))).unwrap();
                black_box(hcl_edit::parser::parse_body(&text).unwrap());
            }
        });
        let mut changed = 0;
        let whole = best(|| {
            let configuration = Configuration::read(directory.path(), &[]).unwrap();
            let assessment = assess(&configuration, &State::default(), &moved, None);
            let made = rewrite(&configuration, &assessment, Strategy::IgnoreChanges, None);
            assert_eq!(made.left.len(), 0);
            changed = made.files.iter().map(|file| file.resources.len()).sum();
            black_box(made);
        });
        println!(
            "{count} resources in {files} file(s), {} KiB, {changed} to change: check and rewrite {:.3} s, parse alone {:.3} s, \
             ratio {:.1}",
            bytes / 1024,
            whole.as_secs_f64(),
            floor.as_secs_f64(),
            whole.as_secs_f64() / floor.as_secs_f64()
        );
        assert!(whole < Duration::from_secs(2), "the aim is missed");
    }
}

fn best(mut work: impl FnMut()) -> Duration {
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .min()
        .unwrap()
}

/// Writes the configuration; answers what has moved and its size.
fn write(directory: &Path, count: usize, files: usize) -> (Moved, usize) {
    let mut texts = vec![String::new(); files];
    let mut moved = Moved::default();
    for index in 0..count.div_ceil(3) {
        let text = &mut texts[index % files];
        write!(
            text,
            "resource \"alicloud_kms_key\" \"k{index}\" {{\n  description        = \"key {index}\"\n  automatic_rotation = \"Enabled\"\n  \
             rotation_interval  = \"604800s\"\n}}\n\nresource \"alicloud_kms_alias\" \"k{index}\" {{\n  alias_name = \"alias/app/{index}\"\n  \
             key_id     = alicloud_kms_key.k{index}.id\n}}\n\nresource \"alicloud_kms_secret\" \"s{index}\" {{\n  secret_name       = \
             \"app/{index}\"\n  secret_data       = \"value\"\n  version_id        = \"v1\"\n  encryption_key_id = \
             alicloud_kms_key.k{index}.id\n}}\n\n"
        )
        .unwrap();
        let instance = Some("kst-hzz0000000000000001".to_owned());
        moved.keys.push(MovedKey {
            id: format!("id-{index}"),
            aliases: vec![format!("alias/app/{index}")],
            instance: instance.clone(),
            protection: Some(ProtectionLevel::Software),
            ..MovedKey::default()
        });
        moved.secrets.push(MovedSecret { name: format!("app/{index}"), instance, rotates: None });
    }
    for (index, text) in texts.iter().enumerate() {
        std::fs::write(directory.join(format!("f{index}.tf")), text).unwrap();
    }
    (moved, texts.iter().map(String::len).sum())
}
