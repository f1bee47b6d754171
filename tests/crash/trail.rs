//! The audit trail of a daemon that does not run. Whoever changes something puts an entry into the same transaction, so it
//! tells, after any number of deaths, what was done while a job held its scope, and under which token.

use std::collections::BTreeMap;

use keyferry::store::{SharedStore, Versioned};
use serde_json::Value;

use crate::daemon::ACCOUNT;

/// An entry, and the revision of the transaction that did what it tells of.
pub struct Entry {
    revision: u64,
    said: Value,
}

/// Every entry, chained or not yet, in the order of the transactions.
pub async fn read(control: &SharedStore) -> Vec<Entry> {
    let mut entries = Vec::new();
    for Versioned { value, .. } in scan(control, "a/log/").await {
        // Link, revision, and what was put.
        let revision = u64::from_be_bytes(value[32..40].try_into().unwrap());
        entries.push(Entry { revision, said: said(&value[40..]) });
    }
    for Versioned { value, revision } in scan(control, "a/new/").await {
        entries.push(Entry { revision: revision.0, said: said(&value) });
    }
    entries.sort_by_key(|entry| entry.revision);
    entries
}

/// What does not hold: while a job's gate is up nobody but the job changes anything in the scope, and no other gate goes
/// up; and what a worker does carries the token of the newest take-over.
pub fn broken(entries: &[Entry]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut holder: Option<&str> = None;
    let mut tokens: BTreeMap<&str, u64> = BTreeMap::new();
    for Entry { revision, said } in entries {
        let action = said["action"].as_str().unwrap();
        let worker = said["actor"]["job"].as_str();
        if let Some(job) = worker
            && said["actor"]["token"].as_u64() != tokens.get(job).copied()
        {
            broken.push(format!("in the trail: not under the token of the newest take-over: {said}"));
        }
        match (action, holder) {
            ("job.take_over", _) => {
                let job = said["resources"][0].as_str().and_then(|name| name.strip_prefix("job/")).unwrap();
                tokens.insert(job, *revision);
            }
            ("job.gate", None) => holder = worker,
            ("job.gate", Some(other)) => broken.push(format!("in the trail: {other} has the scope: {said}")),
            ("job.unlock", _) => holder = None,
            (_, Some(job)) if is_change(said) => {
                broken.push(format!("in the trail: while {job} has the scope: {said}"));
            }
            _ => {}
        }
    }
    broken
}

/// Whether a client, or the daemon of its own accord, changed something in the account.
fn is_change(said: &Value) -> bool {
    let of_others = ["access_key", "daemon"].iter().any(|kind| said["actor"]["kind"] == *kind);
    of_others && said["outcome"] == "ok" && said["scope"]["account"] == ACCOUNT
}

/// The text of a record of one value: five bytes stand in front of it.
fn said(record: &[u8]) -> Value {
    serde_json::from_slice(&record[5..]).unwrap()
}

async fn scan(control: &SharedStore, prefix: &str) -> Vec<Versioned> {
    let end = format!("{}0", prefix.strip_suffix('/').unwrap());
    let page = control.scan(prefix.as_bytes(), Some(end.as_bytes()), 100_000).await.unwrap();
    page.entries.into_iter().map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(revision: u64, action: &str, actor: &Value, outcome: &str) -> Entry {
        let scope = json!({ "region": "cn-hangzhou", "account": ACCOUNT });
        let said = json!({ "action": action, "actor": actor, "scope": scope, "outcome": outcome });
        Entry { revision, said }
    }

    fn take_over(revision: u64, job: &str) -> Entry {
        let said = json!({
            "action": "job.take_over", "actor": { "kind": "daemon" }, "outcome": "ok", "resources": [format!("job/{job}")],
        });
        Entry { revision, said }
    }

    #[test]
    fn what_may_not_be_is_seen() {
        let client = json!({ "kind": "access_key", "account": ACCOUNT });
        let worker = |job: &str, token: u64| json!({ "kind": "job", "job": job, "token": token });
        let (first, second) = (worker("job-1", 2), worker("job-1", 6));
        let begun = || {
            vec![
                entry(1, "CreateKey", &client, "ok"),
                take_over(2, "job-1"),
                entry(3, "job.gate", &first, "ok"),
                entry(4, "job.lock", &first, "ok"),
                entry(5, "CreateKey", &client, "Rejected.Migrating"),
                take_over(6, "job-1"),
                entry(7, "catalogue.flip", &second, "ok"),
            ]
        };
        let ended = |more: Vec<Entry>| {
            let mut entries = begun();
            entries.extend(more);
            entries.extend([entry(20, "job.unlock", &second, "ok"), entry(21, "CreateKey", &client, "ok")]);
            broken(&entries)
        };
        assert_eq!(ended(Vec::new()), Vec::<String>::new());
        let wrong = [
            entry(8, "CreateKey", &client, "ok"),
            entry(8, "secret.rotated", &json!({ "kind": "daemon" }), "ok"),
            entry(8, "catalogue.flip", &first, "ok"),
        ];
        for entry in wrong {
            let found = ended(vec![entry]);
            assert_eq!(found.len(), 1, "{found:?}");
        }
        let found = ended(vec![take_over(8, "job-2"), entry(9, "job.gate", &worker("job-2", 8), "ok")]);
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
