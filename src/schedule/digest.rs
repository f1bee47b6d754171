//! The digest of an entry: what the CLI paused or canceled stays so until it changes.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::model::ScheduleEntry;

/// SHA-256 in hexadecimal over the entry as JSON with sorted keys and no blanks. It does not depend on how the entry was
/// written: a field left out and its default give the same digest.
#[must_use]
pub fn digest(entry: &ScheduleEntry) -> String {
    let mut text = String::new();
    write_canonical(&serde_json::to_value(entry).unwrap_or_default(), &mut text);
    hex::encode(Sha256::digest(text.as_bytes()))
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (n, (key, field)) in fields.into_iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(field, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::schedule::stored::tests::at_entry;

    #[test]
    fn a_released_digest_never_changes() {
        // If this fails, an upgrade would wake every paused and canceled schedule: new fields must be left out of the
        // JSON at their default.
        assert_eq!(
            digest(&at_entry("2026-12-01T02:00:00+08:00")),
            "ff8e922c50f3b07597f28a17449d5d8e1d36aed6262ae7c1c9dbf9dc3cfaad9e"
        );
    }

    #[test]
    fn every_field_counts_and_the_order_of_json_does_not() {
        let entry = at_entry("2026-12-01T02:00:00+08:00");
        let mut other = entry.clone();
        other.acknowledge = !other.acknowledge;
        assert_ne!(digest(&entry), digest(&other));
        let text = serde_json::to_string(&entry).unwrap();
        let again: ScheduleEntry = serde_json::from_str(&text).unwrap();
        assert_eq!(digest(&entry), digest(&again));
        let mut a = String::new();
        write_canonical(&serde_json::from_str(r#"{ "b": [1, "x\n"], "a": null }"#).unwrap(), &mut a);
        assert_eq!(a, r#"{"a":null,"b":[1,"x\n"]}"#);
    }
}
